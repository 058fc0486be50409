"""Residual additions become sums with named branches, and the fan-out before them explicit."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, claim, constant, edited, kind, same_shape


def split_residuals(graph: Graph) -> Graph:
    """Split every residual: an Add of two tensors of one shape becomes a Sum of named branches.

    Needs inferred shapes.  Gives: Sum under the Add's name, and an Identity `NAME.branch0`,
    `NAME.branch1`, ... for each branch that starts at a tensor which others read too, so that a
    shortcut is a layer of its own.  Keeps: nested additions as they are nested.
    Declines: additions that broadcast, and those of a constant.
    """
    return edited(graph, _split)


def additions_left(graph: Graph) -> list[Problem]:
    """Return the additions of two tensors that are no residual sum, each with the reason."""
    return [
        Problem(node.name, node.op, _declined(node))
        for node in graph.nodes
        if kind(node) in ("Add", "Sum") and _declined(node)
    ]


def _split(graph: Graph) -> bool:
    taken = graph.names()
    nodes: list[gs.Node] = []
    changed = False
    for node in graph.nodes:
        if kind(node) == "Add" and not _declined(node):
            node.op = "Sum"
            changed = True
        branches = _branches(node, taken) if kind(node) == "Sum" else []
        changed |= bool(branches)
        nodes += [*branches, node]
    if changed:
        graph.body.nodes = nodes
    return changed


def _declined(node: gs.Node) -> str:
    if any(constant(tensor) is not None for tensor in node.inputs):
        return "it adds a constant"
    first = node.inputs[0]
    if all(same_shape(first, other) for other in node.inputs):
        return ""
    return "its operands have the shapes " + " and ".join(_text(tensor) for tensor in node.inputs)


def _text(tensor: gs.Tensor) -> str:
    if tensor.shape is None:
        return "(unknown)"
    return "(" + ", ".join("?" if size in (None, "") else str(size) for size in tensor.shape) + ")"


def _branches(node: gs.Node, taken: set[str]) -> list[gs.Node]:
    """Give each branch that starts at a fan-out an Identity of its own."""
    made = []
    for index, tensor in enumerate(list(node.inputs)):
        if len(tensor.outputs) < 2 or constant(tensor) is not None:
            continue
        name = claim(f"{node.name}.branch{index}", taken)
        branch = gs.Variable(claim(f"{name}.out", taken), tensor.dtype, tensor.shape)
        node.inputs[index] = branch
        made.append(gs.Node("Identity", name, {}, [tensor], [branch]))
    return made
