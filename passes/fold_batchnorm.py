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
from passes.graph import Graph, edited, kind, producer


def fold_batchnorm(graph: Graph) -> Graph:
    """Fold BatchNormalization into the Conv, ConvTranspose or Gemm whose output it alone reads.

    With scale = gamma / sqrt(var + eps):  w *= scale on the output channels, b = (b - mean) * scale + beta,
    computed in float64 and rounded once.
    Needs spelled attributes.  Gives: the linear layer under its own name, its result under the
    BatchNorm's, its bias as `NAME.bias`.
    Keeps: a constant that another layer reads too as it is (the folded one is a new constant).
    Declines: no linear layer before it, a result that others read too, weights or statistics that are
    computed, a Gemm with scales or with a bias that is not one value per output, training mode.
    """
    return edited(graph, _fold)


def batchnorms_left(graph: Graph) -> list[Problem]:
    """Return the BatchNormalizations that stay, each with the reason."""
    outputs = {id(output) for output in graph.outputs}
    return [
        Problem(node.name, node.op, _declined(node, outputs))
        for node in graph.nodes
        if kind(node) == "BatchNormalization"
    ]


def _fold(graph: Graph) -> bool:
    taken = graph.names()
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for node in graph.nodes:
        if kind(node) == "BatchNormalization" and not _declined(node, outputs):
            layer = producer(node.inputs[0])
            assert layer is not None
            _absorb(layer, node, taken)
            replace_result(graph, layer, node)
            changed = True
    return changed


def _declined(node: gs.Node, outputs: set[int]) -> str:
    if reason := batchnorm_problem(node):
        return reason
    source = node.inputs[0]
    layer = producer(source)
    if layer is None or kind(layer) not in LINEAR:
        before = "the model's input" if layer is None else f"{layer.name} ({layer.op})"
        return f"it follows {before}, no linear layer to fold into"
    if len(source.outputs) > 1 or id(source) in outputs:
        return f"the result of {layer.name} is read by others too"
    return layer_problem(layer)


def _absorb(layer: gs.Node, norm: gs.Node, taken: set[str]) -> None:
    scale, shift = scale_and_shift(norm)
    weight, bias = parameters(layer)
    write_parameters(layer, _scaled(layer, weight, scale), bias * scale + shift, taken)


def _scaled(layer: gs.Node, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
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
