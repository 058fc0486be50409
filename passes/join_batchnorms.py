"""BatchNormalizations that follow each other become one."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.affine import batchnorm_problem, replace_result, scale_and_shift, write_batchnorm
from passes.errors import Problem
from passes.graph import Graph, kind, producer
from passes.graph.edit import Declined, Edit, rewrite


def join_batchnorms(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Join a BatchNormalization and the one that alone reads its result: two affine maps are one.

    Gives: the first under its own name, with mean 0, variance 1 and epsilon 0; its result under the second's. Old
    exporters write BatchNormalization, Mul and Add for one layer.
    Declines: a result that others read too, statistics that are computed, training mode.
    """
    return rewrite(graph, _find_first, _join, declined)


def _find_first(edit: Edit, node: gs.Node) -> gs.Node | Declined | None:
    """Return the BatchNormalization that another one can be joined to."""
    first = producer(node.inputs[0]) if kind(node) == "BatchNormalization" and node.inputs else None
    if first is None or kind(first) != "BatchNormalization":
        return None
    if reason := batchnorm_problem(node):
        return Declined(reason)
    if reason := batchnorm_problem(first):
        return Declined(f"{first.name} cannot take it up: {reason}")
    if not edit.is_read_once(node.inputs[0]):
        return Declined(f"the result of {first.name} is read by others too")
    return first


def _join(edit: Edit, node: gs.Node, first: gs.Node) -> None:
    (scale, shift), (scale_after, shift_after) = scale_and_shift(first), scale_and_shift(node)
    write_batchnorm(edit, first, scale * scale_after, shift * scale_after + shift_after)
    replace_result(edit, first, node)
