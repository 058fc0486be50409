"""A scale or shift per channel is spelled as BatchNormalization."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.affine import write_batchnorm
from passes.graph import Graph, constant, edited, kind, same_shape, static_shape

_ARITHMETIC = ("Mul", "Div", "Add", "Sub")


def spell_scales(graph: Graph) -> Graph:
    """Spell Mul, Div, Add and Sub by one constant, or one per channel, as a BatchNormalization with that affine map.

    Needs inferred shapes, a constant as second operand, and activations that are fused.  Gives: BatchNormalization of
    mean 0, variance 1 and epsilon 0, which `fold_batchnorm` folds where a linear layer comes before it: layer scales,
    learnt shifts, a change of the input's normalisation.
    Declines: a constant that differs from position to position, one that broadcasting makes the result larger by, a
    tensor whose number of channels is dynamic.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    changed = False
    for node in graph.nodes:
        affine = _affine(node) if kind(node) in _ARITHMETIC else None
        if affine is not None:
            write_batchnorm(node, *affine, taken)
            changed = True
    return changed


def _affine(node: gs.Node) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and shift, one value per channel."""
    x, other = node.inputs
    values, shape = constant(other), static_shape(x)
    if values is None or constant(x) is not None or shape is None or len(shape) < 2 or x.dtype != np.float32:
        return None
    channels = shape[1]
    if channels is None or values.ndim > len(shape) or not same_shape(x, node.outputs[0]):
        return None
    own = [1] * (len(shape) - values.ndim) + list(values.shape)
    if values.size != 1 and own != [channels if axis == 1 else 1 for axis in range(len(shape))]:
        return None
    constants = np.broadcast_to(values.reshape(-1).astype(np.float64), (channels,))
    ones, zeros = np.ones(channels), np.zeros(channels)
    with np.errstate(divide="ignore"):
        scale, shift = {
            "Mul": (constants, zeros),
            "Div": (1 / constants, zeros),
            "Add": (ones, constants),
            "Sub": (ones, -constants),
        }[node.op]
    return (scale, shift) if np.isfinite(scale).all() and np.isfinite(shift).all() else None
