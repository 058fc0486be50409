"""Residual additions become sums with named branches, and the fan-out before them explicit."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, same_shape, text_of_shape
from passes.graph.edit import Declined, Edit, rewrite


def split_residuals(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Split every residual: an Add of two tensors of one shape becomes a Sum of named branches.

    Gives: Sum under the Add's name, and an Identity `NAME.branch0`,
    `NAME.branch1`, ... for each branch that starts at a tensor which others read too, so that a
    shortcut is a layer of its own.  Keeps: nested additions as they are nested.
    Declines: additions that broadcast, and those of a constant.
    """
    return rewrite(graph, _find_branches, _split, declined)


def _find_branches(edit: Edit, node: gs.Node) -> list[int] | Declined | None:
    """Return which operands of a sum start at a fan-out."""
    if kind(node) not in ("Add", "Sum"):
        return None
    reason = _problem(node)
    shared = [i for i, tensor in enumerate(node.inputs) if len(tensor.outputs) > 1 and constant(tensor) is None]
    if (kind(node) == "Add" and not reason) or (kind(node) == "Sum" and shared):
        return shared
    return Declined(reason) if reason else None


def _problem(node: gs.Node) -> str:
    if any(constant(tensor) is not None for tensor in node.inputs):
        return "it adds a constant"
    if all(same_shape(node.inputs[0], other) for other in node.inputs):
        return ""
    return "its operands have the shapes " + " and ".join(text_of_shape(tensor) for tensor in node.inputs)


def _split(edit: Edit, node: gs.Node, shared: list[int]) -> None:
    node.op = "Sum"
    branches = []
    for index in shared:
        tensor, name = node.inputs[index], edit.claim(f"{node.name}.branch{index}")
        branch = gs.Variable(edit.claim(f"{name}.out"), tensor.dtype, tensor.shape)
        node.inputs[index] = branch
        branches.append(gs.Node("Identity", name, {}, [tensor], [branch]))
    edit.put(node, [*branches, node])
