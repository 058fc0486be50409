"""A constant that is added behind a linear layer becomes its bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from passes.affine import LINEAR
from passes.errors import Problem
from passes.graph import Graph, constant, keep_inputs, kind, operand, producer, read_only
from passes.graph.edit import Declined, Edit, rewrite


def merge_biases(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Merge the Add of a constant per output channel into the linear layer before it.

    Gives: the Conv, ConvTranspose or Gemm under its own name, with the constant in its bias; the Reshape behind a Gemm
    of higher rank is looked through.
    Declines: a constant that differs from position to position, a result that others read too, a computed bias.
    """
    return rewrite(graph, _find_bias, _merge, declined)


@dataclass(frozen=True)
class _Shift:
    """What is added to the result of a linear layer.

    source: the operand that comes from the layer.  bias: the constant as one value per output.
    """

    layer: gs.Node
    source: gs.Tensor
    constant: gs.Constant
    bias: np.ndarray


def _find_bias(edit: Edit, add: gs.Node) -> _Shift | Declined | None:
    if kind(add) != "Add" or len(add.inputs) != 2:
        return None
    for source, shift in (add.inputs, add.inputs[::-1]):
        layer = _linear_before(source)
        if layer is None or not isinstance(shift, gs.Constant):
            continue
        if not edit.is_read_once(source) or not edit.is_read_once(layer.outputs[0]):
            return Declined(f"the result of {layer.name} is read by others too")
        bias = _per_channel(layer, source, shift.values)
        if bias is None:
            return Declined(f"its constant is not one value per output of {layer.name}")
        old = operand(layer, 2)
        values = None if old is None else constant(old)
        if old is not None and (values is None or values.shape != bias.shape or layer.attrs.get("beta", 1.0) != 1.0):
            return Declined(f"the bias of {layer.name} is not one constant per output")
        return _Shift(layer, source, shift, bias)
    return None


def _linear_before(source: gs.Tensor) -> gs.Node | None:
    """Return the layer that computes a tensor, through a Reshape that keeps a Gemm's last axis."""
    layer = producer(source)
    if layer is None or kind(layer) != "Reshape":
        return layer if kind(layer) in LINEAR else None
    product = layer.inputs[0]
    inner = producer(product)
    if kind(inner) != "Gemm" or not source.shape or not product.shape:
        return None
    return inner if source.shape[-1] == product.shape[-1] else None


def _per_channel(layer: gs.Node, source: gs.Tensor, shift: np.ndarray) -> np.ndarray | None:
    """Return the constant as one value per output channel, None if it is not of that form."""
    if source.shape is None or shift.ndim > len(source.shape):
        return None
    axis = len(source.shape) - 1 if layer.op == "Gemm" else 1
    channels = source.shape[axis]
    shape = [1] * (len(source.shape) - shift.ndim) + list(shift.shape)
    wanted = [channels if i == axis else 1 for i in range(len(source.shape))]
    if not isinstance(channels, int) or (shape != wanted and shift.size != 1):
        return None
    return np.array(np.broadcast_to(shift.reshape(-1), (channels,)))


def _merge(edit: Edit, add: gs.Node, found: _Shift) -> None:
    layer, shift, bias = found.layer, found.constant, found.bias
    old = operand(layer, 2)
    values = None if old is None else constant(old)
    if values is not None:
        bias = (values.astype(np.float64) + bias).astype(values.dtype)
    replaced = shift if old is None else old
    name = replaced.name if len(replaced.outputs) == 1 else edit.claim(f"{layer.name}.bias")
    keep_inputs(layer, 2)
    layer.inputs.append(gs.Constant(name, read_only(bias)))
    edit.redirect(add.outputs[0], found.source)
