"""Positions in another order are spelled as Slices and a Concat."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, producer, shape_of, static_shape
from passes.graph.edit import Declined, Edit, rewrite
from passes.spell_slices import slice_node

_MOST_RUNS = 64


def spell_gathers(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell a choice of several positions along an axis as Slices of neighbours, and a Concat of these.

    Gives: Slices `NAME.part`, `NAME.part:1`, ... and a Concat NAME for a Gather of constant
    positions, for a Slice that steps backwards, and for torch's x[:, [2, 1, 0]], a GatherND between two Transposes.
    Declines: positions along the batch or an axis of dynamic size, computed ones, and more than 64 runs of neighbours.
    """
    return rewrite(graph, _find_choice, _slice_and_join, declined)


@dataclass(frozen=True)
class _Choice:
    """The positions of a tensor that are chosen along an axis, and the result."""

    x: gs.Tensor
    axis: int
    positions: list[int]
    result: gs.Variable

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Where runs of neighbours begin and end."""
        ends = [i + 1 for i, (a, b) in enumerate(pairwise(self.positions)) if b != a + 1]
        return list(zip([0, *ends], [*ends, len(self.positions)], strict=True))


def _find_choice(edit: Edit, node: gs.Node) -> _Choice | Declined | None:
    find = _CHOICES.get(kind(node))
    if find is None or not node.inputs or node.inputs[0].dtype != np.float32 or constant(node.inputs[0]) is not None:
        return None  # shape arithmetic is no layer
    found = find(node)
    if found is None or isinstance(found, Declined):
        return found
    if found.axis == 0:
        return Declined("it chooses along the batch")
    if not found.positions:
        return Declined("it chooses no positions")
    if len(found.runs) > _MOST_RUNS:
        return Declined(f"it chooses {len(found.runs)} runs of neighbours, more than {_MOST_RUNS}")
    return found


def _gather(node: gs.Node) -> _Choice | Declined | None:
    x, index = node.inputs[0], constant(node.inputs[1])
    if index is None:
        return Declined("its positions are computed")
    if index.size < 2:
        return None
    if index.ndim != 1:
        return Declined("its positions are no list but a table")
    return _choice(x, int(node.attrs.get("axis", 0)), index, node.outputs[0])


def _between_transposes(node: gs.Node) -> _Choice | Declined | None:
    before, index = producer(node.inputs[0]), constant(node.inputs[1])
    if index is None:
        return Declined("its positions are computed")
    readers = node.outputs[0].outputs
    if index.ndim != 2 or index.shape[1] != 1 or node.attrs.get("batch_dims", 0):
        return Declined("its positions are no list along one axis")
    if before is None or kind(before) != "Transpose" or [kind(reader) for reader in readers] != ["Transpose"]:
        return Declined("it is not between two Transposes")
    there, back = before.attrs["perm"], readers[0].attrs["perm"]
    if [there[axis] for axis in back] != list(range(len(there))):
        return Declined("the Transposes before and behind it do not undo each other")
    return _choice(before.inputs[0], there[0], index[:, 0], readers[0].outputs[0])


def _backwards(node: gs.Node) -> _Choice | Declined | None:
    given = [constant(tensor) for tensor in node.inputs[1:]]
    if len(given) != 4 or any(values is None or values.size != 1 for values in given):
        return None
    start, end, axis, step = (int(values.item()) for values in given if values is not None)
    if step > 0:
        return None
    shape = static_shape(node.inputs[0])
    size = None if shape is None else shape[axis]
    if size is None:
        return Declined("it steps backwards along an axis of dynamic size")
    return _choice(node.inputs[0], axis, np.arange(size)[start:end:step], node.outputs[0])


_CHOICES = {"Gather": _gather, "GatherND": _between_transposes, "Slice": _backwards}


def _choice(x: gs.Tensor, axis: int, positions: np.ndarray, result: gs.Variable) -> _Choice | Declined:
    shape = static_shape(x)
    size = None if shape is None else shape[axis]
    if shape is None or size is None:
        return Declined("the size of the axis that it chooses along is dynamic")
    return _Choice(x, axis % len(shape), [int(position) % size for position in positions], result)


def _slice_and_join(edit: Edit, node: gs.Node, found: _Choice) -> None:
    x, axis, positions = found.x, found.axis, found.positions
    sizes = shape_of(x)
    edit.detach(node)
    found.result.inputs.clear()
    parts = []
    for first, last in found.runs:
        name = edit.claim(f"{node.name}.part")
        shape = [*sizes[:axis], last - first, *sizes[axis + 1 :]]
        target = gs.Variable(edit.claim(f"{name}.result"), x.dtype, shape)
        parts.append(slice_node(edit, name, x, (positions[first], positions[last - 1] + 1), axis, target))
    joined = gs.Node("Concat", node.name, {"axis": axis}, [part.outputs[0] for part in parts], [found.result])
    edit.put(node, [*parts, joined])
