"""Pooling over the whole image is spelled one way."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, static_shape


def spell_pooling(graph: Graph) -> Graph:
    """Spell every mean over all spatial axes as GlobalAveragePool.

    Needs spelled attributes and inferred shapes.  Gives: GlobalAveragePool for ReduceMean over all
    axes behind the channels (with a Reshape `NAME.flatten` where it drops them) and for an AveragePool
    whose one window is the image; MaxPool with one window for GlobalMaxPool.
    Declines: means over other axes, sizes that are dynamic.
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
    if shape is None or len(shape) < 3:
        return None
    if kind(node) == "ReduceMean" and _axes(node, len(shape)) == list(range(2, len(shape))):
        return _mean(node, shape, taken)
    if kind(node) == "AveragePool" and _covers(node, shape):
        node.op, node.attrs = "GlobalAveragePool", {}
        return [node]
    if kind(node) == "GlobalMaxPool" and None not in shape[2:]:
        dims = len(shape) - 2
        ones = {"strides": [1] * dims, "dilations": [1] * dims, "pads": [0] * 2 * dims, "ceil_mode": 0}
        node.op, node.attrs = "MaxPool", {"kernel_shape": list(shape[2:]), **ones}
        return [node]
    return None


def _axes(node: gs.Node, rank: int) -> list[int] | None:
    given = node.attrs.get("axes")
    if given is None and len(node.inputs) > 1 and not node.inputs[1].is_empty():
        values = constant(node.inputs[1])
        given = None if values is None else values.tolist()
    return None if given is None else sorted(int(axis) % rank for axis in given)


def _mean(node: gs.Node, shape: tuple[int | None, ...], taken: set[str]) -> list[gs.Node] | None:
    x, result = node.inputs[0], node.outputs[0]
    flat = not node.attrs.get("keepdims", 1)
    if flat and shape[1] is None:
        return None
    node.op, node.attrs = "GlobalAveragePool", {}
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
