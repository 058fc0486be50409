"""BatchNormalization is folded into the linear layer before it."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, producer, redirect

_LINEAR = {"Conv", "ConvTranspose", "Gemm"}


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
            _replace_result(graph, layer, node)
            changed = True
    return changed


def _declined(node: gs.Node, outputs: set[int]) -> str:
    if node.attrs.get("training_mode", 0):
        return "it is in training mode"
    if any(constant(tensor) is None for tensor in node.inputs[1:]):
        return "its statistics are not constants"
    source = node.inputs[0]
    layer = producer(source)
    if layer is None or kind(layer) not in _LINEAR:
        before = "the model's input" if layer is None else f"{layer.name} ({layer.op})"
        return f"it follows {before}, no linear layer to fold into"
    if len(source.outputs) > 1 or id(source) in outputs:
        return f"the result of {layer.name} is read by others too"
    if constant(layer.inputs[1]) is None:
        return f"the weight of {layer.name} is no constant"
    bias = _bias(layer)
    if bias is not None and (constant(bias) is None or bias.shape != node.inputs[1].shape):
        return f"the bias of {layer.name} is not one constant per channel"
    if layer.attrs.get("alpha", 1.0) != 1.0 or layer.attrs.get("beta", 1.0) != 1.0:
        return f"{layer.name} scales its product or its bias"
    return ""


def _bias(layer: gs.Node) -> gs.Tensor | None:
    return layer.inputs[2] if len(layer.inputs) > 2 and not layer.inputs[2].is_empty() else None


def _absorb(layer: gs.Node, norm: gs.Node, taken: set[str]) -> None:
    gamma, beta, mean, var = (tensor.values.astype(np.float64) for tensor in norm.inputs[1:5])
    scale = gamma / np.sqrt(var + norm.attrs.get("epsilon", 1e-5))
    weight, bias = layer.inputs[1], _bias(layer)
    shift = 0.0 if bias is None else bias.values.astype(np.float64)
    folded = ((shift - mean) * scale + beta).astype(weight.dtype)
    keep_inputs(layer, 2)
    own = bias is not None and bias.name == f"{layer.name}.bias" and not bias.outputs
    name = bias.name if bias is not None and own else claim(f"{layer.name}.bias", taken)
    layer.inputs.append(gs.Constant(name, _read_only(folded)))
    name = weight.name if len(weight.outputs) == 1 else claim(f"{weight.name}.folded", taken)
    layer.inputs[1] = gs.Constant(name, _read_only(_scaled(layer, weight.values, scale)))


def _scaled(layer: gs.Node, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Multiply a weight along its output channels, which every op stores elsewhere."""
    values = weight.astype(np.float64)
    if layer.op == "Conv":
        scaled = values * scale.reshape(-1, *[1] * (values.ndim - 1))
    elif layer.op == "ConvTranspose":
        groups = layer.attrs.get("group", 1)
        spatial = [1] * (values.ndim - 2)
        by_group = values.reshape(groups, -1, *values.shape[1:])
        scaled = (by_group * scale.reshape(groups, 1, -1, *spatial)).reshape(values.shape)
    else:
        scaled = values * (scale[:, None] if layer.attrs.get("transB", 0) else scale[None])
    result: np.ndarray = scaled.astype(weight.dtype)
    return result


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _replace_result(graph: Graph, layer: gs.Node, norm: gs.Node) -> None:
    """Let the linear layer produce what the BatchNorm produced."""
    source, result = layer.outputs[0], norm.outputs[0]
    source.shape = result.shape or source.shape
    name = result.name
    redirect(graph, result, source)
    result.name, source.name = f"{name}/unfolded", name
