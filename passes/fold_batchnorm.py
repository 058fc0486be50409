"""BatchNormalization is folded into the linear layer before it."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.affine import (
    LINEAR,
    batchnorm_problem,
    layer_problem,
    parameters,
    replace_result,
    scale_and_shift,
    write_parameters,
)
from passes.errors import Problem
from passes.graph import Graph, kind, producer
from passes.graph.edit import Declined, Edit, rewrite


def fold_batchnorm(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Fold BatchNormalization into the Conv, ConvTranspose or Gemm whose output it alone reads.

    With scale = gamma / sqrt(var + eps):  w *= scale on the output channels, b = (b - mean) * scale + beta,
    computed in float64 and rounded once.
    Gives: the linear layer under its own name, its result under the
    BatchNorm's, its bias as `NAME.bias`.
    Keeps: a constant that another layer reads too as it is (the folded one is a new constant).
    Declines: no linear layer before it, a result that others read too, weights or statistics that are
    computed, a Gemm with scales or with a bias that is not one value per output, training mode.
    """
    return rewrite(graph, _find_layer, _fold, declined)


def _find_layer(edit: Edit, node: gs.Node) -> gs.Node | Declined | None:
    if kind(node) != "BatchNormalization":
        return None
    if reason := batchnorm_problem(node):
        return Declined(reason)
    source = node.inputs[0]
    layer = producer(source)
    if layer is None or kind(layer) not in LINEAR:
        before = "the model's input" if layer is None else f"{layer.name} ({layer.op})"
        return Declined(f"it follows {before}, no linear layer to fold into")
    if not edit.is_read_once(source):
        return Declined(f"the result of {layer.name} is read by others too")
    reason = layer_problem(layer)
    return Declined(reason) if reason else layer


def _fold(edit: Edit, norm: gs.Node, layer: gs.Node) -> None:
    scale, shift = scale_and_shift(norm)
    weight, bias = parameters(layer)
    write_parameters(edit, layer, _scale_outputs(layer, weight, scale), bias * scale + shift)
    replace_result(edit, layer, norm)


def _scale_outputs(layer: gs.Node, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Multiply a weight along its output channels, which every op stores elsewhere."""
    if layer.op == "Conv":
        scaled = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    elif layer.op == "ConvTranspose":
        groups = layer.attrs.get("group", 1)
        spatial = [1] * (weight.ndim - 2)
        by_group = weight.reshape(groups, -1, *weight.shape[1:])
        scaled = (by_group * scale.reshape(groups, 1, -1, *spatial)).reshape(weight.shape)
    else:
        scaled = weight * (scale[:, None] if layer.attrs.get("transB", 0) else scale[None])
    result: np.ndarray = scaled
    return result
