"""A normalisation over the positions of each channel is spelled as LayerNormalization."""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, shape_of, static_shape
from passes.graph.edit import Declined, Edit, Step, rewrite


def spell_norms(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell InstanceNormalization, and so torch's GroupNorm, as a LayerNormalization of each channel's positions.

    Gives: a Reshape `NAME.flat`, a LayerNormalization NAME, a
    Reshape `NAME.whole`, and where they do something a Mul `NAME.scale` and an Add `NAME.shift` by channel.
    Declines: sizes that are dynamic, but for the batch; a scale or shift that is computed.
    """
    return rewrite(graph, _find_norm, Edit.replace, declined)


def _find_norm(edit: Edit, node: gs.Node) -> list[Step] | Declined | None:
    if kind(node) != "InstanceNormalization":
        return None
    shape, (scale, shift) = static_shape(node.inputs[0]), map(constant, node.inputs[1:3])
    if shape is None or len(shape) < 3 or None in shape[1:]:
        return Declined("the size of its input is dynamic")
    if scale is None or shift is None:
        return Declined("its scale or its shift is computed")
    return _norm(node, [int(size or 0) for size in shape[1:]], scale, shift)


def _norm(node: gs.Node, own: list[int], scale: np.ndarray, shift: np.ndarray) -> list[Step]:
    """Return the chain. own: the size of a sample."""
    batch, flat = shape_of(node.inputs[0])[0], [own[0], math.prod(own[1:])]

    def step(op: str, role: str, operand: np.ndarray, size: list[int], **attrs: object) -> Step:
        name = f"{node.name}{role}"
        return Step(op, name, attrs, {f"{name}.operand": operand}, f"{name}.result", [batch, *size])

    ones, epsilon = np.ones(flat[1], np.float32), float(node.attrs.get("epsilon", 1e-5))
    steps = [
        step("Reshape", ".flat", np.array([-1, *flat], np.int64), flat),
        step("LayerNormalization", "", ones, flat, axis=-1, epsilon=epsilon),
        step("Reshape", ".whole", np.array([-1, *own], np.int64), own),
    ]
    for op, role, values, nothing in (("Mul", ".scale", scale, 1), ("Add", ".shift", shift, 0)):
        if (values != nothing).any():
            steps.append(step(op, role, values.reshape(-1, *[1] * (len(own) - 1)), own))
    return steps
