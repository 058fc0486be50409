"""What an op tells of itself without running (sign, slope, where it is 0), held against what it does, and reached."""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.ops import OPS, LinearOp
from lrpc.plan.facts import signs
from lrpc.plan.plan import Plan
from lrpc.reference import run_oracle
from lrpc.reference.forward import FORWARD, MULTIPLE, UNWEIGHTED
from lrpc.rules.kinds import LINEAR as WEIGHTED
from lrpc.rules.sign import ANY, NON_NEGATIVE, NON_POSITIVE, ZEROS, Sign
from passes.graph import branches
from passes.loading import check
from tests.graphs import model
from tests.layers import LINEAR, MOVING, normal, plan_of

SIGNS = (ANY, NON_NEGATIVE, NON_POSITIVE, ZEROS)
NUMBER = {
    key: np.float32(value) for key, value in (("below", -2), ("little", -0.5), ("none", 0), ("some", 0.7), ("much", 2))
}
PADS = np.array([0, 1, 2, 0, 0, 1])


def filled(value: str) -> tuple:
    return "Pad", {}, (2, 3), (3, 6), {"pads": PADS, value: NUMBER[value]}


def clip(*limits: str) -> tuple:
    return "Clip", {}, (4, 5), (4, 5), {limit: NUMBER[limit] for limit in limits}


SHAPED = np.array([[0.3], [2.5], [-0.4], [0.1]], np.float32)
MORE = {
    "pad filled with 0": filled("none"),
    "pad filled from below": filled("below"),
    "pad filled from above": filled("much"),
    "clip to 0 and more": clip("none", "some"),
    "clip below 0 only": clip("below", "little"),
    "clip above 0 only": clip("some", "much"),
    "clip to 0 and less": clip("little", "none"),
    "clip from 0 without an end": clip("none"),
    "prelu, steep": ("PRelu", {}, (4, 5), (4, 5), {"slope": 3 * SHAPED}),
    "prelu, flat": ("PRelu", {}, (4, 5), (4, 5), {"slope": SHAPED / 3}),
    "prelu, steep downwards": ("PRelu", {}, (4, 5), (4, 5), {"slope": -2 * np.abs(SHAPED)}),
    "leaky relu, steep": ("LeakyRelu", {"alpha": 3.0}, (4, 5), (4, 5), {}),
    "leaky relu, steep downwards": ("LeakyRelu", {"alpha": -3.0}, (4, 5), (4, 5), {}),
    "leaky relu by default": ("LeakyRelu", {}, (4, 5), (4, 5), {}),
    "elu, steep": ("Elu", {"alpha": 2.0}, (4, 5), (4, 5), {}),
    "elu by default": ("Elu", {}, (4, 5), (4, 5), {}),
    "celu by default": ("Celu", {}, (4, 5), (4, 5), {}),
    "selu, of its own numbers": ("Selu", {"alpha": 0.5, "gamma": 2.0}, (4, 5), (4, 5), {}),
    "hard sigmoid by default": ("HardSigmoid", {}, (4, 5), (4, 5), {}),
    "hard sigmoid, falling": ("HardSigmoid", {"alpha": -0.4}, (4, 5), (4, 5), {}),
    "response norm by default": ("LRN", {"size": 3}, (5, 3, 4), (5, 3, 4), {}),
    "response norm, of bias 0": ("LRN", {"size": 3, "alpha": 0.5, "bias": 0.0}, (5, 3, 4), (5, 3, 4), {}),
    "transposed, in groups": ("ConvTranspose", {"group": 2}, (4, 5), (6, 7), {"w": normal(4, 3, 3, seed=7)}),
    "conv, in groups": ("Conv", {"group": 2}, (4, 5), (6, 3), {"w": normal(6, 2, 3, seed=7)}),
    "batch norm, falling": (
        "BatchNormalization", {"epsilon": 0.1}, (2, 5), (2, 5),
        {"s": np.float32([-3, 0.5]), "t": np.float32([1, 1]), "m": np.float32([0, 2]), "v": np.float32([0.5, 3])},
    ),
}  # fmt: skip
CASES = LINEAR | MOVING | MORE


