"""Random plans, emitted at both levels: every layer's relevance against the oracle, and every bound against what happens.

`python -m tests.random_run plans 0 2000` tries as many.
"""

from __future__ import annotations

import pytest

from tests.emitted import complaint, explains, shrunk
from tests.random_plans import case_of

COUNT, EACH = 200, 20


@pytest.mark.parametrize("first", range(0, COUNT, EACH))
def test_random_plans_are_emitted_as_they_are_defined(first):
    cases = {number: case_of(number) for number in range(first, first + EACH)}
    telling = {number: case for number, case in cases.items() if explains(case)}
    assert len(telling) > EACH / 2
    for number, case in telling.items():
        assert not complaint(case), f"plan {number}: {complaint(shrunk(case))}"
