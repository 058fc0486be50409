"""A scale or shift per channel is spelled as BatchNormalization."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.affine import write_batchnorm
from passes.errors import Problem
from passes.graph import Graph, constant, kind, same_shape, static_shape
from passes.graph.edit import Declined, Edit, rewrite

_ARITHMETIC = ("Mul", "Div", "Add", "Sub")


def spell_scales(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell Mul, Div, Add and Sub by one constant, or one per channel, as a BatchNormalization with that affine map.

    Gives: BatchNormalization of mean 0, variance 1 and epsilon 0, which `fold_batchnorm` folds where a linear layer
    comes before it: layer scales, learnt shifts, a change of the input's normalisation.
    Declines: a constant that differs from position to position, one that broadcasting makes the result larger by, a
    tensor whose number of channels is dynamic.
    """
    return rewrite(graph, _find_affine, _spell, declined)


Affine = tuple[np.ndarray, np.ndarray]
"""Scale and shift, one value per channel."""


def _find_affine(edit: Edit, node: gs.Node) -> Affine | Declined | None:
    if kind(node) not in _ARITHMETIC or len(node.inputs) != 2:
        return None
    x, values = node.inputs[0], constant(node.inputs[1])
    if values is None or constant(x) is not None or x.dtype != np.float32:
        return None
    shape = static_shape(x)
    if shape is None or len(shape) < 2 or shape[1] is None:
        return Declined("the number of its channels is not known")
    if values.ndim > len(shape) or not same_shape(x, node.outputs[0]):
        return Declined("its constant makes the result larger, or its shape is not known")
    own = [1] * (len(shape) - values.ndim) + list(values.shape)
    if values.size != 1 and own != [shape[1] if axis == 1 else 1 for axis in range(len(shape))]:
        return Declined("its constant is not one value per channel")
    return _affine(node.op, np.broadcast_to(values.reshape(-1).astype(np.float64), (shape[1],)))


def _affine(op: str, constants: np.ndarray) -> Affine | Declined:
    ones, zeros = np.ones(len(constants)), np.zeros(len(constants))
    with np.errstate(divide="ignore"):
        scale, shift = {
            "Mul": (constants, zeros),
            "Div": (1 / constants, zeros),
            "Add": (ones, constants),
            "Sub": (ones, -constants),
        }[op]
    finite = np.isfinite(scale).all() and np.isfinite(shift).all()
    return (scale, shift) if finite else Declined("its scale or its shift is not finite")


def _spell(edit: Edit, node: gs.Node, affine: Affine) -> None:
    write_batchnorm(edit, node, *affine)
