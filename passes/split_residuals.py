"""Residual additions become sums with named branches, and the fan-out before them explicit."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, edited, unique


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
        Problem(
            node.name,
            node.op,
            "its operands have different shapes" if _dynamic(node) else "it adds a constant",
        )
        for node in graph.nodes
        if node.op == "Add"
    ]


def _split(graph: Graph) -> bool:
    taken = graph.tensor_names() | {node.name for node in graph.nodes}
    nodes: list[gs.Node] = []
    changed = False
    for node in graph.nodes:
        if node.op == "Add" and _is_residual(node):
            node.op = "Sum"
            changed = True
        branches = _branches(node, taken) if node.op == "Sum" else []
        changed |= bool(branches)
        nodes += [*branches, node]
    if changed:
        graph.body.nodes = nodes
    return changed


def _dynamic(node: gs.Node) -> bool:
    return all(constant(tensor) is None for tensor in node.inputs)


def _is_residual(node: gs.Node) -> bool:
    shapes = [tensor.shape for tensor in node.inputs]
    return _dynamic(node) and None not in shapes and len({tuple(map(str, shape)) for shape in shapes}) == 1


def _branches(node: gs.Node, taken: set[str]) -> list[gs.Node]:
    """Give each branch that starts at a fan-out an Identity of its own."""
    made = []
    for index, tensor in enumerate(list(node.inputs)):
        if len(tensor.outputs) < 2 or constant(tensor) is not None:
            continue
        name = unique(f"{node.name}.branch{index}", taken)
        branch = gs.Variable(unique(f"{name}.out", taken), tensor.dtype, tensor.shape)
        taken |= {name, branch.name}
        node.inputs[index] = branch
        made.append(gs.Node("Identity", name, {}, [tensor], [branch]))
    return made
