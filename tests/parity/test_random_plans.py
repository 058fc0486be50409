"""Random plans, emitted at both levels: every layer's relevance against the oracle, and every bound against what happens.

`python -m tests.random_run plans 0 2000` tries as many by number, and shrinks what fails.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.emitted import check_emitted, explains
from tests.random_plans import case_of, cases

RELAXED = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}


@pytest.mark.parametrize("varied", [False, True], ids=["signed and exact networks", "varied networks"])
@settings(max_examples=30, **RELAXED)
@given(data=st.data())
def test_a_random_plan_is_emitted_as_it_is_defined(varied, data):
    case = data.draw(cases(varied=varied))
    assume(explains(case))
    check_emitted(case)
