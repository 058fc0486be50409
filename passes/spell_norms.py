"""A normalisation over the positions of each channel is spelled as LayerNormalization."""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, kind, static_shape


def spell_norms(graph: Graph) -> Graph:
    """Spell InstanceNormalization, and so torch's GroupNorm, as a LayerNormalization of each channel's positions.

    Needs inferred shapes, and constants as scale and shift.  Gives: a Reshape `NAME.flat`, a LayerNormalization NAME, a
    Reshape `NAME.whole`, and where they do something a Mul `NAME.scale` and an Add `NAME.shift` by channel.
    Declines: sizes that are dynamic, but for the batch.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    nodes = [part for node in graph.nodes for part in (_respelled(node, taken) or [node])]
    changed = len(nodes) > len(graph.nodes)
    graph.body.nodes = nodes
    return changed


def _respelled(node: gs.Node, taken: set[str]) -> list[gs.Node] | None:
    if kind(node) != "InstanceNormalization":
        return None
    shape, (scale, shift) = static_shape(node.inputs[0]), map(constant, node.inputs[1:3])
    if shape is None or len(shape) < 3 or None in shape[1:] or scale is None or shift is None:
        return None
    x, result = node.inputs[0], node.outputs[0]
    own, flat = [int(n) for n in shape[1:] if n is not None], [int(shape[1] or 0), math.prod(n or 0 for n in shape[2:])]
    node.inputs.clear()
    node.outputs.clear()
    made: list[gs.Node] = []

    def step(op: str, name: str, operand: np.ndarray, size: list[int], **attributes: object) -> None:
        source = made[-1].outputs[0] if made else x
        weight = gs.Constant(claim(f"{name}.operand", taken), operand)
        target = gs.Variable(claim(f"{name}.result", taken), x.dtype, [x.shape[0], *size])
        made.append(gs.Node(op, name, attributes, [source, weight], [target]))

    step("Reshape", claim(f"{node.name}.flat", taken), np.array([-1, *flat], np.int64), flat)
    ones, epsilon = np.ones(flat[1], np.float32), float(node.attrs.get("epsilon", 1e-5))
    step("LayerNormalization", node.name, ones, flat, axis=-1, epsilon=epsilon)
    step("Reshape", claim(f"{node.name}.whole", taken), np.array([-1, *own], np.int64), own)
    for op, role, values, nothing in (("Mul", "scale", scale, 1), ("Add", "shift", shift, 0)):
        if (values != nothing).any():
            step(op, claim(f"{node.name}.{role}", taken), values.reshape(-1, *[1] * (len(own) - 1)), own)
    made[-1].outputs.clear()
    made[-1].outputs.append(result)
    return made
