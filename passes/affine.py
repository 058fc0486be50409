"""What the passes share that move a scale and shift per channel from one layer into another."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import constant, keep_inputs, operand, read_only, values_of
from passes.graph.edit import Edit

LINEAR = {"Conv", "ConvTranspose", "Gemm"}


def scale_and_shift(norm: gs.Node) -> tuple[np.ndarray, np.ndarray]:
    """Return, in float64, the affine map of a BatchNormalization: one scale and one shift per channel."""
    gamma, beta, mean, var = (values_of(tensor).astype(np.float64) for tensor in norm.inputs[1:5])
    scale: np.ndarray = gamma / np.sqrt(var + norm.attrs.get("epsilon", 1e-5))
    return scale, beta - mean * scale


def batchnorm_problem(norm: gs.Node) -> str:
    """Return why a BatchNormalization is no constant affine map, "" if it is one."""
    if norm.attrs.get("training_mode", 0):
        return "it is in training mode"
    if any(constant(tensor) is None for tensor in norm.inputs[1:]):
        return "its statistics are not constants"
    return ""


def write_batchnorm(edit: Edit, node: gs.Node, scale: np.ndarray, shift: np.ndarray) -> None:
    """Make a node the BatchNormalization with this affine map: mean 0, variance 1, epsilon 0."""
    node.op, node.attrs = "BatchNormalization", {"epsilon": 0.0}
    keep_inputs(node, 1)
    values = {"scale": scale, "shift": shift, "mean": np.zeros(len(scale)), "var": np.ones(len(scale))}
    for key, value in values.items():
        node.inputs.append(edit.constant(f"{node.name}.{key}", value.astype(np.float32)))


def layer_problem(layer: gs.Node) -> str:
    """Return why nothing can be folded into a linear layer, "" if it can."""
    weight = constant(layer.inputs[1])
    if weight is None:
        return f"the weight of {layer.name} is no constant"
    bias = operand(layer, 2)
    values = None if bias is None else constant(bias)
    if bias is not None and (values is None or values.shape != (_outputs(layer, weight),)):
        return f"the bias of {layer.name} is not one constant per channel"
    if layer.attrs.get("alpha", 1.0) != 1.0 or layer.attrs.get("beta", 1.0) != 1.0:
        return f"{layer.name} scales its product or its bias"
    return ""


def parameters(layer: gs.Node) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a linear layer in float64, zeros where it has no bias."""
    weight = values_of(layer.inputs[1]).astype(np.float64)
    bias = operand(layer, 2)
    return weight, np.zeros(_outputs(layer, weight)) if bias is None else values_of(bias).astype(np.float64)


def write_parameters(edit: Edit, layer: gs.Node, weight: np.ndarray, bias: np.ndarray) -> None:
    """Give a linear layer new values, rounded once; a constant that another layer reads too stays as it is."""
    old, old_bias = layer.inputs[1], operand(layer, 2)
    dtype = values_of(old).dtype
    keep_inputs(layer, 2)
    own = old_bias is not None and old_bias.name == f"{layer.name}.bias" and not old_bias.outputs
    name = old_bias.name if old_bias is not None and own else edit.claim(f"{layer.name}.bias")
    layer.inputs.append(gs.Constant(name, read_only(bias.astype(dtype))))
    name = old.name if len(old.outputs) == 1 else edit.claim(f"{old.name}.folded")
    layer.inputs[1] = gs.Constant(name, read_only(weight.astype(dtype)))


def replace_result(edit: Edit, layer: gs.Node, last: gs.Node) -> None:
    """Let a layer produce, under its name, what the only reader of its result produced."""
    source, result = layer.outputs[0], last.outputs[0]
    source.shape = result.shape or source.shape
    name = result.name
    last.inputs.clear()
    edit.redirect(result, source)
    result.name, source.name = f"{name}/unfolded", name


def _outputs(layer: gs.Node, weight: np.ndarray) -> int:
    if layer.op == "ConvTranspose":
        return int(weight.shape[1] * layer.attrs.get("group", 1))
    axis = 1 if layer.op == "Gemm" and not layer.attrs.get("transB", 0) else 0
    return int(weight.shape[axis])
