"""Which operand of a product is a signal that the other one is a gate of."""

from __future__ import annotations

import numpy as np
import pytest

from passes.graph.gates import gated_signal
from passes.loading.load import load
from tests.graphs import model
from tests.passes.cases import node

SHAPE = ["n", 3, 4, 4]
WEIGHTS = {
    "w": np.ones((3, 3, 1, 1), np.float32),
    "c": np.float32(2),
    "low": np.float32(0),
    "s": np.array([-1, 3, 1, 1]),
}
POOL = [node("GlobalAveragePool", "a", "p")]
GATED = [*POOL, node("Sigmoid", "p", "g")]

# nodes behind a Relu, the operands of the product, which is the signal
CASES = {
    "squeeze-excitation": (GATED, "a g", 0),
    "the other way round": (GATED, "g a", 1),
    "with convolutions and an activation": (
        [*POOL, node("Conv", "p w", "q"), node("Relu", "q", "r"), node("Conv", "r w", "t"), node("HardSigmoid", "t", "g")], "a g", 0,
    ),
    "an optional input left out": ([*POOL, node("Clip", "p low", "q"), node("Sigmoid", "q", "g")], "a g", 0),
    "moved behind its gate": ([*GATED, node("Reshape", "g s", "m"), node("Identity", "m", "i")], "a i", 0),
    "a gate through a dropout": ([*GATED, node("Dropout", "g", "m")], "a m", 0),
    "a signal that was moved": ([*GATED, node("Identity", "a", "b")], "b g", 0),
    "a gate of what is behind another layer": ([node("Tanh", "a", "b"), *GATED], "b g", None),
    "a gate of the layer before": ([node("Tanh", "a", "b"), node("Sigmoid", "a", "g")], "b g", None),
    "no squashing last": ([*POOL, node("Tanh", "p", "g")], "a g", None),
    "a squashing, and something behind": ([*GATED, node("Relu", "g", "h")], "a h", None),
    "its own gate, which is one activation": ([node("Sigmoid", "a", "g")], "a g", None),
    "two gates of each other": ([node("Sigmoid", "a", "b"), node("Sigmoid", "b", "g")], "b g", None),
    "a gate of signal and input": ([*POOL, node("Add", "p x", "q"), node("Sigmoid", "q", "g")], "a g", None),
    "a square": ([], "a a", None),
    "a gate of constants": ([node("Sigmoid", "c", "g")], "a g", None),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "operands", "signal"), CASES.values(), ids=CASES)
def test_a_gate_depends_on_its_signal_alone(nodes, operands, signal):
    whole = [node("Relu", "x", "a"), *nodes, node("Mul", operands, "y")]
    used = {name for n in whole for name in n.input}
    graph = load(model(whole, {k: v for k, v in WEIGHTS.items() if k in used}, {"x": SHAPE}, {"y": SHAPE}))
    assert gated_signal(graph.nodes[-1]) == signal


@pytest.mark.parametrize(("count", "signal"), [(10, 0), (60, 0), (70, None)])
def test_a_gate_that_is_far_away_is_not_looked_for(count, signal):
    chain = [node("Relu", "a" if i == 0 else f"r{i}", f"r{i + 1}") for i in range(count)]
    whole = [node("Relu", "x", "a"), *chain, node("Sigmoid", f"r{count}", "g"), node("Mul", "a g", "y")]
    assert gated_signal(load(model(whole, {}, {"x": SHAPE}, {"y": SHAPE})).nodes[-1]) == signal


def test_a_product_of_three_has_no_gate():
    whole = [node("Relu", "x", "a"), node("Sigmoid", "a", "g"), node("Max", "a g x", "y")]
    assert gated_signal(load(model(whole, {}, {"x": SHAPE}, {"y": SHAPE})).nodes[-1]) is None
