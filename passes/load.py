"""From a file or a ModelProto to a graph, with every shape known that can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.inliner
import onnx.shape_inference
import onnx_graphsurgeon as gs
from google.protobuf.message import DecodeError
from onnx_graphsurgeon.util.exception import OnnxGraphSurgeonException

from passes.errors import LrpcError
from passes.graph import Graph
from passes.names import name_layers
from passes.shapes import name_dynamic_axes, with_shapes
from passes.upgrade import upgrade

_BAD_PROTO = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    OnnxGraphSurgeonException,
    ValueError,
    RuntimeError,
)
_LARGEST = 2**31 - 1


def load(source: str | Path | onnx.ModelProto) -> Graph:
    """Read a model; the argument is never changed.

    Old opsets are upgraded to 18, initializers are no inputs, model-local functions are inlined and
    shapes are inferred. Weights become read-only arrays. Raises LrpcError for what is no valid ONNX.
    """
    if isinstance(source, onnx.ModelProto):
        label, proto = source.graph.name or "the model", onnx.ModelProto()
        proto.CopyFrom(source)
        _refuse_missing_weights(proto, label)
    else:
        label, proto = Path(source).name, _read(Path(source))
    if proto.ByteSize() > _LARGEST:
        raise LrpcError(f"{label} is larger than 2 GB, the most that one ONNX file can hold.")
    if proto.graph.sparse_initializer:
        names = ", ".join(weight.values.name for weight in proto.graph.sparse_initializer)
        raise LrpcError(f"{label} has sparse weights ({names}).", hint="Export it with dense weights.")
    try:
        return _graph(_prepared(proto), label)
    except _BAD_PROTO as error:
        raise LrpcError(f"{label} is not a valid ONNX model: {_first_line(error)}") from error


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        what = "is a folder, not a model file" if path.is_dir() else "does not exist"
        raise LrpcError(f"{path} {what}.", hint="Give the path of an .onnx file; `lrpc export` writes one.")
    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise LrpcError(f"{path} cannot be read: {error.strerror}.") from error
    except (DecodeError, *_BAD_PROTO) as error:
        raise LrpcError(
            f"{path} is not an ONNX file, or it is truncated: {_first_line(error)}",
            hint="Export or download it again; `lrpc export` writes one from PyTorch.",
        ) from error
    if not proto.graph.node:
        raise LrpcError(f"{path} is not an ONNX model: it holds no graph.", hint="`lrpc export` writes one.")
    try:
        onnx.load_external_data_for_model(proto, str(path.parent))
    except (OSError, *_BAD_PROTO) as error:
        raise LrpcError(
            f"{path} keeps its weights in another file, which is missing or incomplete: {_first_line(error)}",
            hint="Put that file beside the model, under the name that it had when the model was exported.",
        ) from error
    return proto


def _refuse_missing_weights(proto: onnx.ModelProto, label: str) -> None:
    if any(weight.data_location == onnx.TensorProto.EXTERNAL for weight in proto.graph.initializer):
        raise LrpcError(
            f"{label} was given without its weights, which are in another file.",
            hint="Give the path of the .onnx file, or load it with its external data.",
        )


def _prepared(proto: onnx.ModelProto) -> onnx.ModelProto:
    weights = {initializer.name for initializer in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    onnx.checker.check_model(proto)
    name_dynamic_axes(proto)
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    return with_shapes(upgrade(proto))


def _graph(proto: onnx.ModelProto, label: str) -> Graph:
    names, modules = name_layers(proto)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    for node, name in zip(proto.graph.node, names, strict=True):
        node.name = name
    body = gs.import_onnx(proto)
    for tensor in body.tensors().values():
        if isinstance(tensor, gs.Constant):
            tensor.values = _read_only(tensor.values)
    return Graph(body, metadata, modules, label.removesuffix(".onnx"))


def _read_only(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    array.flags.writeable = False
    return array


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip()
