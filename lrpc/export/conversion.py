"""From a PyTorch module to a ModelProto whose nodes tell which layer they are of."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx.helper
import onnx.shape_inference

from lrpc.export.adaptive_pools import spell_adaptive_pools
from lrpc.export.pytorch import quiet, require_torch
from passes.errors import LrpcError
from passes.graph.write import LARGEST
from passes.loading.names import name_layers
from passes.loading.upgrade import OPSET

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.onnx import ONNXProgram


def module_to_proto(module: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    """Export a torch module; it is left as it is.

    example: a batch that it takes; the first axis becomes the dynamic axis "batch".
    Raises LrpcError where torch cannot export it, and above 2 GB, which only files can hold.
    """
    program = _program(module, example)
    if _is_large(program):
        raise LrpcError(
            f"{type(module).__name__} has more than 2 GB of weights, the most that one ONNX message can hold.",
            hint="Write it to a file first, with `lrpc export` or lrpc.export.export, and give lrpc its path.",
        )
    return _annotate(program.model_proto, module)


def write_module(module: nn.Module, example: torch.Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a torch module to a file; the weights of one above 2 GB beside it, into a file called .data too.

    example: as `module_to_proto` takes it.  metadata: what the model is to tell of itself.
    Raises LrpcError where torch cannot export it.
    """
    program = _program(module, example)
    if _is_large(program):
        program.save(path, external_data=True)
        proto = onnx.load(path, load_external_data=False)
    else:
        proto = program.model_proto
    onnx.helper.set_model_props(_annotate(proto, module), dict(metadata))
    path.write_bytes(proto.SerializeToString())


def _program(module: nn.Module, example: torch.Tensor) -> ONNXProgram:
    torch = require_torch()
    copied = copy.deepcopy(module).eval()
    try:
        spell_adaptive_pools(copied, example)
    except Exception as error:
        raise LrpcError(
            f"{type(module).__name__} does not take a batch of shape {tuple(example.shape)}: {_first_line(error)}",
            hint="Give the shape of one sample that it takes, as in --input-shape 3,224,224.",
        ) from error
    batch = torch.cat([example, example])[: max(2, len(example))]
    try:
        with quiet():
            from onnxscript import optimizer

            program: ONNXProgram = torch.onnx.export(
                copied,
                (batch,),
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                external_data=False,
                verbose=False,
            )
            optimizer.fold_constants(program.model)
            optimizer.remove_unused_nodes(program.model)
    except Exception as error:
        raise LrpcError(
            f"torch cannot export {type(module).__name__}: {_first_line(_origin(error))}",
            hint="Export it with torch.onnx.export yourself, and give lrpc the file.",
        ) from error
    return program


def _origin(error: BaseException) -> BaseException:
    """Return what an error began with: the exporter's own only tells its step."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _is_large(program: ONNXProgram) -> bool:
    weights = (value.const_value for value in program.model.graph.initializers.values())
    return sum(weight.nbytes for weight in weights if weight is not None) > LARGEST


def _annotate(proto: onnx.ModelProto, module: nn.Module) -> onnx.ModelProto:
    """Replace the exporter's metadata, which tells local paths, by the layer, its class and its leaf index."""
    leaves = [name for name, child in module.named_modules() if not any(child.children())]
    index = {name: position for position, name in enumerate(leaves)}
    # Layers choose their names before shape arithmetic does, and types tell the two apart.
    names, modules = name_layers(onnx.shape_inference.infer_shapes(proto))
    for node, name in zip(proto.graph.node, names, strict=True):
        del node.metadata_props[:]
        node.doc_string = ""
        entries = {"lrpc.layer": name, "lrpc.module": modules[name].type}
        path = name.partition(":")[0]
        if path in index:
            entries["lrpc.leaf_index"] = str(index[path])
        for key, value in entries.items():
            if value:
                node.metadata_props.add(key=key, value=value)
    for tensor in (*proto.graph.value_info, *proto.graph.input):
        del tensor.metadata_props[:]
    for weight in proto.graph.initializer:
        del weight.metadata_props[:]
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    proto.graph.name = type(module).__name__
    return proto
