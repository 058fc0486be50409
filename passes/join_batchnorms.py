"""BatchNormalizations that follow each other become one."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.affine import batchnorm_problem, replace_result, scale_and_shift, write_batchnorm
from passes.graph import Graph, edited, kind, producer


def join_batchnorms(graph: Graph) -> Graph:
    """Join a BatchNormalization and the one that alone reads its result: two affine maps are one.

    Needs spelled scales.  Gives: the first under its own name, with mean 0, variance 1 and epsilon 0; its result under
    the second's.  Old exporters write BatchNormalization, Mul and Add for one layer.
    Declines: a result that others read too, statistics that are computed, training mode.
    """
    return edited(graph, _join)


def _join(graph: Graph) -> bool:
    taken = graph.names()
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for node in graph.nodes:
        first = _first(node, outputs)
        if first is not None:
            (scale, shift), (scale_after, shift_after) = scale_and_shift(first), scale_and_shift(node)
            write_batchnorm(first, scale * scale_after, shift * scale_after + shift_after, taken)
            replace_result(graph, first, node)
            changed = True
    return changed


def _first(node: gs.Node, outputs: set[int]) -> gs.Node | None:
    """Return the BatchNormalization that another one can be joined to, None where there is none."""
    if kind(node) != "BatchNormalization" or batchnorm_problem(node):
        return None
    source = node.inputs[0]
    first = producer(source)
    if first is None or kind(first) != "BatchNormalization" or batchnorm_problem(first):
        return None
    return first if len(source.outputs) == 1 and id(source) not in outputs else None
