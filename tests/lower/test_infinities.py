"""Where float32 overflows and the oracle does not, what gets no relevance still gets 0: an infinity times 0 is no number."""

import numpy as np
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.validate.traced import run_traced
from lrpc.reference import run_oracle
from lrpc.rules.kinds import Kind
from tests.emitted import LEVELS
from tests.graphs import model

BODY = [helper.make_node("Tanh", ["x"], ["a"], name="body"), helper.make_node("Add", ["a", "x"], ["y"], name="layer")]
DENSE = [helper.make_node("Gemm", ["x", "w"], ["y"], name="layer")]
GATED = rules.gamma(1.0, "eps=1e-30,floor=1e-30,scale=rms")
"""At z = 2 - 1 the denominator of its other share, 2 - 2, is 0: only the floor is left of it."""


def plan(nodes, rule):
    proto = model(nodes, {"w": np.array([[1.0], [-1.0]], np.float32)}, {"x": ["n", 2]}, {"y": ["n", None]})
    entries = (Entry(rule, (Kind.SUM, Kind.DENSE)), Entry(rules.Gradient()))
    return lrpc.plan_model(proto, composite=Composite("test", entries))


@pytest.mark.parametrize("target", LEVELS.values(), ids=LEVELS)
def test_a_shortcut_gets_nothing_of_an_infinity(target):
    x, seed = np.array([[2.0, 1.0]], np.float32), np.array([[np.inf, 3.0]], np.float32)
    traced = run_traced(plan(BODY, rules.BodyOnly()), x, seed, target)
    np.testing.assert_array_equal(traced.arriving["layer.branch1"], 0)
    np.testing.assert_array_equal(traced.arriving["body"], seed)


@pytest.mark.parametrize("target", LEVELS.values(), ids=LEVELS)
def test_a_closed_gate_lets_no_infinity_through(target):
    x, seed, gated = np.array([[2.0, 1.0]], np.float32), np.array([[1e10]], np.float32), plan(DENSE, GATED)
    exact = run_oracle(gated.graph, gated.behaviours, x, seed)
    np.testing.assert_allclose(run_traced(gated, x, seed, target).relevance, exact.relevance, rtol=1e-6)
