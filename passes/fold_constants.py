"""Constant nodes, constant expressions and computed shapes become initializers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, read_only, shape_of, static_shape, subgraph_nodes
from passes.graph.edit import Declined, Edit
from passes.graph.evaluate import evaluate, is_random

_LARGEST = 1 << 20
"""More bytes than this are folded only where the constants that they come from are as large."""


def fold_constants(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Turn constants, constant expressions and computed shapes into initializers.

    Gives: no Constant node, no node whose inputs are all constant, and no
    Reshape, Expand or Resize with a computed target where the result's shape tells a constant one (a
    Reshape may have one dynamic axis, an Expand or Resize those that it keeps).
    Keeps: outputs of the model as nodes.
    Declines: results of more than 1 MB that are larger than what they come from (1 GB for ConstantOfShape, whose value
    is stored once), random ops, control flow, custom ops, and what ONNX Runtime cannot compute.
    """
    edit = Edit(graph, declined)
    edit.each(_find_values, _fold)
    if edit.each(_find_target, _set_target):
        edit.each(_find_values, _fold)  # what was left of them may be constant now
    return edit.result()


def _find_values(edit: Edit, node: gs.Node) -> list[np.ndarray] | Declined | None:
    """Return the results of a node that reads constants only."""
    if any(edit.is_output(output) for output in node.outputs):
        return None
    results = evaluate(node, edit.graph.opset, _LARGEST)
    if results is None:
        return _refusal(node)
    source = sum(int(tensor.values.nbytes) for tensor in node.inputs if isinstance(tensor, gs.Constant))
    held = sum(value.nbytes for value in results)
    if node.op in ("Constant", "ConstantOfShape") or held <= max(_LARGEST, source):
        return results
    return Declined("its result is larger than 1 MB, and than what it comes from")


def _refusal(node: gs.Node) -> Declined | None:
    """Tell why a node that reads constants only was not computed."""
    if any(constant(tensor) is None and not tensor.is_empty() for tensor in node.inputs) or not node.outputs:
        return None
    if kind(node) != node.op:
        return Declined(f"an op of {node.domain}, not of standard ONNX")
    if any(True for _ in subgraph_nodes(node)):
        return Declined("control flow")
    if is_random(node):
        return Declined("it gives other values each time")
    return Declined("its result is too large, or ONNX Runtime cannot compute it")


def _fold(edit: Edit, node: gs.Node, results: list[np.ndarray]) -> None:
    for output, value in zip(list(node.outputs), results, strict=True):
        edit.redirect(output, gs.Constant(output.name, read_only(value)))
        output.name = f"{output.name}/folded"


@dataclass(frozen=True)
class _Target:
    """A constant for the input that computes the shape of a node's result, and the node's attributes with it."""

    index: int
    values: np.ndarray
    attrs: dict[str, Any]


def _find_target(edit: Edit, node: gs.Node) -> _Target | Declined | None:
    index = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(kind(node), 0)
    if index == 0 or len(node.inputs) <= index or constant(node.inputs[index]) is not None:
        return None
    if node.inputs[index].is_empty():
        return None
    before, after = node.inputs[0].shape, static_shape(node.outputs[0])
    if before is None or after is None:
        return Declined("its shape is computed, and the rank of its result is not known")
    if node.op == "Reshape":
        return _reshape_target(node, after)
    aligned = [None] * (len(after) - len(before)) + list(before)
    symbols = shape_of(node.outputs[0])
    if any(size is None and (aligned[i] != symbols[i] or not symbols[i]) for i, size in enumerate(after)):
        return Declined("its shape is computed, and makes a dynamic axis of another one")
    if node.op == "Expand":
        return _Target(index, np.array([1 if size is None else size for size in after], np.int64), node.attrs)
    return _resize_target(edit, node, after)


def _reshape_target(node: gs.Node, after: tuple[int | None, ...]) -> _Target | Declined:
    if after.count(None) > 1 or 0 in after:
        return Declined("its shape is computed, and has more than one dynamic axis, or one of size 0")
    attrs = {key: value for key, value in node.attrs.items() if key != "allowzero"}
    return _Target(1, np.array([-1 if size is None else size for size in after], np.int64), attrs)


def _resize_target(edit: Edit, node: gs.Node, after: tuple[int | None, ...]) -> _Target | Declined:
    stretches = node.attrs.get("keep_aspect_ratio_policy", "stretch") == "stretch"
    if edit.graph.opset < 18 or "axes" in node.attrs or not stretches:
        return Declined("its shape is computed, for some axes only or by an aspect ratio")
    axes = [axis for axis, size in enumerate(after) if size is not None]
    values = np.array([size for size in after if size is not None], np.int64)
    return _Target(3, values, {**node.attrs, "axes": axes})


def _set_target(edit: Edit, node: gs.Node, target: _Target) -> None:
    node.inputs[target.index] = edit.constant(f"{node.outputs[0].name}/shape", target.values)
    node.attrs = target.attrs
