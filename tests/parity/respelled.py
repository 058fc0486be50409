"""Operators that canonization respells, each beside the torch layers that a user thinks of: the table of test_respelled.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import nn

from tests.passes.cases import node, norm_parameters, normal

Layer = tuple[str, Callable[[torch.Tensor], torch.Tensor]]
"""What sort of layer the user thinks of (a column of `RULES`), and the layer itself."""


@dataclass(frozen=True)
class Case:
    """nodes, weights: the ONNX file from x to y.  shape, result: of a sample.  layers: from the input up."""

    nodes: list[onnx.NodeProto]
    weights: dict[str, np.ndarray]
    shape: tuple[int, ...]
    result: tuple[int, ...]
    layers: list[Layer]


LRP = {"sum": "norm", "pool": "norm", "function": "pass", "affine": "pass", "norm": "pass", "linear": "zennit"}
GRADIENT = dict.fromkeys(LRP, "gradient")
RULES: dict[str, dict[str, str]] = {
    "epsilon_gamma_box": LRP,
    "epsilon_plus": LRP,
    "epsilon_plus_flat": LRP,
    "epsilon_alpha2_beta1": LRP,
    "epsilon_alpha2_beta1_flat": LRP,
    "excitation_backprop": LRP | {"function": "gradient", "affine": "gradient", "norm": "gradient"},
    "bounded": LRP | {"sum": "split", "pool": "split"},
    "tutorial": GRADIENT | {"linear": "zennit"},
    "deconvnet": GRADIENT,
    "guided_backprop": GRADIENT,
    "beta_smooth": GRADIENT,
}
"""What each composite does with each sort of layer; everything else, what moves values and max pools, has the gradient."""


def one(
    op: str, sort: str, layer: Callable[[torch.Tensor], torch.Tensor], shape, result, weights=None, **attributes
) -> Case:
    """Return a case of one node."""
    weights = weights or {}
    return Case([node(op, " ".join(["x", *weights]), "y", **attributes)], weights, shape, result, [(sort, layer)])


def several(nodes: list[onnx.NodeProto], sort: str, layer, shape, result, weights=None) -> Case:
    """Return a case of several nodes that are one layer."""
    return Case(nodes, weights or {}, shape, result, [(sort, layer)])


def axes(*values: int) -> dict[str, np.ndarray]:
    return {"axes": np.array(values, np.int64)}


def number(value: float) -> np.ndarray:
    return np.float32(value)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).double()


def linear(weight: np.ndarray, bias: np.ndarray | None = None, **options: object) -> nn.Module:
    """A dense layer, or a convolution where the weight has positions."""
    outputs, inputs, *kernel = weight.shape
    has_bias = bias is not None
    if kernel:
        module: nn.Module = nn.Conv2d(inputs, outputs, kernel, bias=has_bias, **options)
    else:
        module = nn.Linear(inputs, outputs, bias=has_bias)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight))
        if bias is not None:
            module.bias.copy_(torch.from_numpy(bias))
    return module.double()


def halves(x: torch.Tensor) -> torch.Tensor:
    return x[:, :2] + x[:, 2:]


SPLIT = node("Split", "x", "p q", axis=1, num_outputs=2)
W, B, K = normal(5, 4), normal(5, seed=1), normal(3, 4, 1, 1, seed=2)
SCALE, SHIFT = normal(4, seed=3), normal(4, seed=4)
PER_CHANNEL = {"c": SCALE.reshape(4, 1, 1)}
BN = norm_parameters(4)
NORM = {"scale": SCALE, "shift": SHIFT}


def by_channel(values: np.ndarray) -> torch.Tensor:
    return tensor(values).reshape(-1, 1, 1)


def normalised(x: torch.Tensor) -> torch.Tensor:
    return F.instance_norm(x, weight=tensor(SCALE), bias=tensor(SHIFT), eps=1e-5)


def grouped(x: torch.Tensor) -> torch.Tensor:
    return F.group_norm(x, 2, tensor(SCALE), tensor(SHIFT), 1e-5)


def batch_normalised(x: torch.Tensor) -> torch.Tensor:
    return F.batch_norm(x, *(tensor(BN[key]) for key in ("mean", "var", "scale", "shift")), eps=1e-5)


GROUPS = [
    node("Reshape", "x split", "g"), node("InstanceNormalization", "g ones zeros", "n"), node("Reshape", "n whole", "m"),
    node("Mul", "m c", "s"), node("Add", "s d", "t"),
]  # fmt: skip
GROUPED = {
    "split": np.array([0, 2, -1]), "whole": np.array([0, 4, 3, 5]), "ones": np.ones(2, np.float32),
    "zeros": np.zeros(2, np.float32), "c": SCALE.reshape(4, 1, 1), "d": SHIFT.reshape(4, 1, 1),
}  # fmt: skip

CASES: dict[str, Case] = {
    "sum over channels": one("ReduceSum", "sum", lambda x: x.sum(1), (4, 3, 5), (3, 5), axes(1), keepdims=0),
    "sum over positions": one(
        "ReduceSum", "sum", lambda x: x.sum((2, 3), keepdim=True), (4, 3, 5), (4, 1, 1), axes(-1, -2), keepdims=1
    ),
    "sum over rows of channels": one("ReduceSum", "sum", lambda x: x.sum((1, 2)), (4, 3, 5), (5,), axes(1, 2), keepdims=0),
    "einsum over channels": one(
        "Einsum", "sum", lambda x: torch.einsum("bchw->bwh", x), (4, 3, 5), (5, 3), equation="bchw->bwh"
    ),
    "stack and sum": several(
        [
            SPLIT, node("Unsqueeze", "p axes", "p1"), node("Unsqueeze", "q axes", "q1"),
            node("Concat", "p1 q1", "s", axis=-1), node("ReduceSum", "s axes", "y", keepdims=0),
        ],
        "sum", halves, (4, 3), (2, 3), axes(-1),
    ),
    "stack and einsum": several(
        [
            SPLIT, node("Unsqueeze", "p axes", "p1"), node("Unsqueeze", "q axes", "q1"),
            node("Concat", "p1 q1", "s", axis=0), node("Einsum", "s", "y", equation="kbcw->bcw"),
        ],
        "sum", halves, (4, 3), (2, 3), axes(0),
    ),
    "blocks and sum": several(
        [node("Reshape", "x to", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        "sum", halves, (4, 3), (2, 3), {"to": np.array([-1, 2, 2, 3]), **axes(1)},
    ),
    "cat, blocks and sum": several(
        [
            SPLIT, node("Concat", "p q", "j", axis=1), node("Reshape", "j to", "r"),
            node("ReduceSum", "r axes", "y", keepdims=1),
        ],
        "sum", lambda x: halves(x)[:, None], (4, 3), (1, 2, 3), {"to": np.array([-1, 2, 2, 3]), **axes(1)},
    ),
    "mean over channels": one("ReduceMean", "pool", lambda x: x.mean(1), (4, 3, 5), (3, 5), axes(1), keepdims=0),
    "mean over channels and columns": one(
        "ReduceMean", "pool", lambda x: x.mean((1, 3)), (4, 3, 5), (3,), axes(3, 1), keepdims=0
    ),
    "mean over positions": one(
        "ReduceMean", "pool", lambda x: x.mean((2, 3)), (4, 3, 5), (4,), axes(2, 3), keepdims=0
    ),
    "mean over all but the batch": one(
        "ReduceMean", "pool", lambda x: x.mean((1, 2), keepdim=True), (4, 3), (1, 1), axes(1, 2), keepdims=1
    ),
    "average pool of the whole picture": one(
        "AveragePool", "pool", lambda x: x.mean((2, 3), keepdim=True), (4, 3, 5), (4, 1, 1), kernel_shape=[3, 5]
    ),
    "average pool that counts its padding": one(
        "AveragePool", "pool", lambda x: F.avg_pool2d(x, 3, 2, 1), (4, 6, 7), (4, 3, 4),
        kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1,
    ),
    "average pool in ceil mode": one(
        "AveragePool", "pool", lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), (4, 6, 8), (4, 3, 4),
        kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
    ),
    "maximum over channels": one("ReduceMax", "max", lambda x: x.amax(1), (4, 3, 5), (3, 5), axes(1), keepdims=0),
    "maximum over positions": one("ReduceMax", "max", lambda x: x.amax((2, 3)), (4, 3, 5), (4,), axes(2, 3), keepdims=0),
    "max pool of the whole picture": one(
        "GlobalMaxPool", "max", lambda x: x.amax((2, 3), keepdim=True), (4, 3, 5), (4, 1, 1)
    ),
    "pixel shuffle": one(
        "DepthToSpace", "move", lambda x: F.pixel_shuffle(x, 2), (8, 3, 2), (2, 6, 4), blocksize=2, mode="CRD"
    ),
    "pixel unshuffle": one(
        "SpaceToDepth", "move", lambda x: x.reshape(-1, 2, 3, 2, 2, 2).permute(0, 3, 5, 1, 2, 4).flatten(1, 3),
        (2, 6, 4), (8, 3, 2), blocksize=2,
    ),
    "channels in another order, one of them twice": one(
        "Gather", "move", lambda x: x[:, [2, 1, 1, 0]], (4, 3), (4, 3), {"i": np.array([2, 1, 1, 0])}, axis=1
    ),
    "silu": several(
        [node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], "function", F.silu, (4, 5), (4, 5)
    ),
    "mish": several(
        [node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b", "y")], "function", F.mish, (4, 5), (4, 5)
    ),
    "gelu": several(
        [
            node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d"),
            node("Mul", "d half", "y"),
        ],
        "function", F.gelu, (4, 5), (4, 5), {"r": number(2**0.5), "one": number(1), "half": number(0.5)},
    ),
    "hard swish": several(
        [
            node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"), node("Div", "c six", "y"),
        ],
        "function", F.hardswish, (4, 5), (4, 5), {"three": number(3), "zero": number(0), "six": number(6)},
    ),
    "hard sigmoid": several(
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "y")],
        "function", F.hardsigmoid, (4, 5), (4, 5), {"three": number(3), "zero": number(0), "six": number(6)},
    ),
    "scale by channel": one("Mul", "affine", lambda x: x * by_channel(SCALE), (4, 3, 5), (4, 3, 5), PER_CHANNEL),
    "division by a number": one("Div", "affine", lambda x: x / 3, (4, 3, 5), (4, 3, 5), {"c": number(3)}),
    "shift by channel": one("Sub", "affine", lambda x: x - by_channel(SCALE), (4, 3, 5), (4, 3, 5), PER_CHANNEL),
    "batch norm in three nodes": several(
        [node("BatchNormalization", "x scale shift mean var", "a"), node("Mul", "a c", "b"), node("Add", "b c", "y")],
        "affine", lambda x: batch_normalised(x) * by_channel(SCALE) + by_channel(SCALE), (4, 3, 5), (4, 3, 5),
        BN | PER_CHANNEL,
    ),
    "instance norm": one("InstanceNormalization", "norm", normalised, (4, 3, 5), (4, 3, 5), NORM),
    "group norm": several(
        [*GROUPS[:-1], node("Add", "s d", "y")], "norm", grouped, (4, 3, 5), (4, 3, 5), GROUPED
    ),
    "group norm before a convolution": Case(
        [*GROUPS, node("Conv", "t w", "y")], GROUPED | {"w": K}, (4, 3, 5), (3, 3, 5),
        [("norm", grouped), ("linear", linear(K))],
    ),
    "instance norm before a convolution": Case(
        [node("InstanceNormalization", "x scale shift", "t"), node("Conv", "t w", "y")], NORM | {"w": K}, (4, 3, 5), (3, 3, 5),
        [("norm", normalised), ("linear", linear(K))],
    ),
    "matrix product and sum": several(
        [node("MatMul", "x w", "a"), node("Add", "b a", "y")], "linear", linear(W, B), (4,), (5,), {"w": W.T.copy(), "b": B}
    ),
    "matrix product of rows and sum": several(
        [node("MatMul", "x w", "a"), node("Add", "a b", "y")], "linear", linear(W, B), (3, 4), (3, 5), {"w": W.T.copy(), "b": B}
    ),
    "dense layer that scales its product and its bias": one(
        "Gemm", "linear", linear(2 * W, B / 2), (4,), (5,), {"w": W, "b": B}, transB=1, alpha=2.0, beta=0.5
    ),
    "convolution, scale and shift": several(
        [node("Conv", "x w", "a"), node("Mul", "a c", "b"), node("Add", "b d", "y")],
        "linear", linear(K * SCALE[:3].reshape(3, 1, 1, 1), SHIFT[:3]), (4, 3, 5), (3, 3, 5),
        {"w": K, "c": SCALE[:3].reshape(3, 1, 1), "d": SHIFT[:3].reshape(3, 1, 1)},
    ),
}  # fmt: skip
