"""Where relevance can arrive: on small graphs, and held against the oracle on random plans."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from onnx import helper

from lrpc import rules
from lrpc.behaviours.support import Support
from lrpc.composites.composite import Composite
from lrpc.plan.facts import facts, input_sign, signs
from lrpc.plan.plan import assign
from lrpc.plan.support import supports
from lrpc.reference import run_oracle
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model
from tests.random_plans import ENTRIES, cases

ANYWHERE, NONZERO, POSITIVE = Support
RELU = helper.make_node("Relu", ["z"], ["a"], name="act")
CONV2 = {"kernel_shape": [1, 1]}
CHANNEL = {"s": np.ones(2, np.float32), "t": np.full(2, 0.5, np.float32)}


def node(op: str, inputs: str, output: str, name: str, **attributes: object):
    return helper.make_node(op, inputs.split(), [output], name=name, **attributes)


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
NORMED = node("BatchNormalization", "a s t t s", "h", "bn")
AVERAGE = node("AveragePool", "a", "h", "pool", **POOL)
SUM = node("Add", "h a", "sum", "add")
SIDE = node("Conv", "x v", "h", "side", **CONV2)
PRODUCT = [SIDE, node("Mul", "z h", "p", "product")]
BEHIND = [*PRODUCT, node("Relu", "p", "a", "act")]
SHORT = [
    SIDE,
    node("Relu", "h", "r", "side.act"),
    node("Conv", "r u", "d", "side.conv", **CONV2),
    node("Add", "d z", "sum", "add"),
]
LONG = [node("Relu", "x", "r", "side.act"), node("Add", "r z", "sum", "add")]
FLAT = {"conv2": rules.flat()}

# nodes between z and the next convolution (or the sum behind it), that convolution's input, overrides, support of z
CASES = {
    "relu": ([RELU], "a", {}, POSITIVE),
    "relu, by gradient": ([RELU], "a", {"act": rules.Gradient()}, POSITIVE),
    "max pool": ([RELU, node("MaxPool", "a", "h", "pool", **POOL)], "h", {}, POSITIVE),
    "transpose": ([RELU, node("Transpose", "a", "h", "t", perm=[0, 1, 3, 2])], "h", {}, POSITIVE),
    "pad": ([RELU, node("Pad", "a pads", "h", "pad")], "h", {}, POSITIVE),
    "average pool by norm": ([RELU, AVERAGE], "h", {}, POSITIVE),
    "clip(0, 6)": ([node("Clip", "z low high", "a", "act")], "a", {}, POSITIVE),
    "clip(-1, 6)": ([node("Clip", "z below high", "a", "act")], "a", {}, NONZERO),
    "leaky relu": ([node("LeakyRelu", "z", "a", "act")], "a", {}, NONZERO),
    "tanh": ([node("Tanh", "z", "a", "act")], "a", {}, NONZERO),
    "tanh by gradient": ([node("Tanh", "z", "a", "act")], "a", {"act": rules.Gradient()}, NONZERO),
    "sigmoid": ([node("Sigmoid", "z", "a", "act")], "a", {}, ANYWHERE),
    "softplus": ([node("Softplus", "z", "a", "act")], "a", {}, ANYWHERE),
    "hard sigmoid": ([node("HardSigmoid", "z", "a", "act")], "a", {}, ANYWHERE),
    "z_box above": ([RELU], "a", {"conv2": rules.z_box(-1, 1)}, ANYWHERE),
    "flat above": ([RELU], "a", {"conv2": rules.flat()}, ANYWHERE),
    "w_square above": ([RELU], "a", {"conv2": rules.w_square()}, ANYWHERE),
    "gradient above": ([RELU], "a", {"conv2": rules.Gradient()}, ANYWHERE),
    "a bias shared out above": ([RELU], "a", {"conv2": rules.epsilon(share_bias=True)}, ANYWHERE),
    "average pool by gradient": ([RELU, AVERAGE], "h", {"pool": rules.Gradient()}, POSITIVE),
    "batch norm by pass": ([RELU, NORMED], "h", {}, ANYWHERE),
    "batch norm by affine": ([RELU, NORMED], "h", {"bn": rules.affine()}, POSITIVE),
    "relu by its own rules": ([RELU], "a", {"act": rules.ReluDeconvNet()}, POSITIVE),
    "relu, smoothed": ([RELU], "a", {"act": rules.ReluBetaSmooth()}, POSITIVE),
    "relu by deconvnet, flat above": ([RELU], "a", FLAT | {"act": rules.ReluDeconvNet()}, ANYWHERE),
    "relu, smoothed, flat above": ([RELU], "a", FLAT | {"act": rules.ReluBetaSmooth()}, ANYWHERE),
    "relu by gradient, flat above": ([RELU], "a", FLAT | {"act": rules.Gradient()}, POSITIVE),
    "relu by guided backprop, flat above": ([RELU], "a", FLAT | {"act": rules.ReluGuidedBackprop()}, POSITIVE),
    "tanh by gradient, flat above": ([node("Tanh", "z", "a", "act")], "a", FLAT | {"act": rules.Gradient()}, ANYWHERE),
    "max pool, flat above": ([RELU, node("MaxPool", "a", "h", "pool", **POOL)], "h", FLAT, ANYWHERE),
    # A product is above 0 where both operands are below, too.
    "the signal of a product behind a relu": (BEHIND, "a", {"product": rules.gate(0)}, NONZERO),
    "the gate of a product gets nothing": (BEHIND, "a", {"product": rules.gate(1)}, POSITIVE),
    "half of a product behind a relu": (BEHIND, "a", {"product": rules.Uniform()}, NONZERO),
    "the signal of a product, flat above": (PRODUCT, "p", FLAT | {"product": rules.gate(0)}, ANYWHERE),
    "half of a product, flat above": (PRODUCT, "p", FLAT | {"product": rules.Uniform()}, ANYWHERE),
    "a product by gradient": (BEHIND, "a", {"product": rules.Gradient()}, ANYWHERE),
    "the shortcut of a body gets nothing": (SHORT, "sum", {"add": rules.BodyOnly()}, POSITIVE),
    "the body itself": (LONG, "sum", {"add": rules.BodyOnly()}, ANYWHERE),
    "a sum by norm": (LONG, "sum", {}, NONZERO),
    "a copy": (LONG, "sum", {"add": rules.Copy()}, ANYWHERE),
    "read by another layer too": ([RELU, node("Conv", "z v", "h", "side", **CONV2), SUM], "sum", {}, NONZERO),
}  # fmt: skip
CASES["average pool by gradient"] = (*CASES["average pool by gradient"][:3], ANYWHERE)


def plan_of(nodes, read, overrides):
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((2, 2, 1, 1)).astype(np.float32) for name in "vwu"}
    weights |= CHANNEL | {name: np.array(v, np.float32) for name, v in (("low", 0), ("below", -1), ("high", 6))}
    weights["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    # Padded, so that a BatchNorm before it stays a layer: what pads would miss its shift.
    last = node("Conv", f"{read} u", "y", "conv2", **(CONV2 | {"pads": [1, 1, 1, 1]}))
    whole = [node("Conv", "x w", "z", "conv1", **CONV2), *nodes, last]
    used = {name for n in whole for name in n.input}
    weights = {name: value for name, value in weights.items() if name in used}
    size = {"pool": 2, "pad": 6}.get(next((n.name for n in nodes if n.name in ("pool", "pad")), ""), 4)
    proto = model(whole, weights, {"x": ["batch", 2, 4, 4]}, {"y": ["batch", 2, size + 2, size + 2]})
    return assign(canonize(load(proto)), Composite("test", ENTRIES), list(overrides.items()))


@pytest.mark.parametrize(("nodes", "read", "overrides", "expected"), CASES.values(), ids=CASES)
def test_where_relevance_arrives_below(nodes, read, overrides, expected):
    assert facts(plan_of(nodes, read, overrides))["conv1"].support is expected


def check_against_the_oracle(plan, x, seed):
    known = signs(plan.graph, input_sign(plan))
    arriving = supports(plan, known)
    outcome = run_oracle(plan.graph, plan.behaviours, x, seed)
    for layer in plan.graph.nodes:
        name, z, relevance = layer.outputs[0].name, outcome.activations[layer.name], outcome.arriving[layer.name]
        sign = known[name]
        assert sign.positive or (z <= 0).all()
        assert sign.negative or (z >= 0).all()
        reached = {ANYWHERE: z == z, NONZERO: z != 0, POSITIVE: z > 0}[arriving[name]]
        assert (relevance[~reached] == 0).all(), f"{layer.name}: {arriving[name]}"


@pytest.mark.parametrize(("nodes", "read", "overrides", "expected"), CASES.values(), ids=CASES)
def test_nothing_arrives_below_where_nothing_can(nodes, read, overrides, expected):
    plan = plan_of(nodes, read, overrides)
    rng = np.random.default_rng(1)
    x = rng.integers(-1, 2, (20, 2, 4, 4)).astype(np.float32)
    check_against_the_oracle(plan, x, rng.standard_normal((20, *plan.graph.outputs[0].shape[1:])))


def test_the_seed_arrives_anywhere():
    assert facts(plan_of([RELU], "a", {}))["conv2"].support is ANYWHERE


@settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_nothing_arrives_where_nothing_can_and_signs_hold(case):
    torch.set_num_threads(1)
    check_against_the_oracle(case.plan, case.x, case.seed)
