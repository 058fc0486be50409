"""Positions in another order are spelled as Slices and a Concat."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, kind, producer, static_shape
from passes.spell_slices import slice_node

_MOST_RUNS = 64


def spell_gathers(graph: Graph) -> Graph:
    """Spell a choice of several positions along an axis as Slices of neighbours, and a Concat of these.

    Needs inferred shapes.  Gives: Slices `NAME.part`, `NAME.part:1`, ... and a Concat NAME for a Gather of constant
    positions, for a Slice that steps backwards, and for torch's x[:, [2, 1, 0]], a GatherND between two Transposes.
    Declines: positions along the batch or an axis of dynamic size, computed ones, and more than 64 runs of neighbours.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    nodes = [part for node in graph.nodes for part in (_respelled(node, taken) or [node])]
    changed = len(nodes) > len(graph.nodes)
    graph.body.nodes = nodes
    return changed


def _respelled(node: gs.Node, taken: set[str]) -> list[gs.Node] | None:
    find = {"Gather": _gathered, "GatherND": _between_transposes, "Slice": _backwards}.get(kind(node))
    found = find(node) if find is not None else None
    if found is None:
        return None
    x, axis, positions, result = found
    ends = [i + 1 for i, (a, b) in enumerate(pairwise(positions)) if b != a + 1]
    runs = list(zip([0, *ends], [*ends, len(positions)], strict=True))
    if axis == 0 or x.dtype != np.float32 or constant(x) is not None or not positions or len(runs) > _MOST_RUNS:
        return None
    node.inputs.clear()
    result.inputs.clear()
    parts = []
    for first, last in runs:
        name = claim(f"{node.name}.part", taken)
        shape = [*x.shape[:axis], last - first, *x.shape[axis + 1 :]]
        target = gs.Variable(claim(f"{name}.result", taken), x.dtype, shape)
        parts.append(slice_node(name, x, (positions[first], positions[last - 1] + 1), axis, target, taken))
    return [*parts, gs.Node("Concat", node.name, {"axis": axis}, [part.outputs[0] for part in parts], [result])]


Found = tuple[gs.Tensor, int, list[int], gs.Tensor]
"""A tensor, the axis along which positions are chosen, these, and the result."""


def _gathered(node: gs.Node) -> Found | None:
    x, index = node.inputs[0], constant(node.inputs[1])
    if index is None or index.ndim != 1 or index.size < 2:
        return None
    return _chosen(x, int(node.attrs.get("axis", 0)), index, node.outputs[0])


def _between_transposes(node: gs.Node) -> Found | None:
    before, index = producer(node.inputs[0]), constant(node.inputs[1])
    readers = node.outputs[0].outputs
    if index is None or index.ndim != 2 or index.shape[1] != 1 or node.attrs.get("batch_dims", 0):
        return None
    if kind(before) != "Transpose" or [kind(reader) for reader in readers] != ["Transpose"] or before is None:
        return None
    there, back = before.attrs["perm"], readers[0].attrs["perm"]
    if [there[axis] for axis in back] != list(range(len(there))):
        return None
    return _chosen(before.inputs[0], there[0], index[:, 0], readers[0].outputs[0])


def _backwards(node: gs.Node) -> Found | None:
    given = [constant(tensor) for tensor in node.inputs[1:]]
    if len(given) != 4 or any(values is None or values.size != 1 for values in given):
        return None
    start, end, axis, step = (int(values.item()) for values in given if values is not None)
    shape = static_shape(node.inputs[0])
    size = None if shape is None else shape[axis]
    if step > 0 or size is None:
        return None
    return _chosen(node.inputs[0], axis, np.arange(size)[start:end:step], node.outputs[0])


def _chosen(x: gs.Tensor, axis: int, positions: np.ndarray, result: gs.Tensor) -> Found | None:
    shape = static_shape(x)
    size = None if shape is None else shape[axis]
    if shape is None or size is None:
        return None
    return x, axis % len(shape), [int(position) % size for position in positions], result
