"""Pooling over the whole image is spelled one way."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, static_shape
from passes.max_of_rows import max_of_rows, max_pool_over


def spell_pooling(graph: Graph) -> Graph:
    """Spell means over all positions, and maxima over any axes, as pooling.

    Needs spelled attributes and inferred shapes.  Gives: GlobalAveragePool for ReduceMean over all axes behind the
    channels (with a Reshape `NAME.flatten` where it drops them) and for an AveragePool whose one window is the image;
    MaxPool with one window for GlobalMaxPool, and for ReduceMax over these axes.  Other ReduceMax pool rows: a
    Transpose `NAME.order` moves their axes last, a Reshape `NAME.rows` makes one of them, NAME pools it, and a Reshape
    `NAME.shape` gives the result its shape.
    Keeps: ReduceSum, and ReduceMean over other axes, which are layers as they stand.
    Declines: maxima over the batch, or of sizes that are dynamic.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    changed = False
    nodes: list[gs.Node] = []
    for node in graph.nodes:
        new = _respelled(node, taken)
        changed |= new is not None
        nodes += [node] if new is None else new
    if changed:
        graph.body.nodes = nodes
    return changed


def _respelled(node: gs.Node, taken: set[str]) -> list[gs.Node] | None:
    shape = static_shape(node.inputs[0]) if node.inputs else None
    if shape is None:
        return None
    if kind(node) in ("ReduceMean", "ReduceMax"):
        axes, spatial = _axes(node, len(shape)), list(range(2, len(shape)))
        if spatial and axes == spatial and kind(node) == "ReduceMean":
            return _whole(node, shape, ("GlobalAveragePool", {}), taken)
        if spatial and axes == spatial and kind(node) == "ReduceMax" and None not in shape[2:]:
            return _whole(node, shape, ("MaxPool", max_pool_over([size or 0 for size in shape[2:]])), taken)
        return max_of_rows(node, axes or [], taken) if kind(node) == "ReduceMax" else None
    if len(shape) < 3:
        return None
    if kind(node) == "AveragePool" and _covers(node, shape):
        node.op, node.attrs = "GlobalAveragePool", {}
        return [node]
    if kind(node) == "GlobalMaxPool" and None not in shape[2:]:
        node.op, node.attrs = "MaxPool", max_pool_over([size or 0 for size in shape[2:]])
        return [node]
    return None


def _axes(node: gs.Node, rank: int) -> list[int] | None:
    given = node.attrs.get("axes")
    if given is None and len(node.inputs) > 1 and not node.inputs[1].is_empty():
        values = constant(node.inputs[1])
        given = None if values is None else values.tolist()
    return None if given is None else sorted(int(axis) % rank for axis in given)


def _whole(
    node: gs.Node, shape: tuple[int | None, ...], pool: tuple[str, dict[str, Any]], taken: set[str]
) -> list[gs.Node] | None:
    """Make a reduction of all spatial axes a pool, with a Reshape behind it where it drops them."""
    x, result = node.inputs[0], node.outputs[0]
    flat = not node.attrs.get("keepdims", 1)
    if flat and shape[1] is None:
        return None
    node.op, node.attrs = pool
    keep_inputs(node, 1)
    if not flat:
        return [node]
    name = claim(f"{node.name}.flatten", taken)
    pooled = gs.Variable(claim(f"{result.name}/pooled", taken), x.dtype, [*x.shape[:2], *[1] * (len(shape) - 2)])
    node.outputs.clear()
    node.outputs.append(pooled)
    target = gs.Constant(claim(f"{result.name}/shape", taken), np.array([-1, shape[1]], np.int64))
    return [node, gs.Node("Reshape", name, {}, [pooled, target], [result])]


def _covers(node: gs.Node, shape: tuple[int | None, ...]) -> bool:
    whole = list(node.attrs["kernel_shape"]) == list(shape[2:]) and not any(node.attrs.get("pads", [1]))
    return whole and set(node.outputs[0].shape[2:] if node.outputs[0].shape else [0]) == {1}
