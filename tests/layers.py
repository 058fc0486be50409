"""Models of one layer: each op with its attributes and shapes, as data, and plans that give the layer a rule."""

from __future__ import annotations

import numpy as np
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.plan.plan import Plan
from lrpc.rules.kinds import Kind
from lrpc.rules.stabilizer import Stabilizer
from tests.graphs import model


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channels(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {key: (rng.random(n) + 0.5).astype(np.float32) for key in ("scale", "shift", "mean", "var")}


# op, node attributes, input shape (without the batch), output shape, constant inputs
LINEAR = {
    "conv": ("Conv", {"pads": [1, 1, 1, 1]}, (4, 6, 7), (5, 6, 7), {"w": normal(5, 4, 3, 3), "b": normal(5)}),
    "conv without bias": ("Conv", {}, (4, 6, 7), (5, 4, 5), {"w": normal(5, 4, 3, 3)}),
    "conv, strided with a tail": (
        "Conv", {"strides": [2, 3], "pads": [1, 0, 1, 0]}, (4, 6, 7), (5, 3, 2), {"w": normal(5, 4, 3, 3), "b": normal(5)},
    ),
    "conv, asymmetric pads": (
        "Conv", {"strides": [2, 2], "pads": [0, 1, 2, 0]}, (4, 6, 7), (5, 3, 3), {"w": normal(5, 4, 3, 3), "b": normal(5)},
    ),
    "conv, dilated in groups": (
        "Conv", {"dilations": [2, 1], "group": 2, "pads": [2, 1, 2, 1]}, (4, 6, 7), (6, 6, 7),
        {"w": normal(6, 2, 3, 3), "b": normal(6)},
    ),
    "conv, 1-D": ("Conv", {"strides": [2]}, (4, 9), (5, 4), {"w": normal(5, 4, 3), "b": normal(5)}),
    "conv, 3-D": ("Conv", {"pads": [1] * 6}, (2, 4, 5, 3), (3, 4, 5, 3), {"w": normal(3, 2, 3, 3, 3), "b": normal(3)}),
    "transposed": (
        "ConvTranspose", {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}, (4, 4, 5), (3, 8, 9),
        {"w": normal(4, 3, 3, 3), "b": normal(3)},
    ),
    "transposed in groups, asymmetric pads": (
        "ConvTranspose", {"strides": [2, 2], "pads": [0, 1, 1, 0], "group": 2}, (4, 4, 5), (6, 8, 10),
        {"w": normal(4, 3, 3, 3), "b": normal(6)},
    ),
    "transposed, 1-D": ("ConvTranspose", {"strides": [3]}, (4, 5), (2, 15), {"w": normal(4, 2, 3), "b": normal(2)}),
    "dense": ("Gemm", {"transB": 1}, (6,), (5,), {"w": normal(5, 6), "b": normal(5)}),
    "dense, not transposed": ("Gemm", {}, (6,), (5,), {"w": normal(6, 5)}),
    "batch norm": ("BatchNormalization", {}, (4, 5, 5), (4, 5, 5), channels(4)),
    "average pool": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, (4, 6, 6), (4, 3, 3), {}),
    "average pool, padding not counted": (
        "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, (4, 6, 7), (4, 3, 4), {},
    ),
    "average pool, padding counted": (
        "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 0], "count_include_pad": 1},
        (4, 6, 7), (4, 3, 3), {},
    ),
    "average pool, ceil mode": (
        "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (4, 6, 8), (4, 3, 4), {},
    ),
    "average pool, 1-D": ("AveragePool", {"kernel_shape": [3]}, (4, 9), (4, 7), {}),
    "average pool, 3-D": ("AveragePool", {"kernel_shape": [2] * 3, "strides": [2] * 3}, (2, 4, 4, 4), (2, 2, 2, 2), {}),
    "resize, linear": (
        "Resize", {"mode": "linear"}, (2, 4, 5), (2, 8, 11), {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 2.3])},
    ),
    "resize, corners aligned": (
        "Resize", {"mode": "linear", "coordinate_transformation_mode": "align_corners", "axes": [2, 3]},
        (2, 4, 5), (2, 7, 3), {"r": np.zeros(0, np.float32), "s": np.zeros(0, np.float32), "n": np.array([7, 3])},
    ),
    "resize, nearest": (
        "Resize", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        (2, 4, 5), (2, 8, 15), {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 3])},
    ),
    "resize, 3-D": (
        "Resize", {"mode": "nearest"}, (2, 2, 3, 2), (2, 4, 3, 6), {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 1, 3])},
    ),
    "global average pool": ("GlobalAveragePool", {}, (4, 5, 6), (4, 1, 1), {}),
    "sum over channels": ("ReduceSum", {"keepdims": 0}, (4, 5, 6), (5, 6), {"axes": np.array([1])}),
    "sum over positions": ("ReduceSum", {"keepdims": 0}, (4, 5, 6), (4,), {"axes": np.array([-1, 2])}),
    "sum over channels and rows": ("ReduceSum", {}, (4, 5, 6), (1, 1, 6), {"axes": np.array([1, 2])}),
    "mean over channels": ("ReduceMean", {"keepdims": 1}, (4, 5, 6), (1, 5, 6), {"axes": np.array([1])}),
    "mean over channels and columns": ("ReduceMean", {"keepdims": 0}, (4, 5, 6), (5,), {"axes": np.array([3, 1])}),
}  # fmt: skip

