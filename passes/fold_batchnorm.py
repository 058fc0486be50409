"""BatchNormalization is folded into the linear layer before it."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, edited, keep_inputs, producer, redirect, unique

_LINEAR = {"Conv", "ConvTranspose", "Gemm"}


def fold_batchnorm(graph: Graph) -> Graph:
    """Fold BatchNormalization into the Conv, ConvTranspose or Gemm whose output it alone reads.

    With scale = gamma / sqrt(var + eps):  w *= scale on the output channels, b = (b - mean) * scale + beta,
    computed in float64 and rounded once.
    Needs spelled attributes.  Gives: the linear layer under its own name, its result under the
    BatchNorm's.  Keeps: a weight that another layer shares as it is (the folded one is a new constant).
    Declines: no linear layer before it, a result that others read too, training mode.
    """
    return edited(graph, _fold)


def batchnorms_left(graph: Graph) -> list[Problem]:
    """Return the BatchNormalizations that stay, each with the reason."""
    outputs = {id(output) for output in graph.outputs}
    return [
        Problem(node.name, node.op, _declined(node, outputs)) for node in graph.nodes if node.op == "BatchNormalization"
    ]


def _fold(graph: Graph) -> bool:
    taken = graph.tensor_names()
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for node in graph.nodes:
        if node.op == "BatchNormalization" and not _declined(node, outputs):
            layer = producer(node.inputs[0])
            assert layer is not None
            _absorb(layer, node, taken)
            redirect_into(graph, layer, node)
            changed = True
    return changed


def _declined(node: gs.Node, outputs: set[int]) -> str:
    if node.attrs.get("training_mode", 0):
        return "it is in training mode"
    if any(constant(tensor) is None for tensor in node.inputs[1:]):
        return "its statistics are not constants"
    source = node.inputs[0]
    layer = producer(source)
    if layer is None or layer.op not in _LINEAR:
        before = "the model's input" if layer is None else f"{layer.name} ({layer.op})"
        return f"it follows {before}, no linear layer to fold into"
    if len(source.outputs) > 1 or id(source) in outputs:
        return f"the result of {layer.name} is read by others too"
    bias = layer.inputs[2] if len(layer.inputs) > 2 and not layer.inputs[2].is_empty() else None
    if constant(layer.inputs[1]) is None or (bias is not None and constant(bias) is None):
        return f"the weight of {layer.name} is no constant"
    return ""


def _absorb(layer: gs.Node, norm: gs.Node, taken: set[str]) -> None:
    gamma, beta, mean, var = (tensor.values.astype(np.float64) for tensor in norm.inputs[1:5])
    scale = gamma / np.sqrt(var + norm.attrs.get("epsilon", 1e-5))
    weight = layer.inputs[1]
    has_bias = len(layer.inputs) > 2 and not layer.inputs[2].is_empty()
    bias = layer.inputs[2].values.astype(np.float64).reshape(-1) if has_bias else 0.0
    bias_name = layer.inputs[2].name if has_bias else f"{layer.name}.bias"
    layer.inputs[1] = _replaced(weight, _scaled(layer, weight.values, scale), taken)
    folded = ((bias - mean) * scale + beta).astype(np.float32)
    keep_inputs(layer, 2)
    name = _claim(f"{bias_name}.folded" if bias_name in taken else bias_name, taken)
    layer.inputs.append(gs.Constant(name, folded))


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
    result: np.ndarray = scaled.astype(np.float32)
    return result


def _replaced(old: gs.Constant, values: np.ndarray, taken: set[str]) -> gs.Constant:
    """Return the new weight, under the old name unless another layer reads the old one."""
    name = old.name if len(old.outputs) == 1 else _claim(f"{old.name}.folded", taken)
    return gs.Constant(name, values)


def redirect_into(graph: Graph, layer: gs.Node, norm: gs.Node) -> None:
    """Let the linear layer produce what the BatchNorm produced."""
    source, result = layer.outputs[0], norm.outputs[0]
    source.shape = result.shape or source.shape
    name = result.name
    redirect(graph, result, source)
    result.name, source.name = f"{name}/unfolded", name


def _claim(name: str, taken: set[str]) -> str:
    name = unique(name, taken)
    taken.add(name)
    return name
