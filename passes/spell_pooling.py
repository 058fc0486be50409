"""Pooling over the whole image is spelled one way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, operand, shape_of, static_shape
from passes.graph.edit import Declined, Edit, Step, rewrite
from passes.max_of_rows import max_of_rows, max_pool_over


def spell_pooling(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell means over all positions, and maxima over any axes, as pooling.

    Gives: GlobalAveragePool for ReduceMean over all axes behind the
    channels (with a Reshape `NAME.flatten` where it drops them) and for an AveragePool whose one window is the image;
    MaxPool with one window for GlobalMaxPool, and for ReduceMax over these axes.  Other ReduceMax pool rows: a
    Transpose `NAME.order` moves their axes last, a Reshape `NAME.rows` makes one of them, NAME pools it, and a Reshape
    `NAME.shape` gives the result its shape.
    Keeps: ReduceSum, and ReduceMean over other axes, which are layers as they stand.
    Declines: maxima over the batch, or of sizes that are dynamic; a mean that drops axes behind a dynamic number of
    channels.
    """
    return rewrite(graph, _find_pool, Edit.replace, declined)


def _find_pool(edit: Edit, node: gs.Node) -> list[Step] | Declined | None:
    shape = static_shape(node.inputs[0]) if kind(node) in _POOLS and node.inputs else None
    if shape is None:
        return None
    if kind(node) == "ReduceMean":
        whole = len(shape) > 2 and _axes(node, len(shape)) == list(range(2, len(shape)))
        return _whole(node, shape, "GlobalAveragePool", {}) if whole else None
    if kind(node) == "ReduceMax":
        return _find_maximum(node, shape)
    if len(shape) < 3:
        return None
    if kind(node) == "AveragePool":
        return [Step("GlobalAveragePool", node.name)] if _covers(node, shape) else None
    if None in shape[2:]:
        return Declined("the size of its input is dynamic")
    return [Step("MaxPool", node.name, max_pool_over([size or 0 for size in shape[2:]]))]


_POOLS = ("ReduceMean", "ReduceMax", "AveragePool", "GlobalMaxPool")


def _find_maximum(node: gs.Node, shape: tuple[int | None, ...]) -> list[Step] | Declined | None:
    axes, spatial = _axes(node, len(shape)), list(range(2, len(shape)))
    if spatial and axes == spatial and None not in shape[2:]:
        return _whole(node, shape, "MaxPool", max_pool_over([size or 0 for size in shape[2:]]))
    if node.inputs[0].dtype != np.float32 or constant(node.inputs[0]) is not None:
        return None
    if axes is None and operand(node, 1) is not None:
        return Declined("the axes that it reduces are computed")
    found = max_of_rows(node, list(range(len(shape))) if axes is None else axes)
    return Declined(found) if isinstance(found, str) else found


def _axes(node: gs.Node, rank: int) -> list[int] | None:
    given, named = node.attrs.get("axes"), operand(node, 1)
    values = None if named is None else constant(named)
    given = values.tolist() if given is None and values is not None else given
    return None if given is None else sorted(int(axis) % rank for axis in given)


def _whole(node: gs.Node, shape: tuple[int | None, ...], op: str, attrs: Mapping[str, Any]) -> list[Step] | Declined:
    """Return a reduction of all spatial axes as a pool, with a Reshape behind it where it drops them."""
    if node.attrs.get("keepdims", 1):
        return [Step(op, node.name, attrs)]
    if shape[1] is None:
        return Declined("the number of its channels is dynamic")
    result = node.outputs[0].name
    pooled = [*shape_of(node.inputs[0])[:2], *[1] * (len(shape) - 2)]
    target = np.array([-1, shape[1]], np.int64)
    return [
        Step(op, node.name, attrs, {}, f"{result}/pooled", pooled),
        Step("Reshape", f"{node.name}.flatten", {}, {f"{result}/shape": target}),
    ]


def _covers(node: gs.Node, shape: tuple[int | None, ...]) -> bool:
    whole = list(node.attrs["kernel_shape"]) == list(shape[2:]) and not any(node.attrs.get("pads", [1]))
    return whole and set(node.outputs[0].shape[2:] if node.outputs[0].shape else [0]) == {1}