RESIZED = {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 1.7, 0.7])}


def _resizes():
    """Every place and every rounding, one axis enlarged and the other one reduced."""
    for place in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        yield f"resize, linear by {place}", {"mode": "linear", "coordinate_transformation_mode": place}
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
            by = {"mode": "nearest", "coordinate_transformation_mode": place, "nearest_mode": rounding}
            yield f"resize, {rounding} by {place}", by


# Held against the oracle by the gradient and by one rule; the cases above are by every rule.
GEOMETRIES = {
    "conv, strided one way": ("Conv", {"strides": [1, 2], "pads": [1, 1, 1, 1]}, (2, 5, 6), (3, 5, 3), {"w": normal(3, 2, 3, 3)}),
    "conv, strided the other way": ("Conv", {"strides": [2, 1], "pads": [1, 0, 1, 2]}, (2, 5, 6), (3, 3, 6), {"w": normal(3, 2, 3, 3)}),
    "conv, padded beyond its reach": ("Conv", {"pads": [0, 3, 0, 0]}, (2, 5, 6), (3, 3, 7), {"w": normal(3, 2, 3, 3)}),
    "conv, a channel each": ("Conv", {"group": 4, "pads": [1, 1, 1, 1]}, (4, 5, 6), (4, 5, 6), {"w": normal(4, 1, 3, 3)}),
    "conv, 1 x 1, strided": ("Conv", {"strides": [2, 2]}, (4, 5, 6), (3, 3, 3), {"w": normal(3, 4, 1, 1)}),
    "conv, flat windows": ("Conv", {"pads": [0, 2, 0, 2]}, (2, 5, 6), (3, 5, 6), {"w": normal(3, 2, 1, 5)}),
    "average pool, overlapping": ("AveragePool", {"kernel_shape": [3, 2]}, (2, 5, 6), (2, 3, 5), {}),
    "average pool, padded and counted": (
        "AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, (2, 5, 6), (2, 5, 6), {},
    ),
    "average pool, padded on one side": ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}, (2, 5, 6), (2, 5, 6), {}),
    "average pool with gaps": ("AveragePool", {"kernel_shape": [2, 2], "strides": [3, 3]}, (2, 5, 8), (2, 2, 3), {}),
    "average pool with a rest": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, (2, 5, 7), (2, 2, 3), {}),
    "average pool, tiles one way": ("AveragePool", {"kernel_shape": [2, 3], "strides": [2, 2]}, (2, 4, 7), (2, 2, 3), {}),
    "average pool, dilated": ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 1]}, (2, 5, 6), (2, 3, 5), {}),
    "average pool, dilated tiles": (
        "AveragePool", {"kernel_shape": [2, 2], "dilations": [3, 1], "strides": [2, 2]}, (2, 6, 6), (2, 2, 3), {},
    ),
    "average pool, ceil mode, padded and counted": (
        "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1},
        (2, 6, 6), (2, 4, 4), {},
    ),
    "resize along the channels": ("Resize", {"mode": "linear"}, (2, 4), (5, 4), {"r": np.zeros(0, np.float32), "s": np.float32([1, 2.5, 1])}),
    "resize to one": (
        "Resize", {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, (2, 4), (2, 1),
        {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 0.25])},
    ),
    "resize to one, pytorch's way": (
        "Resize", {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}, (2, 4), (2, 1),
        {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 0.25])},
    ),
    "resize on chosen axes": (
        "Resize", {"mode": "linear", "axes": [-1]}, (2, 4), (2, 9), {"r": np.zeros(0, np.float32), "s": np.float32([2.3])},
    ),
    **{name: ("Resize", by, (2, 4, 5), (2, 6, 3), RESIZED) for name, by in _resizes()},
}  # fmt: skip

