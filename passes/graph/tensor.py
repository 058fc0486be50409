"""What is known of a tensor, and of the node that reads it: values, shape, type, producer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

Shape = Sequence[int | str | None]
"""The sizes of a tensor: a dynamic axis has a symbol, or None."""


def kind(node: gs.Node | None) -> str:
    """Return a node's op; `domain::op` outside standard ONNX, so that no custom op passes for a standard one."""
    if node is None:
        return ""
    return str(node.op) if node.domain in (None, "", "ai.onnx") else f"{node.domain}::{node.op}"


def constant(tensor: gs.Tensor) -> np.ndarray | None:
    """Return the array of a constant tensor, None for one that is computed."""
    return tensor.values if isinstance(tensor, gs.Constant) else None


def values_of(tensor: gs.Tensor) -> np.ndarray:
    """Return the array of a tensor that is known to be a constant. Raises ValueError where it is computed."""
    if not isinstance(tensor, gs.Constant):
        raise ValueError(f"{tensor.name} is computed, where a constant is needed")
    return tensor.values


def operand(node: gs.Node, index: int) -> gs.Tensor | None:
    """Return one of a node's inputs, None where it is left out."""
    return node.inputs[index] if len(node.inputs) > index and not node.inputs[index].is_empty() else None


def read_only(array: np.ndarray) -> np.ndarray:
    """Return an array of weights, which no one may write to, since copies of a graph share it."""
    array.flags.writeable = False
    return array


LITERALS = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""What a Constant node holds, by attribute, and its type where graphsurgeon gives Python's numbers."""


def held(tensor: gs.Tensor) -> np.ndarray | None:
    """Return a constant's array, also where it still is a Constant node; None for what is computed."""
    node = producer(tensor)
    if node is None or kind(node) != "Constant":
        return constant(tensor)
    name, value = next(((key, value) for key, value in node.attrs.items() if key.startswith("value")), ("", None))
    if value is None:
        return None
    return np.asarray(value.values if isinstance(value, gs.Constant) else value, LITERALS.get(name))


def static_shape(tensor: gs.Tensor) -> tuple[int | None, ...] | None:
    """Return the shape with None for each dynamic axis, or None where even the rank is unknown."""
    if tensor.shape is None:
        return None
    return tuple(int(d) if isinstance(d, (int, np.integer)) else None for d in tensor.shape)


def shape_of(tensor: gs.Tensor) -> list[int | str | None]:
    """Return the shape, symbols included, of a tensor whose rank is known. Raises ValueError where it is not."""
    if tensor.shape is None:
        raise ValueError(f"the rank of {tensor.name} is not known")
    return list(tensor.shape)


def size_of(tensor: gs.Tensor, axis: int) -> int:
    """Return the size of an axis that has one. Raises ValueError where it is dynamic, or the rank not known."""
    size = shape_of(tensor)[axis]
    if not isinstance(size, (int, np.integer)):
        raise ValueError(f"axis {axis} of {tensor.name} has no fixed size")
    return int(size)


def sizes_of(tensor: gs.Tensor, first: int = 0) -> list[int]:
    """Return the sizes of the axes from `first` on. Raises ValueError where one is dynamic, or the rank not known."""
    return [size_of(tensor, axis) for axis in range(first, rank_of(tensor))]


def rank_of(tensor: gs.Tensor) -> int:
    """Return the number of axes. Raises ValueError where it is not known."""
    return len(shape_of(tensor))


def dtype_of(tensor: gs.Tensor) -> np.dtype[Any]:
    """Return the type of a tensor as numpy's. Raises ValueError where it is not known, or numpy has none like it."""
    if tensor.dtype is None or isinstance(tensor.dtype, int):
        raise ValueError(f"{tensor.name} has no type that numpy knows")
    return np.dtype(tensor.dtype)


def text_of_shape(tensor: gs.Tensor) -> str:
    """Return a shape as messages show it, `?` for a size without a name."""
    if tensor.shape is None:
        return "(unknown)"
    return "(" + ", ".join("?" if size in (None, "") else str(size) for size in tensor.shape) + ")"


def same_shape(first: gs.Tensor, second: gs.Tensor) -> bool:
    """Whether two tensors surely have one shape: every axis of one size, or of one symbol."""
    if first.shape is None or second.shape is None or len(first.shape) != len(second.shape):
        return False
    return all(a == b and a not in (None, "") for a, b in zip(first.shape, second.shape, strict=True))


def producer(tensor: gs.Tensor) -> gs.Node | None:
    """Return the node that computes a tensor, None for an input or a constant."""
    return tensor.inputs[0] if tensor.inputs else None


def keep_inputs(node: gs.Node, count: int) -> None:
    """Drop a node's inputs behind the first `count`."""
    while len(node.inputs) > count:
        node.inputs.pop()


def stray_bias(node: gs.Node) -> bool:
    """Whether a convolution has a constant bias that is no vector."""
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return bias is not None and bias.ndim != 1
