"""Products of two computed tensors: their rules against the oracle, and which operand is a gate."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle
from lrpc.rules.kinds import Kind
from passes.errors import LrpcError
from tests.graphs import model
from tests.targets import DISTINCT

SHAPE = (3, 4, 5)
NORM = rules.norm(1e-6)


def net(*nodes, name="product"):
    """A graph of (op, inputs, output) over x; its last node is the product."""
    made = [
        helper.make_node(op, inputs, [out], name=name if out == "y" else out, **attrs)
        for op, inputs, out, attrs in ((*node, {})[:4] for node in nodes)
    ]
    return model(made, {}, {"x": ["batch", *SHAPE]}, {"y": ["batch", *SHAPE]})


SQUEEZE = (("GlobalAveragePool", ["x"], "pool"), ("Sigmoid", ["pool"], "scale"))
GRAPHS = {
    "squeeze-excitation": (net(*SQUEEZE, ("Mul", ["scale", "x"], "y")), 1),
    "its operands the other way round": (net(*SQUEEZE, ("Mul", ["x", "scale"], "y")), 0),
    "by a hard sigmoid": (
        net(("GlobalAveragePool", ["x"], "p"), ("HardSigmoid", ["p"], "s"), ("Mul", ["x", "s"], "y")), 0,
    ),
    "two signals": (net(("Relu", ["x"], "a"), ("Tanh", ["x"], "b"), ("Mul", ["a", "b"], "y")), None),
    "a gate from elsewhere": (net(("Relu", ["x"], "a"), ("Sigmoid", ["x"], "b"), ("Mul", ["a", "b"], "y")), None),
    "a gate on a gate": (
        net(("Sigmoid", ["x"], "a"), ("GlobalAveragePool", ["a"], "p"), ("Sigmoid", ["p"], "b"), ("Mul", ["a", "b"], "y")),
        0,
    ),
    "a square": (net(("Relu", ["x"], "a"), ("Mul", ["a", "a"], "y")), None),
}  # fmt: skip


def composite(product):
    entries = (
        Entry(product, (Kind.GATE, Kind.PRODUCT)),
        Entry(NORM, (Kind.AVERAGE_POOL,)),
        Entry(rules.Pass(), (Kind.ACTIVATION,)),
        Entry(rules.Gradient()),
    )
    return Composite("test", entries)


@pytest.mark.parametrize("rule", [rules.Uniform(), rules.gate(0), rules.gate(1), rules.Gradient()], ids=str)
@pytest.mark.parametrize("name", GRAPHS)
def test_a_product_equals_its_definition(name, rule):
    plan = lrpc.plan_model(GRAPHS[name][0], composite=composite(rule))
    rng = np.random.default_rng(0)
    x, seed = (rng.standard_normal((2, *SHAPE)).astype(np.float32) for _ in range(2))
    exact = run_oracle(plan.graph, plan.behaviours, x, seed)
    for target in (None, *DISTINCT):
        assert relative_error(run_traced(plan, x, seed, target).relevance, exact.relevance) < 2e-6
    if not isinstance(rule, rules.Gradient):
        assert np.isclose(exact.relevance.sum(), seed.sum(), rtol=1e-2)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_gate_is_recognised_by_what_it_is_computed_from(name):
    proto, signal = GRAPHS[name]
    plan = lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
    row = next(row for row in plan.rows if row.layer == "product")
    assert str(row.rule) == ("uniform" if signal is None else f"gate(signal={signal})")
    assert row.kind is (Kind.PRODUCT if signal is None else Kind.GATE)


def test_a_rule_for_gates_needs_a_gate_or_a_signal():
    with pytest.raises(LrpcError, match=r"say which is the signal: gate\(signal=0\)"):
        lrpc.plan_model(GRAPHS["two signals"][0], composite=composite(rules.gate()))
    with pytest.raises(LrpcError, match="uniform is for products"):
        lrpc.plan_model(GRAPHS["two signals"][0], composite=composite(NORM), rules=[("a", rules.Uniform())])
    with pytest.raises(ValueError, match="operands 0 and 1"):
        rules.gate(2)


def test_silu_is_one_activation():
    proto = net(("Sigmoid", ["x"], "s"), ("Mul", ["x", "s"], "y"), name="act")
    plan = lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
    assert [(row.op, row.layer, str(row.rule)) for row in plan.rows] == [("Swish", "act", "pass")]
    plan = lrpc.plan_model(proto, composite=lrpc.composites.guided_backprop())
    x = np.linspace(-8, 8, 120, dtype=np.float32).reshape(2, *SHAPE)
    ones = np.ones_like(x)
    exact = run_oracle(plan.graph, plan.behaviours, x, ones)
    ours = run_traced(plan, x, ones)
    np.testing.assert_allclose(ours.relevance, exact.relevance, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.output, exact.output, rtol=1e-5, atol=1e-6)
    assert exact.relevance.max() < 1.1
