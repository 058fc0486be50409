"""From a file or a ModelProto to a graph, with every shape known that can be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.external_data_helper
import onnx.helper
import onnx.inliner
import onnx.shape_inference
import onnx_graphsurgeon as gs
from google.protobuf.message import DecodeError
from onnx_graphsurgeon.util.exception import OnnxGraphSurgeonException

from passes.errors import LrpcError
from passes.graph import Graph, read_only
from passes.loading.file_errors import file_errors, is_file
from passes.loading.names import name_layers
from passes.loading.shapes import declare_outputs, name_dynamic_axes, refuse_absurd_targets, with_shapes
from passes.loading.tensors import all_tensors, byte_size, check_tensors, is_external, map_values
from passes.loading.upgrade import OPSET, opset_of, upgrade

_BAD_PROTO = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    OnnxGraphSurgeonException,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What onnx and onnx-graphsurgeon raise where a file is structured as none should be."""
_LARGEST = 2**31 - 1
_SMALL = 1024
"""Weights of at most so many bytes are read even where the rest stays outside: shapes are computed from them."""
_MOST_BRANCHES = 200
_IR_WITHOUT_INPUTS = 4
"""From here on an initializer need not be listed as an input."""
_DAMAGED = "Export or download it again; `lrpc export` writes one from PyTorch."


def load(source: str | Path | onnx.ModelProto) -> Graph:
    """Read a model; the argument is never changed.

    Old opsets are upgraded to 18, initializers are no inputs, model-local functions are inlined and
    shapes are inferred. Weights become read-only arrays; where a model is larger than the 2 GB that one message can
    hold, they stay in their file and are mapped. Nothing outside the file's folder is read. Raises LrpcError for what
    is no valid ONNX.
    """
    if isinstance(source, onnx.ModelProto):
        label, folder, proto = source.graph.name or "the model", None, onnx.ModelProto()
        proto.CopyFrom(source)
        _refuse_missing_weights(proto, label)
    else:
        path = Path(source)
        label, folder, proto = path.name, path.parent, _read(path)
    try:
        check_tensors(proto, folder, label)
        _refuse_sparse(proto, label)
        _refuse_large_branches(proto, label)
        outside = _take_in(proto, folder, label)
        return _graph(_prepare(proto, label, bool(outside)), label, outside)
    except _BAD_PROTO as error:
        raise LrpcError(f"{label} is not a valid ONNX model: {_first_line(error)}", hint=_DAMAGED) from error


def _read(path: Path) -> onnx.ModelProto:
    if not is_file(path):
        what = "is a folder, not a model file" if path.is_dir() else "does not exist"
        raise LrpcError(f"{path} {what}.", hint="Give the path of an .onnx file; `lrpc export` writes one.")
    if path.stat().st_size > _LARGEST:
        raise LrpcError(
            f"{path} is larger than 2 GB, the most that one ONNX file can hold.",
            hint="Export it again with its weights in a file of their own (external data).",
        )
    try:
        with file_errors(path):
            proto = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, *_BAD_PROTO) as error:
        raise LrpcError(
            f"{path} is not an ONNX file, or it is truncated: {_first_line(error)}",
            hint="Export or download it again; `lrpc export` writes one from PyTorch.",
        ) from error
    if not proto.graph.node:
        raise LrpcError(f"{path} is not an ONNX model: it holds no graph.", hint="`lrpc export` writes one.")
    return proto


def _refuse_missing_weights(proto: onnx.ModelProto, label: str) -> None:
    if any(is_external(weight) for weight in all_tensors(proto)):
        raise LrpcError(
            f"{label} was given without its weights, which are in another file.",
            hint="Give the path of the .onnx file, or load it with its external data.",
        )