MOVING = {
    "relu": ("Relu", {}, (4, 5), (4, 5), {}),
    "leaky relu": ("LeakyRelu", {"alpha": 0.1}, (4, 5), (4, 5), {}),
    "prelu": ("PRelu", {}, (4, 5), (4, 5), {"slope": normal(4, 1)}),
    "elu": ("Elu", {"alpha": 0.7}, (4, 5), (4, 5), {}),
    "celu": ("Celu", {"alpha": 0.7}, (4, 5), (4, 5), {}),
    "selu": ("Selu", {}, (4, 5), (4, 5), {}),
    "hard swish": ("HardSwish", {}, (4, 50), (4, 50), {}),
    "hard sigmoid": ("HardSigmoid", {"alpha": 0.4, "beta": 0.5}, (4, 5), (4, 5), {}),
    "sigmoid": ("Sigmoid", {}, (4, 5), (4, 5), {}),
    "layer norm": (
        "LayerNormalization", {"axis": -1, "epsilon": 1e-3}, (4, 6), (4, 6), {"scale": normal(6), "shift": normal(6)},
    ),
    "layer norm by default": ("LayerNormalization", {}, (3, 4, 6), (3, 4, 6), {"scale": normal(6), "shift": normal(6)}),
    "leaky relu by default": ("LeakyRelu", {}, (4, 5), (4, 5), {}),
    "elu by default": ("Elu", {}, (4, 5), (4, 5), {}),
    "celu by default": ("Celu", {}, (4, 5), (4, 5), {}),
    "selu, of its own numbers": ("Selu", {"alpha": 0.5, "gamma": 2.0}, (4, 5), (4, 5), {}),
    "hard sigmoid by default": ("HardSigmoid", {}, (4, 50), (4, 50), {}),
    "response norm by default": ("LRN", {"size": 3}, (5, 3, 4), (5, 3, 4), {}),
    "layer norm over several axes, without shift": (
        "LayerNormalization", {"axis": 2}, (2, 3, 4), (2, 3, 4), {"scale": normal(3, 4)},
    ),
    "response norm": (
        "LRN", {"size": 3, "alpha": 0.9, "beta": 0.75, "bias": 0.8}, (5, 3, 4), (5, 3, 4), {},
    ),
    "response norm over more channels than there are": ("LRN", {"size": 5, "alpha": 2.0}, (2, 3, 4), (2, 3, 4), {}),
    "tanh": ("Tanh", {}, (4, 5), (4, 5), {}),
    "softplus": ("Softplus", {}, (4, 5), (4, 5), {}),
    "mish": ("Mish", {}, (4, 5), (4, 5), {}),
    "softsign": ("Softsign", {}, (4, 5), (4, 5), {}),
    "clip": ("Clip", {}, (4, 5), (4, 5), {"low": np.float32(-0.5), "high": np.float32(0.7)}),
    "max pool": (
        "MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, (4, 6, 7), (4, 3, 4), {},
    ),
    "max pool, ceil mode": (
        "MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}, (4, 6, 7), (4, 3, 4), {},
    ),
    "max pool, dilated": ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 1]}, (4, 6, 7), (4, 4, 6), {}),
    "max pool, 1-D": ("MaxPool", {"kernel_shape": [3]}, (4, 9), (4, 7), {}),
    "max pool, 3-D": ("MaxPool", {"kernel_shape": [2] * 3, "strides": [2] * 3}, (2, 4, 4, 4), (2, 2, 2, 2), {}),
    "flatten": ("Flatten", {}, (4, 3, 2), (24,), {}),
    "reshape": ("Reshape", {}, (4, 6), (2, 12), {"sizes": np.array([-1, 2, 12])}),
    "squeeze": ("Squeeze", {}, (4, 1, 3), (4, 3), {"axes": np.array([2])}),
    "unsqueeze": ("Unsqueeze", {}, (4, 3), (4, 1, 3), {"axes": np.array([2])}),
    "transpose": ("Transpose", {"perm": [0, 2, 3, 1]}, (4, 3, 2), (3, 2, 4), {}),
    "slice": (
        "Slice", {}, (4, 6), (2, 5), {"a": np.array([1, -5]), "b": np.array([3, 99]), "axes": np.array([1, 2])},
    ),
    "slice in steps": (
        "Slice", {}, (7, 6), (3, 2),
        {"a": np.array([2, 0]), "b": np.array([7, 4]), "axes": np.array([1, 2]), "s": np.array([2, 3])},
    ),
    "slice in steps, the last one short": (
        "Slice", {}, (7,), (3,), {"a": np.array([1]), "b": np.array([7]), "axes": np.array([1]), "s": np.array([2])},
    ),
    "pad": ("Pad", {}, (2, 3), (3, 6), {"pads": np.array([0, 1, 2, 0, 0, 1])}),
}  # fmt: skip


