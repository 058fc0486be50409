"""A scale or shift behind a Transpose comes before it, where the layer is that it belongs to."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, producer, same_shape

_ARITHMETIC = ("Mul", "Div", "Add", "Sub")


def move_scales(graph: Graph) -> Graph:
    """Swap a Transpose and the Mul, Div, Add or Sub behind it that has one constant, or one per place of one axis.

    Needs inferred shapes and a constant as second operand.  Gives: the constant with the axes that the tensor has
    before the Transpose, so that `spell_scales` finds the channels of a model that keeps them last, as Keras does.
    Declines: a Transpose that others read too, a constant that broadcasting makes the result larger by.
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
    alone = len(x.outputs) == 1 and id(x) not in outputs
    small = values.size == max(values.shape, default=1) and values.ndim <= len(before.inputs[0].shape)
    return before if alone and small and same_shape(x, node.outputs[0]) else None


def _swap(transpose: gs.Node, node: gs.Node, taken: set[str]) -> None:
    x, result = transpose.inputs[0], node.outputs[0]
    rank = len(x.shape)
    axes = transpose.attrs.get("perm", range(rank)[::-1])
    values = node.inputs[1].values
    moved = values.reshape((1,) * (rank - values.ndim) + values.shape).transpose(np.argsort(axes))
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
