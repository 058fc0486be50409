"""Sums, concatenations and fan-out."""

import numpy as np
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.plan.certificate import certify
from lrpc.reference import run_oracle
from lrpc.rules.kinds import Kind
from tests.graphs import model


def plan(nodes, outputs, rule):
    proto = model(nodes, {}, {"x": ["batch", 4]}, outputs)
    entries = (Entry(rule, (Kind.SUM,)), Entry(rules.Pass(), (Kind.ACTIVATION,)), Entry(rules.Gradient()))
    return lrpc.plan_model(proto, composite=Composite("test", entries))


def residual(rule):
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"], name="body"),
        helper.make_node("Add", ["a", "x"], ["y"], name="add"),
    ]
    return plan(nodes, {"y": ["batch", 4]}, rule)


X = np.array([[1.0, -2.0, 0.5, 3.0], [0.1, 0.2, -0.3, 0.4]], np.float32)
SEED = np.array([[1.0, 2.0, -3.0, 4.0], [1.0, 1.0, 1.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    "rule",
    [rules.norm(), rules.epsilon(0.1), rules.abs_split(), rules.BodyOnly(), rules.Copy(), rules.Gradient()],
    ids=str,
)
def test_a_sum_shares_relevance_by_its_rule(rule):
    ours = run_traced(residual(rule), X, SEED)
    p = residual(rule)
    exact = run_oracle(p.graph, p.behaviours, X, SEED)
    assert relative_error(ours.relevance, exact.relevance) < 1e-6


def test_norm_conserves_relevance_and_copy_doubles_it():
    norm, copy = (run_traced(residual(rule), X, SEED).relevance for rule in (rules.norm(), rules.Copy()))
    np.testing.assert_allclose(norm, SEED, rtol=1e-5)
    np.testing.assert_allclose(copy, 2 * SEED)


def test_by_absolute_value_each_branch_gets_its_magnitudes_share():
    traced = run_traced(residual(rules.abs_split(0.0)), X, SEED)
    body, shortcut = np.abs(np.tanh(X)), np.abs(X)
    np.testing.assert_allclose(traced.arriving["add.branch1"], SEED * shortcut / (body + shortcut), rtol=1e-5)


def test_body_only_leaves_the_shortcut_nothing():
    traced = run_traced(residual(rules.BodyOnly()), X, SEED)
    np.testing.assert_array_equal(traced.arriving["add.branch1"], 0)
    np.testing.assert_array_equal(traced.arriving["body"], SEED)


def test_body_only_is_refused_where_no_branch_is_the_body():
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"], name="one"),
        helper.make_node("Relu", ["x"], ["b"], name="other"),
        helper.make_node("Add", ["a", "b"], ["y"], name="add"),
    ]
    with pytest.raises(lrpc.LrpcError, match="equally many layers"):
        plan(nodes, {"y": ["batch", 4]}, rules.BodyOnly())


def test_the_shortcut_is_a_layer_of_its_own():
    p = residual(rules.norm())
    assert [row.layer for row in p.rows] == ["body", "add.branch1", "add"]
    traced = run_traced(p, X, SEED)
    np.testing.assert_allclose(traced.arriving["body"] + traced.arriving["add.branch1"], SEED, rtol=1e-5)


def test_a_branch_that_cancels_exactly_gives_zero_not_nan():
    nodes = [
        helper.make_node("Neg", ["x"], ["n"], name="neg"),
        helper.make_node("Add", ["n", "x"], ["y"], name="add"),
    ]
    with pytest.raises(lrpc.LrpcError, match="neg"):
        plan(nodes, {"y": ["batch", 4]}, rules.norm())
    p = residual(rules.epsilon(0.0))
    relevance = run_traced(p, np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)).relevance
    np.testing.assert_array_equal(relevance, 0)


def test_concat_gives_each_input_its_slice():
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["x"], ["b"], name="second"),
        helper.make_node("Concat", ["a", "b", "x"], ["y"], name="concat", axis=-1),
    ]
    p = plan(nodes, {"y": ["batch", 12]}, rules.norm())
    seed = np.arange(24, dtype=np.float32).reshape(2, 12)
    traced = run_traced(p, X, seed)
    np.testing.assert_array_equal(traced.arriving["first"], seed[:, :4])
    np.testing.assert_array_equal(traced.arriving["second"], seed[:, 4:8])
    np.testing.assert_array_equal(traced.relevance, seed[:, :4] + seed[:, 4:8] + seed[:, 8:])


def summed(rule, **options):
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], name="sum", keepdims=0)]
    proto = model(nodes, {"axes": np.array([1])}, {"x": ["batch", 3, 4]}, {"y": ["batch", 4]})
    return lrpc.plan_model(proto, composite=Composite("test", (Entry(rule, (Kind.SUM,)),)), **options)


def test_copy_gives_every_summand_the_whole_relevance():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    p = summed(rules.Copy())
    expected = np.repeat(SEED[:, None], 3, axis=1)
    np.testing.assert_array_equal(run_traced(p, x, SEED).relevance, expected)
    np.testing.assert_array_equal(run_oracle(p.graph, p.behaviours, x, SEED).relevance, expected)
    assert certify(p).network == 3


def test_a_sum_over_axes_has_no_body():
    with pytest.raises(lrpc.LrpcError, match="body_only is for sums of branches"):
        summed(rules.BodyOnly())


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean"])
def test_a_reduction_of_the_batch_is_refused(op):
    proto = model([helper.make_node(op, ["x"], ["y"], name="all", keepdims=1)], {}, {"x": ["batch", 4]}, {"y": [1, 1]})
    with pytest.raises(lrpc.LrpcError, match="it reduces the batch to one value"):
        lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())


def test_a_stack_with_a_constant_is_one_sum_over_its_axis():
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["u"], name="unsqueeze"),
        helper.make_node("Concat", ["u", "c"], ["s"], name="stack", axis=-1),
        helper.make_node("ReduceSum", ["s", "axes"], ["y"], name="sum", keepdims=0),
    ]
    constants = {"axes": np.array([-1]), "c": np.full((2, 4, 1), 3, np.float32)}
    proto = model(nodes, constants, {"x": [2, 4]}, {"y": [2, 4]})
    p = lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus(stabilizer=0.5))
    assert [row.op for row in p.rows] == ["Unsqueeze", "Concat", "ReduceSum"]
    z = X + 3
    np.testing.assert_allclose(run_traced(p, X, SEED).relevance, SEED * X / (z + 0.5 * np.sign(z)), rtol=1e-5)


def test_a_sum_that_mixes_the_samples_of_joined_batches_is_refused():
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"], name="first"),
        helper.make_node("Concat", ["a", "x"], ["j"], name="concat", axis=0),
        helper.make_node("Reshape", ["j", "sizes"], ["r"], name="blocks"),
        helper.make_node("ReduceSum", ["r", "axes"], ["y"], name="sum", keepdims=0),
    ]
    proto = model(
        nodes, {"sizes": np.array([4, -1, 4]), "axes": np.array([0])}, {"x": ["batch", 4]}, {"y": ["half", 4]}
    )
    with pytest.raises(lrpc.LrpcError, match="it reduces the batch"):
        lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
