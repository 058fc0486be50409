"""A layer that divides by what the layer above multiplied by: -O1 cancels the two only where the stabilizer lets it."""

from __future__ import annotations

import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.emit.targets import TARGETS
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.lower import relevance_graph
from lrpc.plan.simplify import simplify
from lrpc.reference import run_oracle
from lrpc.rules.kinds import Kind
from lrpc.rules.stabilizer import Stabilizer
from tests.graphs import model
from tests.layers import normal

# Epsilons are large, so that a margin of another size, or on the other side, cannot pass for rounding.
STABILIZERS = {
    "plain": Stabilizer(0.3),
    "with a floor": Stabilizer(0.3, floor=0.2),
    "nothing": Stabilizer(0.0),
    "a scale": Stabilizer(0.3, scale="rms"),
    "a scale and a floor": Stabilizer(0.3, floor=0.2, scale="rms"),
    "a scale over the channels": Stabilizer(0.3, scale="rms", axes=(1,)),
    "clipped": Stabilizer(0.8, clip=True),
    "a clipped scale": Stabilizer(0.8, scale="rms", clip=True),
    "unsigned": Stabilizer(5.0, signed=False),
    "unsigned and clipped": Stabilizer(0.8, signed=False, clip=True),
}
BETWEEN = ("", "Relu")
RULES = {
    "epsilon": rules.epsilon,
    "gamma_symmetric": lambda stabilizer: rules.gamma_symmetric(0.5, stabilizer),
    "bias-free gamma_symmetric": lambda stabilizer: rules.gamma_symmetric(0.5, stabilizer, "bias"),
}


def plan_of(between: str, rule: lrpc.rules.Rule) -> lrpc.plan.plan.Plan:
    """Two dense layers with what is between them; the second one hands its input times something to the first."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["z"], name="below", transB=1),
        *([helper.make_node(between, ["z"], ["a"], name="act")] if between else []),
        helper.make_node("Gemm", ["a" if between else "z", "v"], ["y"], name="above", transB=1),
    ]
    weights = {"w": normal(7, 5, seed=4), "b": normal(7, seed=5), "v": normal(3, 7, seed=6)}
    proto = model(nodes, weights, {"x": ["batch", 5]}, {"y": ["batch", 3]})
    entries = (Entry(rules.epsilon(0.1), (Kind.DENSE,)), Entry(rules.Pass(), (Kind.ACTIVATION,)))
    return lrpc.plan_model(proto, composite=Composite("test", entries), rules=[("below", rule)])


@pytest.mark.parametrize("between", BETWEEN, ids=lambda between: between or "nothing between")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("stabilizer", STABILIZERS.values(), ids=STABILIZERS)
def test_a_factor_cancels_only_what_the_stabilizer_leaves_of_it(stabilizer, rule, between):
    plan = plan_of(between, rule(stabilizer))
    x, seed = normal(4, 5, seed=1), normal(4, 3, seed=2)
    exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, seed, d) for d in ("float64", "float32"))
    yardstick = relative_error(rounded.relevance, exact.relevance)
    for target in (None, TARGETS["cpu"]):
        ours = run_traced(plan, x, seed, target)
        assert relative_error(ours.relevance, exact.relevance) < max(2e-6, 4 * yardstick), target


CANCELS = {"plain", "with a floor", "nothing"}


@pytest.mark.parametrize("between", ["", "Relu", "Tanh"], ids=lambda between: between or "nothing between")
@pytest.mark.parametrize("name", STABILIZERS)
def test_where_a_factor_cancels_the_product_is_never_made(name, between):
    """C * v / (v + m) is C times a quotient near 1; behind a Tanh the factor is another tensor than the denominator."""
    plan = plan_of(between, rules.epsilon(STABILIZERS[name]))
    graph, _ = relevance_graph(simplify(plan), target=TARGETS["cpu"])
    made = {node.name for node in graph.graph.node}
    cancelled = name in CANCELS and between != "Tanh"
    assert ("below/s/kept" in made) == cancelled
    assert ("below/product" in made) == (not cancelled)
