"""A sum over branches that were stacked or joined for it is spelled as a sum of these branches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, producer, same_shape, static_shape
from passes.graph.edit import Declined, Edit, Step, rewrite


def spell_sums(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell torch's stack(...).sum(axis), and a cat whose blocks are added up, as a Sum of the branches.

    Gives: Sum under the ReduceSum's name, where that adds up along the
    axis of a Concat, of which each operand is one position, or a block that a Reshape made one; a Reshape `NAME.shape`
    where the result has not the branches' shape.  `split_residuals` names the branches.
    Declines: operands of different shapes, or constant ones, and sums over other axes too; these stay ReduceSum.
    """
    return rewrite(graph, _find_sum, Edit.replace, declined)


def _find_sum(edit: Edit, node: gs.Node) -> list[Step] | Declined | None:
    """Return the sum of the branches, where a ReduceSum adds up what a Concat joined."""
    source = producer(node.inputs[0]) if kind(node) == "ReduceSum" and node.inputs else None
    if source is not None and kind(source) == "Reshape":
        source = producer(source.inputs[0])
    if source is None or kind(source) != "Concat":
        return None
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None or axes.size != 1 or source.attrs["axis"] != axes[0]:
        return Declined(f"it sums over other axes than the one that {source.name} joins along")
    branches = _branches(node, source, int(axes[0]))
    return branches if isinstance(branches, Declined) else _sum(node, branches)


def _branches(node: gs.Node, source: gs.Node, axis: int) -> list[gs.Tensor] | Declined:
    """Return what a sum adds up where that are the operands of a Concat, one by one."""
    parts, shape = list(source.inputs), static_shape(node.inputs[0])
    block = static_shape(parts[0])
    if any(constant(part) is not None or not same_shape(parts[0], part) for part in parts):
        return Declined(f"{source.name} joins constants, or tensors of different shapes")
    if shape is None or block is None or shape.count(None) > 1 or block.count(None) > 1:
        return Declined("its input has more than one dynamic axis")
    if shape[: axis + 1] != (*block[:axis], len(parts)) or _count(shape[axis + 1 :]) != _count(block[axis:]):
        return Declined(f"it adds up other blocks than {source.name} joins")
    inner = [_before_stacking(part, (*shape[:axis], *shape[axis + 1 :])) for part in parts]
    return inner if all(same_shape(inner[0], other) for other in inner) else parts


def _count(sizes: Sequence[int | None]) -> tuple[int, int]:
    """Return the product of the sizes that are known, and how many are not."""
    return math.prod(1 if size is None else size for size in sizes), sizes.count(None)


def _before_stacking(part: gs.Tensor, shape: tuple[int | None, ...]) -> gs.Tensor:
    """Return the tensor of this shape that an axis of size 1 was put into, the operand itself where there is none."""
    before = producer(part)
    if before is None or kind(before) not in ("Unsqueeze", "Reshape") or static_shape(before.inputs[0]) != shape:
        return part
    return before.inputs[0]


def _sum(node: gs.Node, branches: list[gs.Tensor]) -> list[Step]:
    result, first = node.outputs[0], branches[0]
    total = Step("Sum", node.name, {}, {}, f"{result.name}/sum", first.shape, reads=branches)
    target = static_shape(result)
    if target is None or target == static_shape(first):
        return [total]
    sizes = np.array([-1 if size is None else size for size in target], np.int64)
    return [total, Step("Reshape", f"{node.name}.shape", {}, {f"{node.name}.target": sizes})]
