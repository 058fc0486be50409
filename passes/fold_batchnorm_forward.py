"""BatchNormalization is folded into the linear layer behind it."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.affine import LINEAR, batchnorm_problem, layer_problem, parameters, scale_and_shift, write_parameters
from passes.errors import Problem
from passes.graph import Graph, kind, producer
from passes.graph.edit import Declined, Edit, rewrite


def fold_batchnorm_forward(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Fold BatchNormalization into the Conv, ConvTranspose or Gemm that alone reads its output.

    With scale = gamma / sqrt(var + eps) and shift = beta - mean * scale:  w' = w * scale on the input channels, b' = b
    plus the sum of w * shift over all taps, computed in float64 and rounded once.
    `fold_batchnorm` folds into the layer before it where there is one.
    Gives: the linear layer under its own name, its bias as `NAME.bias`.
    Keeps: a constant that another layer reads too as it is (the folded one is a new constant).
    Declines: the scale and shift of a GroupNorm or InstanceNorm, which its rule is for too; a result that others read
    too, or no linear layer; a shift other than 0 in front of a padded Conv, whose borders see zeros and no shift, or in
    front of a ConvTranspose, whose borders see fewer taps; weights or statistics that are computed, a Gemm with scales
    or with a bias that is not one value per output, training mode.
    """
    return rewrite(graph, _find_layer, _fold, declined)


def _find_layer(edit: Edit, node: gs.Node) -> gs.Node | Declined | None:
    if kind(node) != "BatchNormalization" or not _linear_readers(node):
        return None
    reason = batchnorm_problem(node) or _norm_before(node) or _problem(edit, node)
    return Declined(reason) if reason else _linear_readers(node)[0]


def _linear_readers(node: gs.Node) -> list[gs.Node]:
    result = node.outputs[0]
    return [reader for reader in result.outputs if kind(reader) in LINEAR and reader.inputs[0] is result]


def _norm_before(node: gs.Node) -> str:
    """Return which normalisation it is the scale and shift of, "" if of none."""
    before = producer(node.inputs[0])
    while before is not None and kind(before) == "Reshape":
        before = producer(before.inputs[0])
    return f"it is the scale and shift of {before.name}" if before and kind(before) == "LayerNormalization" else ""


def _problem(edit: Edit, node: gs.Node) -> str:
    layer = _linear_readers(node)[0]
    if not edit.is_read_once(node.outputs[0]):
        return f"{layer.name} is not all that reads its result"
    if layer.attrs.get("transA", 0):
        return f"{layer.name} transposes its input"
    if layer.op != "Gemm" and any(size is None for size in layer.attrs.get("pads", [None])):
        return f"the padding of {layer.name} is not known"
    if scale_and_shift(node)[1].any():
        if layer.op == "ConvTranspose":
            return f"{layer.name} would see its shift through fewer taps at the borders"
        if any(layer.attrs.get("pads", ())):
            return f"{layer.name} pads with zeros, which the shift does not reach"
    return layer_problem(layer)


def _fold(edit: Edit, norm: gs.Node, layer: gs.Node) -> None:
    scale, shift = scale_and_shift(norm)
    weight, bias = parameters(layer)
    per_tap = _scale_inputs(layer, weight, shift)
    added = 0.0 if layer.op == "ConvTranspose" else per_tap.sum(axis=_taps(layer, weight))
    write_parameters(edit, layer, _scale_inputs(layer, weight, scale), bias + added)
    layer.inputs[0] = norm.inputs[0]
    norm.inputs.clear()


def _taps(layer: gs.Node, weight: np.ndarray) -> tuple[int, ...]:
    """Return the axes of a weight that an output value is a sum over."""
    return (0,) if layer.op == "Gemm" and not layer.attrs.get("transB", 0) else tuple(range(1, weight.ndim))


def _scale_inputs(layer: gs.Node, weight: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply a weight along its input channels, which every op stores elsewhere, and a grouped Conv by group."""
    if layer.op == "Conv":
        groups = layer.attrs.get("group", 1)
        by_output = np.repeat(factors.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        scaled = weight * by_output.reshape(*by_output.shape, *[1] * (weight.ndim - 2))
    elif layer.op == "Gemm" and layer.attrs.get("transB", 0):
        scaled = weight * factors
    else:
        scaled = weight * factors.reshape(-1, *[1] * (weight.ndim - 1))
    result: np.ndarray = scaled
    return result