def wide(case: tuple, sign: Sign, draws: int = 40) -> np.ndarray:
    """Inputs of a sign, tiny and large ones, and 0."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((draws, *case[2])) * 10.0 ** rng.uniform(-3, 1, (draws, *case[2]))
    values *= rng.random(values.shape) < 0.9
    return np.clip(values, None if sign.negative else 0, None if sign.positive else 0).astype(np.float32)


def seen(values: np.ndarray) -> Sign:
    return Sign(bool((values > 0).any()), bool((values < 0).any()))


def output(plan: Plan, x: np.ndarray) -> np.ndarray:
    return run_oracle(plan.graph, plan.behaviours, x, np.zeros((len(x), *plan.graph.outputs[0].shape[1:]))).output


# --- signs -------------------------------------------------------------------------------------------

LOOSE_SIGN = {
    "Conv", "ConvTranspose", "Gemm", "BatchNormalization", "LayerNormalization",  # of both signs, as their weights are
    "HardSigmoid", "Resize", "PRelu", "LeakyRelu", "Elu", "Celu", "Selu", "HardSwish", "Mish", "Softsign", "Tanh",
    "Clip", "LRN", "Relu",
}  # fmt: skip
"""Of these less is told than could be: an activation that keeps a sign need not say so of one that is not positive."""


@pytest.mark.parametrize("name", CASES)
def test_an_output_has_no_sign_that_its_op_rules_out(name):
    case = CASES[name]
    plan = plan_of(*case, rules.Gradient())
    (node,) = plan.graph.nodes
    for sign in SIGNS:
        told, found = OPS[node.op].sign(node, [sign]), seen(output(plan, wide(case, sign)))
        assert told | found == told, f"{sign} gives {found}, not {told}"
        if node.op not in LOOSE_SIGN:
            assert told == found, f"{sign} gives no more than {found}, {told} is told"


# what an op is given, what it must tell: no less, and where signs are known no more
TOLD = {
    "pad filled with 0": (NON_NEGATIVE, NON_NEGATIVE),
    "pad": (NON_NEGATIVE, NON_NEGATIVE),
    "pad filled from below": (NON_NEGATIVE, ANY),
    "pad filled from above": (NON_POSITIVE, ANY),
    "relu": (ANY, NON_NEGATIVE),
    "sigmoid": (ANY, NON_NEGATIVE),
    "hard sigmoid": (ANY, NON_NEGATIVE),
    "softplus": (ANY, NON_NEGATIVE),
    "clip to 0 and more": (ANY, NON_NEGATIVE),
    "clip above 0 only": (NON_POSITIVE, NON_NEGATIVE),
    "clip below 0 only": (NON_NEGATIVE, NON_POSITIVE),
    "clip from 0 without an end": (ANY, NON_NEGATIVE),
    "clip": (NON_NEGATIVE, NON_NEGATIVE),
    "tanh": (NON_NEGATIVE, NON_NEGATIVE),
    "leaky relu": (NON_NEGATIVE, NON_NEGATIVE),
    "response norm": (NON_NEGATIVE, NON_NEGATIVE),
    "response norm by default": (NON_POSITIVE, NON_POSITIVE),
    "response norm, of bias 0": (NON_NEGATIVE, ANY),
    "resize, linear": (NON_POSITIVE, NON_POSITIVE),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_sign_that_is_known_is_told(name):
    given, told = TOLD[name]
    (node,) = plan_of(*CASES[name], rules.Gradient()).graph.nodes
    assert OPS[node.op].sign(node, [given]) == told


def pair(op: str) -> Plan:
    """Two activations of x, joined."""
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="a"), helper.make_node("Tanh", ["x"], ["b"], name="b")]
    more = {"axis": 1} if op == "Concat" else {}
    nodes.append(helper.make_node(op, ["a", "b"], ["y"], name="y", **more))
    proto = model(nodes, {}, {"x": ["batch", 4]}, {"y": ["batch", 8 if op == "Concat" else 4]})
    return lrpc.plan_model(proto, composite=Composite("test", (Entry(rules.Gradient()),)))


@pytest.mark.parametrize("op", ["Sum", "Mul", "Concat"])
@pytest.mark.parametrize("first", SIGNS, ids=str)
@pytest.mark.parametrize("second", SIGNS, ids=str)
def test_two_operands_have_no_sign_that_their_op_rules_out(op, first, second):
    """All combinations of one positive, one negative number and 0 that the operands can be."""
    node = pair(op).graph.nodes[-1]
    told = OPS[node.op].sign(node, [first, second])
    a, b = ([0.0, *([2.0] if s.positive else []), *([-3.0] if s.negative else [])] for s in (first, second))
    results = {"Sum": [p + q for p in a for q in b], "Mul": [p * q for p in a for q in b], "Concat": [*a, *b]}[op]
    assert told == seen(np.array(results))


def test_the_sign_of_an_input_is_what_is_assumed_of_it():
    graph = plan_of(*MOVING["tanh"], rules.Gradient()).graph
    assert [signs(graph, sign)["y"] for sign in SIGNS] == [ANY, NON_NEGATIVE, ANY, NON_NEGATIVE]


# --- slopes ------------------------------------------------------------------------------------------


def jacobian(plan: Plan, x: np.ndarray) -> np.ndarray:
    """(outputs, inputs) at one sample, by autograd in float64."""
    shape = plan.graph.outputs[0].shape[1:]
    count = math.prod(shape)
    seeds = np.eye(count).reshape(count, *shape)
    relevance = run_oracle(plan.graph, plan.behaviours, np.repeat(x[None], count, axis=0), seeds).relevance
    return relevance.reshape(count, -1)


@pytest.mark.parametrize(
    "name",
    LINEAR | {name: case for name, case in MORE.items() if case[0] in ("Conv", "ConvTranspose", "BatchNormalization")},
)
def test_the_slope_of_a_linear_op_is_its_largest_column(name):
    """sum |J^T R| / sum |R| is largest for relevance at one output alone, whose contributions reach the whole of it."""
    case = CASES[name]
    plan = plan_of(*case, rules.Gradient())
    (node,) = plan.graph.nodes
    largest = np.abs(jacobian(plan, np.zeros(case[2]))).sum(axis=1).max()
    slope = OPS[node.op].slope(node)
    assert slope >= largest * (1 - 1e-6)
    if reaches_inside(case):
        assert slope <= largest * (1 + 1e-6)


def reaches_inside(case: tuple) -> bool:
    """Whether some output sees a whole kernel."""
    return case[0] != "ConvTranspose" or not case[1].get("strides")


ACTIVATIONS = {
    name: case for name, case in (MOVING | MORE).items() if OPS[case[0]].kind is lrpc.rules.kinds.Kind.ACTIVATION
}
STEEP = 4.0
"""Where every activation has its steepest place, or nearly, from -STEEP to STEEP."""


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_slope_of_an_activation_is_the_steepest_that_it_gets(name):
    op, attributes, _, _, constants = ACTIVATIONS[name]
    shape = (4, 2000)
    plan = plan_of(op, attributes, shape, shape, constants, rules.Gradient())
    x = np.tile(np.linspace(-STEEP, STEEP, 2000), (1, 4, 1))
    steepest = np.abs(run_oracle(plan.graph, plan.behaviours, x, np.ones((1, *shape))).relevance).max()
    (node,) = plan.graph.nodes
    limit = OPS[node.op].slope(node)
    told = max(1.0, steepest) if op in ("PRelu", "LeakyRelu", "Elu") else steepest
    assert steepest <= limit <= told * 1.02


@pytest.mark.parametrize(
    "name", [name for name, case in MOVING.items() if OPS[case[0]].kind is not lrpc.rules.kinds.Kind.ACTIVATION]
)
def test_what_moves_values_amplifies_nothing_and_what_normalises_is_unbounded(name):
    plan = plan_of(*MOVING[name], rules.Gradient())
    (node,) = plan.graph.nodes
    slope = OPS[node.op].slope(node)
    if node.op in ("LayerNormalization", "LRN"):
        assert math.isinf(slope)
        return
    assert slope == np.abs(jacobian(plan, normal(*MOVING[name][2]))).sum(axis=1).max()


@pytest.mark.parametrize("count", [2, 3])
def test_a_sum_hands_its_relevance_to_every_branch(count):
    nodes = [helper.make_node("Relu", ["x"], [f"a{i}"], name=f"a{i}") for i in range(count)]
    nodes.append(helper.make_node("Sum", [f"a{i}" for i in range(count)], ["y"], name="y"))
    proto = model(nodes, {}, {"x": ["batch", 4]}, {"y": ["batch", 4]})
    plan = lrpc.plan_model(proto, composite=Composite("test", (Entry(rules.Gradient()),)))
    total = np.abs(jacobian(plan, np.ones(4))).sum(axis=1).max()
    node = plan.graph.nodes[-1]
    assert OPS["Sum"].slope(node) == total == count


# --- where an op is 0 --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_zero_and_clamps_where_it_says(name):
    op, attributes, _, _, constants = ACTIVATIONS[name]
    plan = plan_of(op, attributes, (4, 9), (4, 9), constants, rules.Gradient())
    x = np.tile([-3, -2, -1, -0.1, 0, 0.1, 1, 2, 3.0], (1, 4, 1))
    y = output(plan, x)
    (node,) = plan.graph.nodes
    assert OPS[op].keeps_zero(node) == (not y[x == 0].any())
    slope = run_oracle(plan.graph, plan.behaviours, x, np.ones((1, 4, 9))).relevance
    flat = not y[x <= 0].any() and not slope[x <= 0].any() and bool((y[x > 0] > 0).all())
    assert OPS[op].clamps(node) == flat


def test_only_elementwise_functions_keep_zero():
    keep = {
        case[0] for case in CASES.values() if OPS[case[0]].keeps_zero(plan_of(*case, rules.Gradient()).graph.nodes[0])
    }
    assert keep - {op for op, known in OPS.items() if known.kind is lrpc.rules.kinds.Kind.ACTIVATION} == {"LRN"}


def test_which_ops_keep_their_inputs_shape():
    others = {name for name, op in OPS.items() if op.kind is not lrpc.rules.kinds.Kind.ACTIVATION and op.elementwise}
    assert others == {"BatchNormalization", "LayerNormalization", "LRN", "Identity", "Dropout"}
    assert all(op.elementwise for op in OPS.values() if op.kind is lrpc.rules.kinds.Kind.ACTIVATION)


# --- rows ---------------------------------------------------------------------------------------------


def test_a_fact_of_an_op_is_known_to_all_who_need_it():
    """The oracle and the passes share no code with the rows, and so keep the few facts that they need by name."""
    weighted = {name for name, op in OPS.items() if op.kind in WEIGHTED}
    assert set(branches._WEIGHTED) == weighted
    assert weighted <= check._WEIGHTED
    assert set(FORWARD) == set(OPS)
    nodes = {name: gs.Node(name, inputs=[gs.Variable("a"), gs.Variable("b")]) for name in OPS}
    assert {name for name, op in OPS.items() if len(op.data(nodes[name])) == 2} == MULTIPLE
    unweighted = {name for name, op in OPS.items() if isinstance(op, LinearOp) and not op.parametric}
    assert unweighted >= UNWEIGHTED
    assert {name for name, op in OPS.items() if op.copies} == {"Identity", "Dropout"}
