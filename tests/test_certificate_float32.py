"""What a bound is worth in float32: it holds but for rounding, down to where quotients stop being normal numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lrpc import rules
from lrpc.emit.targets import TARGETS
from lrpc.inspect.validate.traced import run_traced
from lrpc.plan.certificate import certify
from tests.layers import dense_plan

SMALLEST, STEP = float(np.finfo(np.float32).smallest_normal), 2.0**-149
"""The least normal number of float32, and the distance of those below it."""
INPUTS, OUTPUTS, BATCH = 32, 16, 8
ROUNDINGS = 64 * 2.0**-23
RULES = {
    "z_plus": rules.z_plus(),
    "alpha_beta": rules.alpha_beta(),
    "gamma": rules.gamma(),
    "gamma_symmetric": rules.gamma_symmetric(),
    "abs_split": rules.abs_split(),
    "w_square": rules.w_square(),
    "flat": rules.flat(),
}


def layer(rule, scale, rng):
    """A layer with weights and inputs of a size, and relevance 10^-k for k from 0 to 40, a row each."""
    w, x = (rng.standard_normal((n, INPUTS)).astype(np.float32) * np.float32(scale) for n in (OUTPUTS, BATCH))
    return dense_plan(rule, w, np.zeros(OUTPUTS, np.float32)), w, x


def handed(plan, x, size, target, rng):
    """Sum |R_out| and sum |R_in| of each sample."""
    arriving = np.abs(rng.standard_normal((BATCH, OUTPUTS)) * size).astype(np.float32)
    relevance = run_traced(plan, x, arriving, target).relevance
    return (np.abs(v.astype(np.float64)).sum(axis=1) for v in (arriving, relevance))


@pytest.mark.parametrize("target", [None, TARGETS["cpu"]], ids=["-O0", "-O1"])
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_bound_ends_where_quotients_are_no_normal_numbers(rule, scale, target):
    rng = np.random.default_rng(0)
    plan, w, x = layer(rule, scale, rng)
    limit = certify(plan).layers["layer"].limit
    largest = max(1.0, 4 * INPUTS * float(np.abs(w).max()) ** 2, 4 * INPUTS * float(np.abs(w).max() * np.abs(x).max()))
    rounded = 8 * STEP * OUTPUTS * INPUTS * (1 + largest)
    for exponent in range(0, 40, 2):
        given, taken = handed(plan, x, 10.0**-exponent, target, rng)
        assert (taken <= limit * given * (1 + ROUNDINGS) + rounded).all(), exponent
        if 10.0**-exponent > 1e5 * largest * SMALLEST:
            assert (taken <= limit * given * (1 + ROUNDINGS)).all(), exponent


def test_below_that_a_layer_may_hand_down_more_than_its_bound():
    rng = np.random.default_rng(0)
    plan, _, x = layer(rules.abs_split(), 1e8, rng)
    most = []
    for size in 10.0 ** -np.arange(25, 30):
        given, taken = handed(plan, x, size, None, rng)
        most.append(float((taken / given).max()))
    assert 1.01 < max(most) <= 2.0
