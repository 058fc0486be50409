"""Every op's gradient and every linear op under every rule, against the float64 oracle."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.ops import OPS, LinearOp
from lrpc.plan.plan import Plan
from lrpc.reference import run_oracle
from lrpc.rules.constructors import Rule
from lrpc.rules.stabilizer import Stabilizer
from tests.graphs import model
from tests.layers import GEOMETRIES, LINEAR, MOVING, PARAMETER_FREE, PARAMETRIC, RELU_RULES, normal, plan_of
from tests.targets import DISTINCT

LIMIT, YARDSTICKS = 2e-6, 4
"""A single float32 layer errs by LIMIT, or by this many times what the oracle errs by in float32."""


def check(plan: Plan, shape, result, batch=3):
    x, seed = normal(batch, *shape, seed=1), normal(batch, *result, seed=2)
    exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, seed, d) for d in ("float64", "float32"))
    yardstick = relative_error(rounded.relevance, exact.relevance)
    assert np.abs(exact.relevance).sum() > 0
    for target in (None, *DISTINCT):
        ours = run_traced(plan, x, seed, target)
        assert relative_error(ours.output, exact.output) < 1e-6
        assert relative_error(ours.relevance, exact.relevance) < max(LIMIT, YARDSTICKS * yardstick), target


def _cases():
    for name, case in LINEAR.items():
        op = OPS[case[0]]
        assert isinstance(op, LinearOp)
        for rule_name, rule in (PARAMETRIC if op.parametric else PARAMETER_FREE).items():
            yield pytest.param(case, rule, id=f"{name}-{rule_name}")


@pytest.mark.parametrize(("case", "rule"), list(_cases()))
def test_a_linear_rule_equals_its_definition(case, rule):
    assert isinstance(rule, Rule)
    check(plan_of(*case, rule), case[2], case[3])


@pytest.mark.parametrize("case", (LINEAR | MOVING).values(), ids=LINEAR | MOVING)
def test_a_gradient_equals_autograds(case):
    check(plan_of(*case, rules.Gradient()), case[2], case[3])


@pytest.mark.parametrize("name", ["elu", "celu", "selu"])
def test_a_slope_far_below_zero_loses_no_digits(name):
    """f(x) - f(-inf) would: the two are nearly equal there."""
    plan = plan_of(*MOVING[name], rules.Gradient())
    x = np.linspace(-12, -4, 20, dtype=np.float32).reshape(1, 4, 5)
    exact = run_oracle(plan.graph, plan.behaviours, x, np.ones_like(x)).relevance
    np.testing.assert_allclose(run_traced(plan, x, np.ones_like(x)).relevance, exact, rtol=3e-6)


@pytest.mark.parametrize("rule", [rules.Gradient(), rules.abs_split()], ids=str)
@pytest.mark.parametrize("case", GEOMETRIES.values(), ids=GEOMETRIES)
def test_every_geometry_equals_its_definition(case, rule):
    check(plan_of(*case, rule), case[2], case[3])


@pytest.mark.parametrize("rule", RELU_RULES, ids=str)
def test_a_relu_rule_equals_its_definition(rule):
    check(plan_of(*MOVING["relu"], rule), (4, 5), (4, 5))


PARAMETRIC_CASES = {name: case for name, case in LINEAR.items() if OPS[case[0]].parametric}


@pytest.mark.parametrize("case", PARAMETRIC_CASES.values(), ids=PARAMETRIC_CASES)
def test_z_box_takes_bounds_per_channel(case):
    channels = np.arange(case[2][0])
    check(plan_of(*case, rules.z_box((-4.0 - channels).tolist(), (4.0 + 2 * channels).tolist())), case[2], case[3])


def test_every_op_in_the_table_has_a_case():
    tested = {case[0] for case in (LINEAR | MOVING).values()}
    assert set(OPS) - tested == {"Gelu", "Swish", "Sum", "Mul", "Concat", "Identity", "Dropout"}


@pytest.mark.parametrize("target", [None, *DISTINCT], ids=lambda target: target.name if target else "-O0")
def test_max_pool_gives_ties_to_the_first_and_overlaps_add_up(target):
    node = helper.make_node("MaxPool", ["x"], ["y"], name="layer", kernel_shape=[3], pads=[1, 1])
    proto = model([node], {}, {"x": ["batch", 1, 4]}, {"y": ["batch", 1, 4]})
    plan = lrpc.plan_model(proto, composite=Composite("test", (Entry(rules.WinnerTakeAll()),)))
    x = np.array([[[1, 2, 2, 0]]], np.float32)
    relevance = run_traced(plan, x, np.array([[[1, 10, 100, 1000]]], np.float32), target).relevance
    np.testing.assert_array_equal(relevance, [[[0, 111, 1000, 0]]])


@pytest.mark.parametrize("levels", [1, 2, 3], ids="{} values".format)
@pytest.mark.parametrize("name", [name for name in MOVING if name.startswith("max pool")])
def test_max_pool_decides_ties_alike_in_every_form(name, levels):
    """Of few values most windows hold their maximum several times; all are negative, so that no padding is 0 too."""
    _, _, shape, result, _ = case = MOVING[name]
    plan = plan_of(*case, rules.WinnerTakeAll())
    rng = np.random.default_rng(levels)
    x = rng.integers(-levels, 0, (3, *shape)).astype(np.float32)
    seed = rng.integers(-9, 9, (3, *result)).astype(np.float32)
    exact = run_oracle(plan.graph, plan.behaviours, x, seed).relevance
    for target in (None, *DISTINCT):
        np.testing.assert_array_equal(run_traced(plan, x, seed, target).relevance, exact)


@pytest.mark.parametrize("size", [1e-25, 1e20, 1e30])
def test_an_rms_scale_neither_overflows_nor_vanishes(size):
    """d^2 is beyond float32 at |d| = 3e19, and 0 at 1e-23."""
    plan = plan_of(*LINEAR["average pool"], rules.norm(Stabilizer(0.25, scale="rms")))
    x, seed = (np.float32(size) * normal(2, 4, 6, 6, seed=1)), normal(2, 4, 3, 3, seed=2)
    ours, exact = run_traced(plan, x, seed), run_oracle(plan.graph, plan.behaviours, x, seed)
    assert relative_error(ours.relevance, exact.relevance) < LIMIT
