"""The weights of a file before anything is made of them: how large they say they are, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.helper

from passes.errors import LrpcError, Problem
from passes.loading.file_errors import reason_of, short_path
from passes.numbers import short, short_list

_HALF_BYTES = {"INT4", "UINT4", "FLOAT4E2M1"}
_QUARTER_BYTES = {"INT2", "UINT2"}
_EXPORT_AGAIN = "The file is damaged; export or download it again."
_BESIDE = "Put the weights beside the model, under the name that they had when it was exported."


def check_tensors(proto: onnx.ModelProto, folder: Path | None, label: str) -> None:
    """Raise LrpcError where a weight is not what the file says of it, before any of it is read or allocated.

    folder: where external data lies, None where there can be none. Files outside it are never opened: not by
    `..`, not by an absolute path, not through a link.
    """
    found = [
        Problem(tensor.name or "-", "weight", reason, hint)
        for tensor in all_tensors(proto)
        for reason, hint in [_problem(tensor, folder)]
        if reason
    ]
    if found:
        raise LrpcError(f"{label} is not a valid ONNX model: weights that cannot be read ({len(found)}).", found)


def all_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor that a model holds: initializers and attributes, in branches and functions too."""
    graphs = [proto.graph]
    nodes = [node for function in proto.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            yield from (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def byte_size(tensor: onnx.TensorProto) -> int | None:
    """Return how many bytes a tensor's values take by what it says of itself, None for strings and unknown types."""
    known = onnx.TensorProto.DataType.values()
    if tensor.data_type not in known or tensor.data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return None
    count: int = math.prod(tensor.dims)
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name in _HALF_BYTES | _QUARTER_BYTES:
        per_byte = 2 if name in _HALF_BYTES else 4
        return -(-count // per_byte)
    return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's values are in another file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def map_values(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """Return an external tensor's values where they lie, read when they are needed."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    offset = int(entries.get("offset") or 0)
    return np.memmap(folder / entries["location"], dtype, "r", offset, tuple(tensor.dims))


def _problem(tensor: onnx.TensorProto, folder: Path | None) -> tuple[str, str]:
    """Return what is wrong with a tensor and what to do about it, "" twice if nothing is."""
    if any(dim < 0 for dim in tensor.dims):
        return f"its dimensions are {short_list(tensor.dims)}", _EXPORT_AGAIN
    size = byte_size(tensor)
    if is_external(tensor):
        return _external_problem(tensor, folder, size)
    if size is not None and tensor.HasField("raw_data") and len(tensor.raw_data) != size:
        held = len(tensor.raw_data)
        return (
            f"its dimensions {short_list(tensor.dims)} need {short(size)} bytes, and the file holds {short(held)}",
            _EXPORT_AGAIN,
        )
    return "", ""


def _external_problem(tensor: onnx.TensorProto, folder: Path | None, size: int | None) -> tuple[str, str]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        return "its values are in another file", "Give the path of the .onnx file, or load it with its external data."
    try:
        offset, length = int(entries.get("offset") or 0), entries.get("length")
        taken = None if length in (None, "") else int(length)
        path = folder / location
        outside = Path(location).is_absolute() or not path.resolve().is_relative_to(folder.resolve())
        there = not outside and location != "" and path.is_file()
        held = path.stat().st_size if there else 0
    except (OSError, RuntimeError, ValueError) as error:
        return (
            f"where its values lie cannot be read: {reason_of(error) if isinstance(error, OSError) else error}",
            _BESIDE,
        )
    if outside:
        return f"its values are outside the model's folder ({short_path(location)}), where lrpc reads nothing", _BESIDE
    if not there:
        return f"the file {short_path(location)!r} with its values is missing", _BESIDE
    taken = held - offset if taken is None else taken
    if offset < 0 or taken < 0 or offset + taken > held:
        return f"it ends at byte {short(offset + taken)} of {location}, which has {short(held)}", _BESIDE
    if size is None or taken != size:
        needed = "an unknown number of" if size is None else short(size)
        return f"its dimensions {short_list(tensor.dims)} need {needed} bytes, and it has {short(taken)}", _BESIDE
    return "", ""
