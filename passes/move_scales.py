"""A scale or shift behind a Transpose comes before it, where the layer is that it belongs to."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, producer, same_shape, shape_of, values_of
from passes.graph.edit import Declined, Edit, rewrite

_ARITHMETIC = ("Mul", "Div", "Add", "Sub")


def move_scales(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Swap a Transpose and the Mul, Div, Add or Sub behind it that has a constant for each channel before it.

    Gives: the constant along axis 1, where `spell_scales`
    finds it, in a model that keeps channels last, as Keras does.
    Declines: a Transpose that others read too, constants along another axis, or along several.
    """
    return rewrite(graph, _find_transpose, _swap, declined)


def _find_transpose(edit: Edit, node: gs.Node) -> gs.Node | Declined | None:
    """Return the Transpose that a node can swap with."""
    if kind(node) not in _ARITHMETIC or len(node.inputs) != 2:
        return None
    x, other = node.inputs
    before, values = producer(x), constant(other)
    if before is None or kind(before) != "Transpose" or values is None:
        return None
    if not edit.is_read_once(x):
        return Declined(f"the result of {before.name} is read by others too")
    if before.inputs[0].shape is None or not same_shape(x, node.outputs[0]):
        return Declined(f"its result has another shape than that of {before.name}, or one that is not known")
    if [axis for axis, size in enumerate(_move_axes(before, values).shape) if size > 1] != [1]:
        return Declined(f"its constant is not one value per channel in front of {before.name}")
    return before


def _move_axes(transpose: gs.Node, values: np.ndarray) -> np.ndarray:
    """Return a constant that fits behind a Transpose as it fits before it."""
    rank = len(shape_of(transpose.inputs[0]))
    axes = transpose.attrs.get("perm", range(rank)[::-1])
    return values.reshape((1,) * (rank - values.ndim) + values.shape).transpose(np.argsort(axes))


def _swap(edit: Edit, node: gs.Node, transpose: gs.Node) -> None:
    x, result = transpose.inputs[0], node.outputs[0]
    moved = _move_axes(transpose, values_of(node.inputs[1]))
    inner = gs.Variable(edit.claim(f"{node.name}/moved"), x.dtype, x.shape)
    operand = edit.constant(f"{node.name}.constant", moved)
    for old in (node, transpose):
        edit.detach(old)
    edit.put(transpose, [gs.Node(node.op, node.name, node.attrs, [x, operand], [inner])])
    edit.put(node, [gs.Node(transpose.op, transpose.name, transpose.attrs, [inner], [result])])