def _refuse_two_opsets(proto: onnx.ModelProto, label: str) -> None:
    versions = sorted({entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")})
    if len(versions) > 1:
        raise LrpcError(f"{label} imports two opsets of the standard operators: {versions}.", hint=_DAMAGED)


def _refuse_undecodable(proto: onnx.ModelProto, label: str) -> None:
    """Refuse names that no file could be written with again: protobuf hands over as bytes what is no UTF-8."""
    graph = proto.graph
    texts = [graph.name, *(node.name for node in graph.node), *(tensor.name for tensor in graph.initializer)]
    texts += [value.name for value in (*graph.input, *graph.output, *graph.value_info)]
    texts += [text for node in graph.node for text in (node.op_type, node.domain, *node.input, *node.output)]
    texts += [text for entry in proto.metadata_props for text in (entry.key, entry.value)]
    if any(isinstance(text, bytes) for text in texts):
        raise LrpcError(f"Names or metadata of {label} are not text in UTF-8.", hint=_DAMAGED)


def _refuse_sparse(proto: onnx.ModelProto, label: str) -> None:
    if proto.graph.sparse_initializer:
        names = ", ".join(weight.values.name for weight in proto.graph.sparse_initializer)
        raise LrpcError(f"{label} has sparse weights ({names}).", hint="Export it with dense weights.")


def _refuse_large_branches(proto: onnx.ModelProto, label: str) -> None:
    """Refuse what takes minutes to load: no control flow can be explained; a few branches are told by layer later."""
    held, graphs = 0, [proto.graph]
    while graphs:
        attributes = [attribute for node in graphs.pop().node for attribute in node.attribute]
        inner = [graph for a in attributes for graph in (*([a.g] if a.HasField("g") else []), *a.graphs)]
        graphs += inner
        held += len(inner)
        if held > _MOST_BRANCHES:
            raise LrpcError(
                f"{label} has more than {_MOST_BRANCHES} branches and loops within each other.",
                hint="Export a model without loops and conditions.",
            )


def _take_in(proto: onnx.ModelProto, folder: Path | None, label: str) -> dict[str, np.ndarray]:
    """Read external data into the proto; return by name what has to stay outside, mapped and read-only.

    A proto above 2 GB can be held in memory, but neither checked, inferred nor run.
    """
    if folder is None or not any(is_external(tensor) for tensor in all_tensors(proto)):
        return {}
    outside: dict[str, np.ndarray] = {}
    held = sum(byte_size(tensor) or 0 for tensor in all_tensors(proto))
    if held > _LARGEST:
        large = [t for t in proto.graph.initializer if is_external(t) and (byte_size(t) or 0) > _SMALL]
        outside = {tensor.name: map_values(tensor, folder) for tensor in large}
    try:
        for tensor in all_tensors(proto):
            if is_external(tensor) and tensor.name not in outside:
                onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
                tensor.data_location = onnx.TensorProto.DEFAULT
                del tensor.external_data[:]
    except (OSError, *_BAD_PROTO) as error:
        raise LrpcError(
            f"{label} keeps its weights in another file, which cannot be read: {_first_line(error)}", hint=_DAMAGED
        ) from error
    return outside


def _prepare(proto: onnx.ModelProto, label: str, large: bool) -> onnx.ModelProto:
    weights = {initializer.name for initializer in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = max(proto.ir_version, _IR_WITHOUT_INPUTS)
    refuse_absurd_targets(proto, label)
    _refuse_two_opsets(proto, label)
    _refuse_undecodable(proto, label)
    declare_outputs(proto, label)
    without = _as_inputs(proto) if large else proto
    onnx.checker.check_model(without)
    _refuse_unknown_inputs(proto, label)
    name_dynamic_axes(proto)
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    if large and opset_of(proto) < OPSET:
        raise LrpcError(
            f"{label} is larger than 2 GB and of opset {opset_of(proto)}; one that large cannot be upgraded.",
            hint=f"Export it again at opset {OPSET} or newer.",
        )
    return with_shapes(upgrade(proto))


def _as_inputs(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that takes as inputs the weights that stay outside: the checker would look for their file."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.initializer[:]
    for tensor in proto.graph.initializer:
        if is_external(tensor):
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            copy.graph.input.append(value)
        else:
            copy.graph.initializer.append(tensor)
    return copy


def _refuse_unknown_inputs(proto: onnx.ModelProto, label: str) -> None:
    known = onnx.TensorProto.DataType.values()
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type") or tensor.elem_type not in known or not tensor.elem_type:
            raise LrpcError(
                f"The input {value.name} of {label} is not a tensor of a known type.",
                hint="Export a model that takes tensors; relevance needs a float32 one.",
            )


def _graph(proto: onnx.ModelProto, label: str, outside: Mapping[str, np.ndarray]) -> Graph:
    names, modules = name_layers(proto)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    for node, name in zip(proto.graph.node, names, strict=True):
        node.name = name
    body = gs.import_onnx(proto)
    for tensor in body.tensors().values():
        if isinstance(tensor, gs.Constant):
            there = outside.get(tensor.name)
            tensor.values = read_only(np.asanyarray(tensor.values if there is None else there))
    return Graph(body, metadata, modules, label.removesuffix(".onnx"))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip()
