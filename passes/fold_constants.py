"""Constant nodes, constant expressions and computed shapes become initializers."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.evaluate import evaluate
from passes.graph import Graph, claim, constant, edited, kind, redirect, static_shape

_LARGEST = 1 << 20
"""More bytes than this are folded only where the constants that they come from are as large."""


def fold_constants(graph: Graph) -> Graph:
    """Turn constants, constant expressions and computed shapes into initializers.

    Needs inferred shapes.  Gives: no Constant node, no node whose inputs are all constant, and no
    Reshape, Expand or Resize with a computed target where the result's shape tells a constant one (a
    Reshape may have one dynamic axis, an Expand or Resize those that it keeps).
    Keeps: outputs of the model as nodes.
    Declines: results of more than 1 MB that are larger than what they come from (1 GB for ConstantOfShape, whose value
    is stored once), random ops, control flow, custom ops, and what ONNX Runtime cannot compute.
    """
    return edited(graph, _fold)


def _fold(graph: Graph) -> bool:
    changed = False
    taken = graph.names()
    outputs = {id(output) for output in graph.outputs}
    for node in graph.nodes:
        target = _static_target(node, graph.opset)
        if target is not None:
            index, values = target
            node.inputs[index] = gs.Constant(claim(f"{node.outputs[0].name}/shape", taken), values)
            changed = True
        if any(id(output) in outputs for output in node.outputs):
            continue
        results = evaluate(node, graph.opset, _LARGEST)
        if results is not None and _fits(node, results):
            for output, value in zip(node.outputs, results, strict=True):
                value.flags.writeable = False
                redirect(graph, output, gs.Constant(output.name, value))
                output.name = f"{output.name}/folded"
            changed = True
    return changed


def _fits(node: gs.Node, results: list[np.ndarray]) -> bool:
    source = sum(int(tensor.values.nbytes) for tensor in node.inputs if isinstance(tensor, gs.Constant))
    return bool(
        node.op in ("Constant", "ConstantOfShape") or sum(value.nbytes for value in results) <= max(_LARGEST, source)
    )


def _static_target(node: gs.Node, opset: int) -> tuple[int, np.ndarray] | None:
    """Return which input computes the shape of a node's result, and the constant to put there."""
    index = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(kind(node), 0)
    if index == 0 or len(node.inputs) <= index or constant(node.inputs[index]) is not None:
        return None
    before, after = node.inputs[0].shape, static_shape(node.outputs[0])
    if before is None or after is None:
        return None
    if node.op == "Reshape":
        if after.count(None) > 1 or 0 in after:
            return None
        node.attrs.pop("allowzero", None)
        return index, np.array([-1 if size is None else size for size in after], np.int64)
    aligned = [None] * (len(after) - len(before)) + list(before)
    symbols = list(node.outputs[0].shape)
    if any(size is None and (aligned[i] != symbols[i] or not symbols[i]) for i, size in enumerate(after)):
        return None
    if node.op == "Expand":
        return index, np.array([1 if size is None else size for size in after], np.int64)
    if opset < 18 or "axes" in node.attrs or node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    node.attrs["axes"] = [axis for axis, size in enumerate(after) if size is not None]
    return index, np.array([size for size in after if size is not None], np.int64)