# Rules, for ops without a weight and with one.
PARAMETER_FREE = {
    "norm": rules.norm(1e-3),
    "clip": rules.norm(Stabilizer(0.1, clip=True)),
    "rms": rules.epsilon(Stabilizer(0.25, floor=1e-9, scale="rms")),
    "unsigned": rules.epsilon(Stabilizer(5.0, signed=False)),
    "unsigned clip": rules.epsilon(Stabilizer(0.5, signed=False, clip=True)),
    "rms over an axis": rules.norm(Stabilizer(0.25, scale="rms", axes=(1,))),
    "rms, clip": rules.norm(Stabilizer(0.25, scale="rms", clip=True)),
    "LRP-0": rules.lrp_0(),
    "abs_split": rules.abs_split(),
}
PARAMETRIC = PARAMETER_FREE | {
    "epsilon": rules.epsilon(0.1),
    "epsilon, bias zeroed": rules.epsilon(0.1, zero_params="bias"),
    "epsilon, bias shared": rules.epsilon(0.1, share_bias=True),
    "gamma": rules.gamma(0.25),
    "gamma, bias shared": rules.gamma(0.25, share_bias=True),
    "gamma_plain": rules.gamma_plain(0.25, 0.1),
    "gamma_plain, bias zeroed": rules.gamma_plain(0.25, 0.1, zero_params="bias"),
    "gamma_symmetric": rules.gamma_symmetric(0.25),
    "gamma_symmetric, bias zeroed": rules.gamma_symmetric(0.25, zero_params="bias"),
    "gamma, bias zeroed": rules.gamma(0.25, zero_params="bias"),
    "z_plus": rules.z_plus(),
    "z_plus, bias shared": rules.z_plus(share_bias=True),
    "abs_split, bias zeroed": rules.abs_split(zero_params="bias"),
    "alpha_beta, bias shared": rules.alpha_beta(share_bias=True),
    "alpha_beta": rules.alpha_beta(),
    "alpha_beta, bias zeroed": rules.alpha_beta(3, 2, zero_params="bias"),
    "z_box": rules.z_box(-4, 4),
    "w_square": rules.w_square(),
    "flat": rules.flat(),
}
RELU_RULES = [rules.Pass(), rules.ReluDeconvNet(), rules.ReluGuidedBackprop(), rules.ReluBetaSmooth(10.0)]


def plan_of(op, attributes, shape, result, constants, rule) -> Plan:
    """A plan for one node; Gelu, Swish, Identity and Dropout, which no file holds for long, are tested in nets."""
    node = helper.make_node(op, ["x", *constants], ["y"], name="layer", **attributes)
    opset = 19 if op == "AveragePool" and "dilations" in attributes else 18
    proto = model([node], constants, {"x": ["batch", *shape]}, {"y": ["batch", *result]}, opset)
    return lrpc.plan_model(proto, composite=Composite("test", (Entry(rule),)))


def dense_plan(rule, w, b, x_op=None) -> Plan:
    """A dense layer (layer) with weight w and bias b, behind an op of its own if `x_op` names one."""
    nodes = [helper.make_node("Gemm", [x_op.lower() if x_op else "x", "w", "b"], ["y"], transB=1, name="layer")]
    if x_op:
        nodes.insert(0, helper.make_node(x_op, ["x"], [x_op.lower()], name="before"))
    proto = model(nodes, {"w": w, "b": b}, {"x": ["batch", w.shape[1]]}, {"y": ["batch", w.shape[0]]})
    entries = (Entry(rule, (Kind.DENSE,)), Entry(rules.Pass(), (Kind.ACTIVATION,)))
    return lrpc.plan_model(proto, composite=Composite("test", entries))
