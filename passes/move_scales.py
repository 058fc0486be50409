"""A scale or shift behind a Transpose comes before it, where the layer is that it belongs to."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, producer, same_shape

_ARITHMETIC = ("Mul", "Div", "Add", "Sub")


def move_scales(graph: Graph) -> Graph:
    """Swap a Transpose and the Mul, Div, Add or Sub behind it that has a constant for each channel before it.

    Needs inferred shapes and a constant as second operand.  Gives: the constant along axis 1, where `spell_scales`
    finds it, in a model that keeps channels last, as Keras does.
    Declines: a Transpose that others read too, constants along another axis, or along several.
    """
    return edited(graph, _move)


def _move(graph: Graph) -> bool:
    taken = graph.names()
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for place, node in enumerate(list(graph.nodes)):
        transpose = _transpose(node, outputs) if kind(node) in _ARITHMETIC else None
        if transpose is None:
            continue
        before = next(i for i, other in enumerate(graph.nodes) if other is transpose)
        _swap(transpose, node, taken)
        graph.nodes[before], graph.nodes[place] = node, transpose
        changed = True
    return changed


def _transpose(node: gs.Node, outputs: set[int]) -> gs.Node | None:
    """Return the Transpose that a node can swap with, None where there is none."""
    x, other = node.inputs
    before, values = producer(x), constant(other)
    if before is None or kind(before) != "Transpose" or values is None or before.inputs[0].shape is None:
        return None
    if len(x.outputs) != 1 or id(x) in outputs or not same_shape(x, node.outputs[0]):
        return None
    return before if [axis for axis, size in enumerate(_before(before, values).shape) if size > 1] == [1] else None


def _before(transpose: gs.Node, values: np.ndarray) -> np.ndarray:
    """Return a constant that fits behind a Transpose as it fits before it."""
    rank = len(transpose.inputs[0].shape)
    axes = transpose.attrs.get("perm", range(rank)[::-1])
    return values.reshape((1,) * (rank - values.ndim) + values.shape).transpose(np.argsort(axes))


def _swap(transpose: gs.Node, node: gs.Node, taken: set[str]) -> None:
    x, result = transpose.inputs[0], node.outputs[0]
    moved = _before(transpose, node.inputs[1].values)
    moved.flags.writeable = False
    inner = gs.Variable(claim(f"{node.name}/moved", taken), x.dtype, x.shape)
    keep_inputs(node, 0)
    node.inputs += [x, gs.Constant(claim(f"{node.name}.constant", taken), moved)]
    keep_inputs(transpose, 0)
    transpose.inputs.append(inner)
    node.outputs.clear()
    transpose.outputs.clear()
    node.outputs.append(inner)
    transpose.outputs.append(result)
