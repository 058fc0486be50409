"""What each layer of a model file is called.

In order of preference: what lrpc itself wrote (`lrpc.layer`); torch's module path (for a layer with a
weight, that of the weight's name; else from the metadata of torch's exporter, or from the node names that its older
one, by TorchScript, gave); for a functional op, the path of the module around it and the op's name, as also for the
Sum module that zennit's canonizers call X.canonizer_sum in the place of a +, which is X.add; without metadata the
weight's stem, then the node's name, then its output's. Repeats get `:1`, `:2`, ... in execution order.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Container, Iterable

import onnx

from passes.graph import Module, unique
from passes.loading.torchscript_names import torchscript_name, torchscript_owners

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"}
_WEIGHT_SUFFIX = re.compile(r"[._](weight|weights|kernel|w|scale|gamma)$", re.IGNORECASE)
_REPEAT = re.compile(r"_\d+$")
_INTEGERS = {onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL}
_CONTAINERS = "torch.nn.modules.container."
_LEAVES = ("torch.nn.modules.", "zennit.layer.")
"""Where the classes are of modules that are a layer themselves."""
_CANONIZED = re.compile(r"\bcanonizer_sum$")


def name_layers(proto: onnx.ModelProto) -> tuple[list[str], dict[str, Module]]:
    """Return a unique layer name for every node, in order, and what is known of their modules by name."""
    weights = {initializer.name for initializer in proto.graph.initializer}
    owners = torchscript_owners(proto.graph.node)
    integers = {v.name for v in proto.graph.value_info if v.type.tensor_type.elem_type in _INTEGERS}
    names = [""] * len(proto.graph.node)
    modules: dict[str, Module] = {}
    # Layers choose first: constants and shape arithmetic share torch's scopes with them.
    layers_first = sorted(enumerate(proto.graph.node), key=lambda entry: _is_arithmetic(entry[1], integers))
    repeats: Counter[str] = Counter()
    for position, node in layers_first:
        metadata = {entry.key: entry.value for entry in node.metadata_props}
        wanted = _wanted_name(node, metadata, weights, owners)
        name = names[position] = unique(wanted, modules, repeats[wanted])
        repeats[wanted] += 1
        modules[name] = _module(metadata)
    return names, modules


def _is_arithmetic(node: onnx.NodeProto, integers: set[str]) -> bool:
    return node.op_type == "Constant" or any(name in integers for name in node.output[:1])


def _wanted_name(node: onnx.NodeProto, metadata: dict[str, str], weights: Iterable[str], owners: Container[str]) -> str:
    if "lrpc.layer" in metadata:
        return metadata["lrpc.layer"]
    scoped = _CANONIZED.sub("add", _scope_name(node, metadata) or torchscript_name(node, owners))
    stem = _weight_stem(node, weights)
    if stem and (node.op_type != "BatchNormalization" or not scoped):
        return stem
    return scoped or node.name or next(iter(filter(None, node.output)), node.op_type)


def _weight_stem(node: onnx.NodeProto, weights: Iterable[str]) -> str:
    if node.op_type not in WEIGHTED:
        return ""
    for name in node.input[1:]:
        if name in weights and _WEIGHT_SUFFIX.search(name):
            return _WEIGHT_SUFFIX.sub("", name)
    return ""


def _scope_name(node: onnx.NodeProto, metadata: dict[str, str]) -> str:
    """Return the layer's name from the scopes that torch.onnx's exporter records."""
    scopes = _list(metadata.get("pkg.torch.onnx.name_scopes", ""))
    classes = _list(metadata.get("pkg.torch.onnx.class_hierarchy", ""))
    if len(scopes) < 2 or len(scopes) != len(classes) or classes[0].startswith("_empty"):
        return ""
    path, owner = scopes[-2], classes[-2]
    if owner.startswith(_LEAVES) and not owner.startswith(_CONTAINERS) and path:
        return path
    function = _REPEAT.sub("", scopes[-1]).strip("_")
    return f"{path}.{function}" if path else function


def _module(metadata: dict[str, str]) -> Module:
    classes = _list(metadata.get("pkg.torch.onnx.class_hierarchy", ""))
    kind = metadata.get("lrpc.module") or (classes[-2] if len(classes) > 1 else "")
    index = metadata.get("lrpc.leaf_index", "")
    return Module(kind, int(index) if index.isdigit() else None)


def _list(text: str) -> list[str]:
    try:
        value = ast.literal_eval(text) if text else []
    except (SyntaxError, ValueError):
        return []
    return [str(item) for item in value] if isinstance(value, list) else []
