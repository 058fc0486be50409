"""Random networks, in files as users have them: both levels against the oracle, under every composite.

`LRPC_RANDOM_NETS=2000 pytest -m slow tests/parity/test_random_nets.py` tries as many; CI tries 200.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.random_check import PLAIN, check
from tests.random_nets import net_of, random_nets

COUNT = int(os.environ.get("LRPC_RANDOM_NETS", "200"))
SETTINGS = settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.mark.slow
@SETTINGS
@given(random_nets(), st.sampled_from([*PLAIN, "kept"]))
def test_a_random_network_agrees_with_the_oracle(net, name):
    assume(check(net, name))


FOUND = {
    "the batch has another name behind a Resize, so that a gate seems to broadcast": (115, "epsilon_gamma_box"),
    "and that a GELU is not seen": (856, "guided_backprop"),
    "and that a sum is not": (1129, "epsilon_plus_flat"),
}
"""What was wrong once, by the number of the network that showed it."""


@pytest.mark.parametrize(("number", "name"), FOUND.values(), ids=FOUND)
def test_what_was_found_stays_right(number, name):
    assert check(net_of(number), name)
