"""What -O1 is proved against: a plan and what facts leave of it compute the same relevance, on random plans."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, assume, given, settings

from lrpc.inspect.validate.validation import relative_error
from lrpc.plan.plan import Plan
from lrpc.plan.simplify import simplify
from lrpc.reference import run_oracle
from lrpc.reference.oracle import ReferenceResult
from tests.random_plans import Case, cases

TOLERANCE, ULP = 1e-10, 2.0**-52
RELAXED = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}


def oracle(plan: Plan, x: np.ndarray, seed: np.ndarray, dtype: str = "float64") -> ReferenceResult:
    return run_oracle(plan.graph, plan.behaviours, x, seed, dtype)


def tensors(result: ReferenceResult) -> dict[str, np.ndarray]:
    return {"input": result.relevance, **result.arriving}


def worst(ours: ReferenceResult, expected: ReferenceResult) -> float:
    """The largest relative error among the relevance arriving at any layer, and at the input."""
    got, wanted = tensors(ours), tensors(expected)
    return max(relative_error(got[name], wanted[name]) for name in wanted)


def noise(case: Case, expected: ReferenceResult) -> float:
    """How far rounding alone moves the unsimplified oracle: its input and seed moved by one unit in the last place.

    Where the forward pass is exact, the input stays: a pre-activation of 0 is no accident there, and excuses nothing.
    """
    found = 0.0
    for draw in range(3):
        rng = np.random.default_rng(draw)
        x, seed = (v.astype(np.float64) for v in (case.x, case.seed))
        seed *= 1 + ULP * rng.choice([-1, 1], seed.shape)
        if not case.exact:
            x *= 1 + ULP * rng.choice([-1, 1], x.shape)
        found = max(found, worst(oracle(case.plan, x, seed), expected))
    return found


def is_finite(result: ReferenceResult) -> bool:
    return all(np.isfinite(values).all() for values in tensors(result).values())


def check_simplified(case: Case) -> None:
    expected = oracle(case.plan, case.x, case.seed)
    assume(is_finite(expected))
    error = worst(oracle(simplify(case.plan), case.x, case.seed), expected)
    if error > TOLERANCE:
        rounding = noise(case, expected)
        assert error < 100 * rounding, f"{error:.1e}, of which rounding explains {rounding:.1e}"


@settings(max_examples=200, **RELAXED)
@given(cases())
def test_a_simplified_plan_computes_the_same_relevance(case):
    check_simplified(case)
