"""Each step of the simplification: where it fires, and where it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrpc import rules
from lrpc.behaviours.support import Support
from lrpc.plan.facts import Facts
from lrpc.plan.simplify import drop_idle_gates, drop_idle_modifiers, know_the_side, merge_gamma, simplify_rule
from lrpc.rules.algebra import ABS, KEEP, NEG, POS, ZERO, Boost, Gate, Scaled, Share, Side, Term
from lrpc.rules.algebra import Test as GateTest
from lrpc.rules.sign import ANY, NON_NEGATIVE, NON_POSITIVE, ZEROS
from lrpc.rules.stabilizer import Stabilizer

ANYTHING = Facts(ANY, ANY, ANY, Support.ANYWHERE)
BEHIND_RELU = Facts(NON_NEGATIVE, ANY, ANY, Support.ANYWHERE)
BETWEEN_RELUS = Facts(NON_NEGATIVE, ANY, ANY, Support.POSITIVE)
UP, DOWN = Boost(0.25, POS), Boost(0.25, NEG)

MODIFIERS = {
    "x >= 0: Pos(x) is x, Neg(x) goes": (rules.z_plus(), BEHIND_RELU, [(Term(KEEP, POS, POS),)]),
    "x <= 0: Pos(x) goes but for its bias": (
        rules.z_plus(), Facts(NON_POSITIVE, ANY, ANY, Support.ANYWHERE), [(Term(POS, POS, POS), Term(KEEP, NEG, ZERO))],
    ),
    "x <= 0, no bias: it goes": (
        rules.z_plus(), Facts(NON_POSITIVE, ANY, ZEROS, Support.ANYWHERE), [(Term(KEEP, NEG, ZERO),)],
    ),
    "w >= 0 and x >= 0: the layer itself": (
        rules.z_plus(), Facts(NON_NEGATIVE, NON_NEGATIVE, NON_NEGATIVE, Support.ANYWHERE), [(Term(KEEP, KEEP, KEEP),)],
    ),
    "both shares of AlphaBeta stay: z - z+ would cancel in float32": (
        rules.alpha_beta(), BEHIND_RELU, [(Term(KEEP, POS, POS),), (Term(KEEP, NEG, NEG),)],
    ),
    "a bias of 0 leaves the layer its own denominator": (
        rules.epsilon(zero_params="bias"), Facts(ANY, ANY, ZEROS, Support.ANYWHERE), [(Term(KEEP, KEEP, KEEP),)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "known", "terms"), MODIFIERS.values(), ids=MODIFIERS)
def test_idle_modifiers_and_terms_go(rule, known, terms):
    assert [share.terms for share in drop_idle_modifiers(rule, known).shares] == terms


@pytest.mark.parametrize("rule", [rules.z_plus(), rules.gamma(), rules.alpha_beta(), rules.z_box(-1, 1)], ids=str)
def test_of_signs_that_are_not_known_nothing_goes(rule):
    assert drop_idle_modifiers(rule, ANYTHING) is rule


def test_gates_go_where_relevance_is_confined():
    left = drop_idle_gates(rules.gamma(), BETWEEN_RELUS)
    assert [share.gate for share in left.shares] == [Gate()]
    assert left.shares[0].terms == rules.gamma().shares[0].terms


GATES_STAY = {
    "relevance anywhere": (rules.gamma(), BEHIND_RELU),
    "relevance where z is not 0": (rules.gamma(), Facts(NON_NEGATIVE, ANY, ANY, Support.NONZERO)),
    "a gate on the bias-free z": (rules.gamma(zero_params="bias"), BETWEEN_RELUS),
}


@pytest.mark.parametrize(("rule", "known"), GATES_STAY.values(), ids=GATES_STAY)
def test_gates_stay_elsewhere(rule, known):
    assert drop_idle_gates(rule, known) is rule


def test_general_gamma_becomes_two_terms_that_cannot_cancel():
    merged = merge_gamma(rules.gamma(0.25, Stabilizer(1e-6, floor=1e-9)), BEHIND_RELU)
    part = Scaled(0.25 / 2.25, ABS)
    terms = (Term(KEEP, KEEP, KEEP, follows=True), Term(ABS, part, part))
    assert merged.shares == (Share(terms, gate=Gate(GateTest.NONZERO)),)
    assert merged.stabilizer == Stabilizer(1e-6 / 1.125, floor=1e-9 / 1.125)
    assert str(merged) == str(rules.gamma(0.25, Stabilizer(1e-6, floor=1e-9)))


FREE = rules.gamma(zero_params="bias")
SYMMETRIC, SYMMETRIC_FREE = rules.gamma_symmetric(), rules.gamma_symmetric(zero_params="bias")
OPEN, NOT_ZERO, NOT_ZERO_FREE = Gate(), Gate(GateTest.NONZERO), Gate(GateTest.NONZERO, bias=False)

# rule, bias, where relevance arrives, the gate of what it is merged to: general Gamma drops relevance at z = 0
MERGED_GATES = {
    "anywhere": (rules.gamma(), ANY, Support.ANYWHERE, NOT_ZERO),
    "where z is not 0": (rules.gamma(), ANY, Support.NONZERO, OPEN),
    "anywhere, no bias": (rules.gamma(), ZEROS, Support.ANYWHERE, NOT_ZERO),
    "bias-free, anywhere": (FREE, ANY, Support.ANYWHERE, NOT_ZERO_FREE),
    "bias-free, where another z is not 0": (FREE, ANY, Support.NONZERO, NOT_ZERO_FREE),
    "bias-free, where another z is positive": (FREE, ANY, Support.POSITIVE, NOT_ZERO_FREE),
    "bias-free of no bias, where z is not 0": (FREE, ZEROS, Support.NONZERO, OPEN),
    "symmetric, which counts 0 as positive": (SYMMETRIC, ANY, Support.ANYWHERE, OPEN),
    "symmetric and bias-free": (SYMMETRIC_FREE, ANY, Support.ANYWHERE, OPEN),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "bias", "support", "gate"), MERGED_GATES.values(), ids=MERGED_GATES)
def test_merged_gamma_drops_relevance_only_where_its_own_z_can_be_0(rule, bias, support, gate):
    (share,) = merge_gamma(rule, Facts(ANY, ANY, bias, support)).shares
    assert share.gate == gate


GAMMA_STAYS = {
    "one term is left": (rules.gamma(), BETWEEN_RELUS),
    "zennit's gate over zeroed biases": (rules.gamma(zero_params="bias", compat=True), BEHIND_RELU),
    "shared biases": (rules.gamma(share_bias=True), BEHIND_RELU),
    "an rms scale": (rules.gamma(stabilizer=Stabilizer(0.1, scale="rms")), BEHIND_RELU),
    "an unsigned stabilizer": (rules.gamma(stabilizer=Stabilizer(signed=False)), BEHIND_RELU),
    "plain gamma": (rules.gamma_plain(), BEHIND_RELU),
}


@pytest.mark.parametrize(("rule", "known"), GAMMA_STAYS.values(), ids=GAMMA_STAYS)
def test_it_stays_as_it_is(rule, known):
    assert merge_gamma(rule, known) is rule


SIDES = {
    "all contributions positive": (rules.z_plus(), BEHIND_RELU, [(Side.POSITIVE, True)]),
    "AlphaBeta": (rules.alpha_beta(), BEHIND_RELU, [(Side.POSITIVE, True), (Side.NEGATIVE, True)]),
    "z > 0 wherever relevance arrives": (rules.epsilon(), BETWEEN_RELUS, [(Side.POSITIVE, False)]),
    "general gamma, gated": (
        rules.gamma(stabilizer=Stabilizer(scale="rms")), ANYTHING, [(Side.POSITIVE, False), (Side.NEGATIVE, False)],
    ),
    "relevance anywhere": (rules.epsilon(), BEHIND_RELU, [(Side.EITHER, False)]),
    "the bias is not in the denominator": (rules.epsilon(zero_params="bias"), BETWEEN_RELUS, [(Side.EITHER, False)]),
    "plain gamma on inputs of both signs": (
        rules.gamma_plain(), Facts(ANY, ANY, ANY, Support.POSITIVE), [(Side.EITHER, False)],
    ),
    "ZBox, whose range is not the input's for sure": (rules.z_box(-1, 1), ANYTHING, [(Side.EITHER, False)]),
    "all contributions negative": (
        rules.epsilon(), Facts(NON_NEGATIVE, NON_POSITIVE, NON_POSITIVE, Support.ANYWHERE), [(Side.NEGATIVE, True)],
    ),
    "z > 0 where relevance arrives, by the gate of another": (
        replace(rules.epsilon(), shares=(Share((Term(KEEP, KEEP, ZERO),), gate=Gate(bias=False)),)),
        BETWEEN_RELUS, [(Side.EITHER, False)],
    ),
    "plain gamma, z > 0 and x >= 0": (rules.gamma_plain(), BETWEEN_RELUS, [(Side.POSITIVE, False)]),
    "plain gamma, z > 0 and x <= 0": (
        rules.gamma_plain(), Facts(NON_POSITIVE, ANY, ANY, Support.POSITIVE), [(Side.EITHER, False)],
    ),
    "not 0 is no side": (rules.epsilon(), Facts(NON_NEGATIVE, ANY, ANY, Support.NONZERO), [(Side.EITHER, False)]),
    "unsigned": (rules.z_plus(Stabilizer(signed=False)), BEHIND_RELU, [(Side.EITHER, False)]),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "known", "sides"), SIDES.values(), ids=SIDES)
def test_the_side_of_a_denominator(rule, known, sides):
    assert [(share.side, share.everywhere) for share in know_the_side(rule, known).shares] == sides


def test_gamma_between_relus_is_one_convolution_each_way():
    (share,) = simplify_rule(rules.gamma(), BETWEEN_RELUS).shares
    assert share == Share((Term(KEEP, UP, UP),), side=Side.POSITIVE)
