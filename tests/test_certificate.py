"""What a plan promises: every bound is searched for a violation, and reached where it is claimed to be tight."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import lrpc
from lrpc import composites, rules
from lrpc.behaviours.bound import Bound
from lrpc.inspect.validate.traced import run_forward
from lrpc.plan.certificate import Certificate, certify
from lrpc.plan.facts import signs
from lrpc.reference import run_oracle
from lrpc.reference.oracle import Layer, explain_layer
from lrpc.rules.stabilizer import Stabilizer
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model, picture, small_resnet
from tests.layers import MOVING, dense_plan, plan_of

NOTHING = Stabilizer(0.0)

# rule, bound for one dense layer with weights and biases of both signs, whether it is claimed tight
BOUNDED = {
    "z_plus": (rules.z_plus(NOTHING), 1.0, True),
    "z_plus, bias shared": (rules.z_plus(NOTHING, share_bias=True), 1.0, True),
    "alpha_beta": (rules.alpha_beta(2, 1, NOTHING), 3.0, True),
    "alpha_beta(1, 0)": (rules.alpha_beta(1, 0, NOTHING), 1.0, True),
    "alpha_beta(3, 2)": (rules.alpha_beta(3, 2, NOTHING), 5.0, True),
    "gamma 0.25": (rules.gamma(0.25, NOTHING), 9.0, True),
    "gamma 1": (rules.gamma(1.0, NOTHING), 3.0, True),
    "gamma 0.25, bias-free": (rules.gamma(0.25, NOTHING, "bias"), 9.0, True),
    "gamma 0.25, bias shared": (rules.gamma(0.25, NOTHING, share_bias=True), 9.0, True),
    "gamma_symmetric": (rules.gamma_symmetric(0.25, NOTHING), 9.0, True),
    "abs_split": (rules.abs_split(NOTHING), 1.0, True),
    "flat": (rules.flat(NOTHING), 1.0, True),
    "w_square": (rules.w_square(NOTHING), 1.0, True),
    "z_box": (rules.z_box(-3, 3, NOTHING), 1.0, True),
    "rms, clip": (rules.gamma(0.25, Stabilizer(0.1, scale="rms", clip=True)), 9.0, False),
}
UNBOUNDED = {
    "epsilon": rules.epsilon(),
    "lrp_0": rules.lrp_0(),
    "gamma_plain": rules.gamma_plain(),
    "gamma, biased gate": rules.gamma(zero_params="bias", compat=True),
    "gamma 0": rules.gamma(0.0),
    "gamma, unsigned": rules.gamma(0.25, Stabilizer(signed=False)),
    "alpha_beta, unsigned": rules.alpha_beta(stabilizer=Stabilizer(signed=False)),
}


W, B = np.array([[1, -2, 3], [-1, 1, -1]], np.float32), np.array([0.5, -0.5], np.float32)


def bound(plan):
    return certify(plan).layers["layer"].limit


@pytest.mark.parametrize(("rule", "limit", "tight"), BOUNDED.values(), ids=BOUNDED)
def test_a_bound_is_stated(rule, limit, tight):
    assert bound(dense_plan(rule, W, B)) == pytest.approx(limit)


@pytest.mark.parametrize("rule", UNBOUNDED.values(), ids=UNBOUNDED)
def test_what_nothing_bounds_is_said_to_be_unbounded(rule):
    assert math.isinf(bound(dense_plan(rule, W, B)))


def amplification(rule, x, w, b, relevance):
    layer = Layer("Gemm", {"transB": 1}, [torch.from_numpy(w), torch.from_numpy(b)])
    (handed,) = explain_layer(layer, rule, [torch.from_numpy(x)], torch.from_numpy(relevance), torch.empty(0))
    return float(handed.abs().sum()) / np.abs(relevance).sum()


@pytest.mark.parametrize(("rule", "limit", "tight"), BOUNDED.values(), ids=BOUNDED)
@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(1, 8), outputs=st.integers(1, 4), tail=st.floats(0, 3))
def test_a_bound_is_never_exceeded(rule, limit, tight, seed, inputs, outputs, tail):
    rng = np.random.default_rng(seed)
    shapes = ((1, inputs), (outputs, inputs), outputs, (1, outputs))
    x, w, b, relevance = (rng.standard_normal(s) * np.exp(tail * rng.standard_normal(s)) for s in shapes)
    assert amplification(rule, np.clip(x, -3, 3), w, b, relevance) <= limit * (1 + 1e-9)


@pytest.mark.parametrize("name", [name for name, (_, _, tight) in BOUNDED.items() if tight])
def test_a_tight_bound_is_reached_within_a_factor_of_2(name):
    """Ascend by random steps from the worst of some random layers."""
    rule, limit, _ = BOUNDED[name]
    rng = np.random.default_rng(0)
    relevance = np.ones((1, 1))

    def score(v):
        return amplification(rule, np.clip(v[None, :2], -3, 3), v[None, 2:4], 1e-3 * v[4:], relevance)

    best = max((rng.standard_normal(5) for _ in range(100)), key=score)
    for step in range(400):
        candidate = best + rng.standard_normal(5) * 0.5 * 0.99**step
        best = max(best, candidate, key=score)
    assert limit / 2 <= score(best) <= limit * (1 + 1e-9)


@pytest.mark.parametrize("rule", [rules.epsilon(1e-6), rules.gamma_plain(0.25), rules.gamma(0.0)], ids=str)
def test_an_unbounded_rule_really_amplifies(rule):
    w, x = np.array([[-1.25 if rule == rules.gamma_plain(0.25) else -1.0, 1.0]]) + 1e-9, np.ones((1, 2))
    assert amplification(rule, x, w, np.zeros(1), np.ones((1, 1))) > 1e3


def test_facts_bound_what_weights_of_one_sign_cannot_cancel():
    positive = np.abs(W)
    assert math.isinf(bound(dense_plan(rules.epsilon(), positive, np.abs(B))))
    assert bound(dense_plan(rules.epsilon(), positive, np.abs(B), x_op="Relu")) == 1.0
    assert math.isinf(bound(dense_plan(rules.epsilon(), positive, -np.abs(B), x_op="Relu")))
    assert bound(dense_plan(rules.gamma(0.25), positive, np.abs(B), x_op="Relu")) == 1.0
    assert math.isinf(bound(dense_plan(rules.epsilon(Stabilizer(signed=False)), -positive, -np.abs(B), x_op="Relu")))


def test_a_biased_gate_is_bounded_where_there_is_no_bias():
    compat = rules.gamma(zero_params="bias", compat=True)
    assert bound(dense_plan(compat, W, np.zeros(2, np.float32))) == pytest.approx(9.0)


def test_an_average_pool_behind_a_relu_is_bounded_and_a_residual_sum_is_not():
    certificate = certify(lrpc.plan_model(small_resnet(), composite=composites.epsilon_plus()))
    assert certificate.layers["avgpool"].limit == 1.0
    assert str(certificate.layers["block.add"]) == "unbounded (sum |x| / 1e-06)"
    assert certificate.unbounded == ["block.add", "fc"]
    assert certificate.verdict == "unbounded at 2 layers: block.add, fc"


@pytest.mark.parametrize(("count", "shown"), [(1, "l0"), (5, "l0, l1, l2, l3, l4"), (6, "l0, l1, l2, l3, l4, ...")])
def test_the_verdict_names_up_to_five_layers(count, shown):
    bounds = {"bounded": Bound(1.0)} | {f"l{i}": Bound(math.inf) for i in range(count)}
    assert Certificate(bounds, math.inf).verdict == f"unbounded at {count} layers: {shown}"


@pytest.mark.parametrize(
    ("network", "verdict"),
    [
        (1e3, "bounded: sum |R_in| <= 1000 x sum |R_out|"),
        (1.1e3, "unbounded in practice: sum |R_in| <= 10^3.0 x sum |R_out|"),
    ],
)
def test_a_bound_above_a_thousand_says_nothing(network, verdict):
    assert Certificate({"layer": Bound(network)}, network).verdict == verdict


# what bounds an unbounded rule instead: its numerators over the least that it divides by
ONLY = {
    "epsilon": (rules.epsilon(0.1), "sum |x w| / 0.1"),
    "a floor adds": (rules.epsilon(Stabilizer(0.1, floor=0.15)), "sum |x w| / 0.25"),
    "a scale does not": (rules.epsilon(Stabilizer(0.1, floor=0.15, scale="rms")), "sum |x w| / 0.15"),
    "another weight": (rules.gamma_plain(0.25, 0.1), "sum |x w'| / 0.1"),
    "nothing": (rules.epsilon(0.0), "its denominator can come as near to 0 as it likes"),
    "a scale alone": (rules.epsilon(Stabilizer(0.1, scale="rms")), "its denominator can come as near to 0 as it likes"),
    "unsigned": (rules.epsilon(Stabilizer(0.1, signed=False)), "its denominator can come as near to 0 as it likes"),
}


@pytest.mark.parametrize(("rule", "only"), ONLY.values(), ids=ONLY)
def test_what_bounds_an_unbounded_rule_is_told(rule, only):
    found = certify(dense_plan(rule, W, B)).layers["layer"]
    assert (found.limit, found.condition, found.only) == (math.inf, "", only)


# signs of input, weight and bias: when all contributions of a share have one sign
ONE_SIGNED = {
    "x >= 0, w >= 0": (rules.epsilon(), 1, 1, 1, 1.0),
    "x >= 0, w <= 0": (rules.epsilon(), 1, -1, -1, 1.0),
    "the bias differs": (rules.epsilon(), 1, 1, -1, math.inf),
    "x of both signs": (rules.epsilon(), 0, 1, 1, math.inf),
    "unsigned, above 0": (rules.epsilon(Stabilizer(1.0, signed=False)), 1, 1, 1, 1.0),
    "unsigned, below 0": (rules.epsilon(Stabilizer(1.0, signed=False)), 1, -1, -1, math.inf),
    "two shares add up": (rules.alpha_beta(2, 1), 0, 0, 0, 3.0),
    "two shares of which one is open": (rules.gamma(0.5), 1, 1, 1, 1.0),
    "two shares and no gamma": (rules.gamma(0.5), 0, 0, 0, 5.0),
}


@pytest.mark.parametrize(("rule", "x", "w", "b", "limit"), ONE_SIGNED.values(), ids=ONE_SIGNED)
def test_contributions_of_one_sign_are_bounded(rule, x, w, b, limit):
    weight, bias = (np.abs(v) * s if s else v for v, s in ((W, w), (B, b)))
    assert bound(dense_plan(rule, weight, bias, x_op="Relu" if x else None)) == pytest.approx(limit)


BEHAVIOURS = {
    "pass": (rules.Pass(), 1.0),
    "relu_deconvnet": (rules.ReluDeconvNet(), 1.0),
    "relu_guided_backprop": (rules.ReluGuidedBackprop(), 1.0),
    "relu_beta_smooth": (rules.ReluBetaSmooth(), 1.0),
    "gradient": (rules.Gradient(), 1.0),
}


@pytest.mark.parametrize(("rule", "limit"), BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_what_a_relu_hands_down_is_bounded_and_reaches_it(rule, limit):
    plan = plan_of(*MOVING["relu"], rule)
    assert certify(plan).layers["layer"] == Bound(limit)
    x = np.full((1, 4, 5), 50, np.float32)
    assert run_oracle(plan.graph, plan.behaviours, x, np.ones_like(x)).relevance.sum() == pytest.approx(limit * x.size)


VERDICTS = {
    "bounded": (composites.bounded(), (), "bounded: sum |R_in| <= 1 x sum |R_out|"),
    "nine per layer": (
        composites.bounded(), (("*conv*", rules.gamma()),), "bounded: sum |R_in| <= 729 x sum |R_out|",
    ),
    "in practice": (
        composites.bounded(), (("*conv*", rules.gamma(0.1)),),
        "unbounded in practice: sum |R_in| <= 10^4.0 x sum |R_out|",
    ),
    "on a condition": (
        composites.bounded(), (("conv1", rules.z_box(-2, 2)),),
        "bounded: sum |R_in| <= 1 x sum |R_out|, for inputs within low and high",
    ),
    "copies": (composites.bounded(), (("block.add", rules.Copy()),), "bounded: sum |R_in| <= 2 x sum |R_out|"),
}  # fmt: skip


@pytest.mark.parametrize(("composite", "overrides", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_is_one_sentence(composite, overrides, verdict):
    assert certify(lrpc.plan_model(small_resnet(), composite=composite, rules=overrides)).verdict == verdict


@pytest.mark.parametrize("case", [c for c in MOVING.values() if c[0] != "Identity"], ids=lambda c: c[0])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_gradient_keeps_its_slope_and_a_sign_holds(case, seed):
    op, attributes, shape, result, constants = case
    plan = plan_of(op, attributes, shape, result, constants, rules.Gradient())
    rng = np.random.default_rng(seed)
    x, seeds = (3 * rng.standard_normal((2, *s)).astype(np.float32) for s in (shape, result))
    outcome = run_oracle(plan.graph, plan.behaviours, x, seeds)
    limit = certify(plan).network
    assert np.abs(outcome.relevance).sum() <= limit * np.abs(seeds).sum() * (1 + 1e-6)
    sign = signs(plan.graph)[plan.graph.outputs[0].name]
    assert sign.positive or (outcome.output <= 0).all()
    assert sign.negative or (outcome.output >= 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_signs_hold_in_a_network(seed):
    graph = canonize(load(small_resnet()))
    plan = lrpc.plan_model(small_resnet(), composite=composites.epsilon_plus())
    outcome = run_oracle(plan.graph, plan.behaviours, 5 * picture(2, seed % 1000), np.ones((2, 5), np.float32))
    known = signs(graph)
    for node in graph.nodes:
        values, sign = outcome.activations[node.name], known[node.outputs[0].name]
        assert sign.positive or (values <= 0).all()
        assert sign.negative or (values >= 0).all()


def random_network(rng: np.random.Generator) -> onnx.ModelProto:
    """A small residual network with weights drawn to break things: heavy tails, huge and tiny scales, cancelling branches."""
    channels, classes = int(rng.integers(2, 6)), int(rng.integers(2, 5))

    def weights(*shape):
        scale = np.exp(rng.uniform(-6, 6))
        return (scale * rng.standard_normal(shape) * np.exp(rng.uniform(0, 3) * rng.standard_normal(shape))).astype(
            np.float32
        )

    parameters = {"w0": weights(channels, 3, 3, 3), "b0": weights(channels)}
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes, x = [helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], name="conv0", **same)], "c0"
    for i in range(1, int(rng.integers(2, 5))):
        activation = str(rng.choice(["Relu", "LeakyRelu", "Tanh", "Elu", "Softplus"]))
        parameters |= {f"w{i}": weights(channels, channels, 3, 3), f"b{i}": weights(channels)}
        nodes += [
            helper.make_node(activation, [x], [f"a{i}"], name=f"activation{i}"),
            helper.make_node("Conv", [f"a{i}", f"w{i}", f"b{i}"], [f"c{i}"], name=f"conv{i}", **same),
        ]
        if rng.random() < 0.3:  # a branch that nearly cancels the other
            parameters[f"w{i}"][...] = 0
            for c in range(channels):
                parameters[f"w{i}"][c, c, 1, 1] = -1 + 1e-6 * rng.standard_normal()
        nodes.append(helper.make_node("Add", [f"c{i}", f"a{i}"], [f"s{i}"], name=f"add{i}"))
        x = f"s{i}"
        pool = str(rng.choice(["", "AveragePool", "MaxPool"]))
        if pool:
            nodes.append(
                helper.make_node(
                    pool, [x], [f"p{i}"], name=f"pool{i}", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4
                )
            )
            x = f"p{i}"
    parameters |= {"wf": weights(classes, channels), "bf": weights(classes)}
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["g"], name="avgpool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "wf", "bf"], ["y"], transB=1, name="fc"),
    ]
    return model(nodes, parameters, {"x": ["batch", 3, 6, 6]}, {"y": ["batch", classes]})


@pytest.mark.parametrize("seed", range(200))
def test_the_bounded_composite_keeps_its_bound_on_random_networks(seed):
    rng = np.random.default_rng(seed)
    plan = lrpc.plan_model(random_network(rng), composite=composites.bounded())
    assert certify(plan).network <= 1.0
    x = np.exp(rng.uniform(-3, 6)) * rng.standard_normal((4, 3, 6, 6)) * np.exp(2 * rng.standard_normal((4, 3, 6, 6)))
    result = lrpc.Explainer(lrpc.compiler.compile_plan(plan))(x.astype(np.float32))
    assert np.isfinite(run_forward(plan, x.astype(np.float32))).all()
    assert (result.health.nonfinite == 0).all()
    assert (result.health.abs_sum <= 1 + 1e-5).all(), result.health.abs_sum


@pytest.mark.parametrize("seed", range(20))
def test_the_networks_bound_holds_for_gamma_and_copies(seed):
    rng = np.random.default_rng(1000 + seed)
    overrides = [("conv*", rules.gamma(0.25)), ("add*", [rules.Copy(), rules.BodyOnly(), rules.abs_split()][seed % 3])]
    plan = lrpc.plan_model(random_network(rng), composite=composites.bounded(), rules=overrides)
    x = rng.standard_normal((4, 3, 6, 6)).astype(np.float32)
    classes = plan.graph.outputs[0].shape[1]
    seeds = rng.standard_normal((4, classes))
    outcome = run_oracle(plan.graph, plan.behaviours, x, seeds)
    assert np.abs(outcome.relevance).sum() <= certify(plan).network * np.abs(seeds).sum() * (1 + 1e-9)
