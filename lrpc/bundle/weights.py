"""Large weights, apart from the graphs that name them: each once, whichever graphs read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
from onnx import ModelProto, TensorProto

WEIGHTS = "weights.bin"
_ALIGNMENT = 64
_SMALL = 1024
"""Initializers of fewer bytes stay in the graph: shapes, epsilons, biases of small layers."""


def take_out(graphs: Mapping[str, ModelProto], outside: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Empty models of their large initializers, in place, and return these by name, in the order of `write_weights`.

    The same name in several graphs is the same weight.  outside: see `Bundle.of`.
    """
    weights: dict[str, np.ndarray] = {}
    places: dict[str, int] = {}
    end = 0
    for proto in graphs.values():
        for tensor in proto.graph.initializer:
            values = _values(tensor, outside)
            if values.nbytes < _SMALL:
                continue
            if tensor.name not in weights:
                end += -end % _ALIGNMENT
                weights[tensor.name], places[tensor.name] = values, end
                end += values.nbytes
            _point(tensor, places[tensor.name], values.nbytes)
    return weights


def write_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights where the graphs that they were taken out of look for them."""
    with path.open("wb") as file:
        for values in weights.values():
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            file.write(values.reshape(-1).view(np.uint8).data)


def put_back(model: ModelProto, weights: Mapping[str, np.ndarray]) -> ModelProto:
    """Return a copy of a model that holds its weights."""
    whole = ModelProto()
    whole.CopyFrom(model)
    for tensor in whole.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = weights[tensor.name].tobytes()
    return whole


def size_of(model: ModelProto, weights: Mapping[str, np.ndarray]) -> int:
    """Return the bytes that a model would have with its weights in it."""
    names = {tensor.name for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL}
    return int(model.ByteSize()) + sum(weights[name].nbytes for name in names)


def _values(tensor: TensorProto, outside: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return an initializer's values; the array that it was written from, where that is known, is not copied."""
    known = outside.get(tensor.name)
    if known is not None and (
        tensor.data_location == TensorProto.EXTERNAL or known.nbytes == len(tensor.raw_data) >= _SMALL
    ):
        return np.ascontiguousarray(known)
    return np.ascontiguousarray(onnx.numpy_helper.to_array(tensor))


def _point(tensor: TensorProto, offset: int, length: int) -> None:
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
