"""A sum over branches that were stacked or joined for it is spelled as a sum of these branches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, kind, producer, same_shape, static_shape


def spell_sums(graph: Graph) -> Graph:
    """Spell torch's stack(...).sum(axis), and a cat whose blocks are added up, as a Sum of the branches.

    Needs spelled attributes and inferred shapes.  Gives: Sum under the ReduceSum's name, where that adds up along the
    axis of a Concat, of which each operand is one position, or a block that a Reshape made one; a Reshape `NAME.shape`
    where the result has not the branches' shape.  `split_residuals` names the branches.
    Declines: operands of different shapes, or constant ones, and sums over other axes too; these stay ReduceSum.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    nodes: list[gs.Node] = []
    changed = False
    for node in graph.nodes:
        branches = _branches(node) if kind(node) == "ReduceSum" else None
        changed |= branches is not None
        nodes += [node] if branches is None else _summed(node, branches, taken)
    if changed:
        graph.body.nodes = nodes
    return changed


def _branches(node: gs.Node) -> list[gs.Tensor] | None:
    """Return what a sum adds up where that are the operands of a Concat, one by one; None elsewhere."""
    x, axes = node.inputs[0], constant(node.inputs[1]) if len(node.inputs) > 1 else None
    source = producer(x)
    if kind(source) == "Reshape" and source is not None:
        source = producer(source.inputs[0])
    if source is None or kind(source) != "Concat" or axes is None or axes.size != 1 or source.attrs["axis"] != axes[0]:
        return None
    parts, shape, axis = list(source.inputs), static_shape(x), int(axes[0])
    block = static_shape(parts[0])
    if any(constant(part) is not None or not same_shape(parts[0], part) for part in parts):
        return None
    if shape is None or block is None or shape.count(None) > 1 or block.count(None) > 1:
        return None
    if shape[: axis + 1] != (*block[:axis], len(parts)) or _count(shape[axis + 1 :]) != _count(block[axis:]):
        return None
    inner = [_unstacked(part, (*shape[:axis], *shape[axis + 1 :])) for part in parts]
    return inner if all(same_shape(inner[0], other) for other in inner) else parts


def _count(sizes: Sequence[int | None]) -> tuple[int, int]:
    """Return the product of the sizes that are known, and how many are not."""
    return math.prod(1 if size is None else size for size in sizes), sizes.count(None)


def _unstacked(part: gs.Tensor, shape: tuple[int | None, ...]) -> gs.Tensor:
    """Return the tensor of this shape that an axis of size 1 was put into, the operand itself where there is none."""
    before = producer(part)
    if before is None or kind(before) not in ("Unsqueeze", "Reshape") or static_shape(before.inputs[0]) != shape:
        return part
    return before.inputs[0]


def _summed(node: gs.Node, branches: list[gs.Tensor], taken: set[str]) -> list[gs.Node]:
    result, first = node.outputs[0], branches[0]
    node.op, node.attrs = "Sum", {}
    node.inputs.clear()
    node.inputs += branches
    target = static_shape(result)
    if target is None or target == static_shape(first):
        return [node]
    total = gs.Variable(claim(f"{result.name}/sum", taken), first.dtype, first.shape)
    node.outputs.clear()
    node.outputs.append(total)
    sizes = np.array([-1 if size is None else size for size in target], np.int64)
    operand = gs.Constant(claim(f"{node.name}.target", taken), sizes)
    return [node, gs.Node("Reshape", claim(f"{node.name}.shape", taken), {}, [total, operand], [result])]
