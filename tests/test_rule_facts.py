"""What follows from a rule's algebra and from signs, held against all that a few values of those signs can be."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lrpc import rules
from lrpc.behaviours.linear.rule_signs import (
    box_of,
    gamma_of,
    gates_its_own_z,
    leanings,
    modify_sign,
    numerators,
    one_side,
)
from lrpc.reference.oracle import modified as definition
from lrpc.reference.oracle import stabilized
from lrpc.rules.algebra import ABS, KEEP, NEG, ONE, POS, SQUARE, ZERO, Boost, Fill, Rule, Scaled, Share, Side, Term
from lrpc.rules.sign import ANY, NON_NEGATIVE, NON_POSITIVE, ZEROS, Sign
from lrpc.rules.stabilizer import Stabilizer

VALUES = {
    ANY: [-3.0, -1.0, 0.0, 1.0, 2.0],
    NON_NEGATIVE: [0.0, 1.0, 2.0],
    NON_POSITIVE: [-3.0, -1.0, 0.0],
    ZEROS: [0.0],
}
UP, DOWN = Boost(0.5, POS), Boost(0.5, NEG)
MODS = (
    KEEP, POS, NEG, ABS, ZERO, SQUARE, ONE, Fill(-1.0), Fill(0.0), Fill((-1.0, 2.0)), Fill((0.0, 2.0)), Fill((-2.0, 0.0)),
    UP, DOWN, Scaled(2.0, ABS), Scaled(2.0, NEG), Scaled(0.5, KEEP), Scaled(0.5, Fill(-1.0)),
)  # fmt: skip
GAMMAS = {
    "gamma": rules.gamma(0.25),
    "gamma 2": rules.gamma(2.0),
    "gamma, bias-free": rules.gamma(0.25, zero_params="bias"),
    "gamma, compat": rules.gamma(0.25, zero_params="bias", compat=True),
    "gamma, bias shared": rules.gamma(0.25, share_bias=True),
    "symmetric": rules.gamma_symmetric(0.5),
    "symmetric, bias-free": rules.gamma_symmetric(0.5, zero_params="bias"),
}
OTHERS = {
    "epsilon": rules.epsilon(),
    "epsilon, bias-free": rules.epsilon(zero_params="bias"),
    "plain": rules.gamma_plain(0.25),
    "plain, bias-free": rules.gamma_plain(0.25, zero_params="bias"),
    "z_plus": rules.z_plus(),
    "z_plus, bias-free": rules.z_plus(zero_params="bias"),
    "alpha_beta": rules.alpha_beta(),
    "z_box": rules.z_box(-1, 2),
    "z_box from 0": rules.z_box(0, [1, 2, 3]),
    "z_box, bias-free": rules.z_box([-1, -2, -3], 0, zero_params="bias"),
    "w_square": rules.w_square(),
    "flat": rules.flat(),
    "abs_split": rules.abs_split(),
}
RULES = GAMMAS | OTHERS


def seen(values) -> Sign:
    return Sign(bool((np.asarray(values) > 0).any()), bool((np.asarray(values) < 0).any()))


def applied(mod, values) -> np.ndarray:
    """Channels in the order of a Fill's numbers, each with all the values."""
    channels = len(mod.value) if isinstance(mod, Fill) and isinstance(mod.value, tuple) else 1
    return definition(torch.tensor([[values] * channels], dtype=torch.float64), mod).numpy()


# --- signs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), list(itertools.product(VALUES, VALUES)), ids=str)
def test_signs_combine_as_their_values_do(first, second):
    pairs = list(itertools.product(VALUES[first], VALUES[second]))
    assert first * second == seen([a * b for a, b in pairs])
    assert first | second == seen([a + b for a, b in pairs]) == seen(VALUES[first] + VALUES[second])
    assert first & second == seen([a for a, b in pairs if a == b])
    assert -first == seen([-a for a in VALUES[first]])


@pytest.mark.parametrize(("mod", "sign"), list(itertools.product(MODS, VALUES)), ids=str)
def test_a_modified_value_has_the_sign_that_is_told(mod, sign):
    assert modify_sign(mod, sign) == seen(applied(mod, VALUES[sign]))


def contributions(share: Share, x: Sign, w: Sign, b: Sign) -> list[float]:
    """Every x' w' and b' that there can be, with its term's sign; of one that follows its output their size."""
    found = []
    for term in share.terms:
        products = np.multiply.outer(applied(term.x, VALUES[x]).ravel(), applied(term.w, VALUES[w]).ravel()).ravel()
        parts = [*products, *applied(term.b, VALUES[b]).ravel()]
        found += [abs(p) if term.follows else term.sign * p for p in parts]
    return found


@pytest.mark.parametrize("name", RULES)
def test_a_share_has_contributions_of_the_signs_that_are_told(name):
    for share, x, w, b in itertools.product(RULES[name].shares, VALUES, VALUES, VALUES):
        found = seen(contributions(share, x, w, b))
        assert numerators(share, x, w, b) == found
        side = Side.POSITIVE if not found.negative else Side.NEGATIVE if not found.positive else Side.EITHER
        assert one_side(share, x, w, b) is side


def test_a_term_that_follows_its_output_adds_its_size():
    share = Share((Term(KEEP, KEEP, KEEP, follows=True), Term(ABS, Scaled(0.1, ABS), ZERO)))
    assert numerators(share, ANY, ANY, ANY) == NON_NEGATIVE
    assert numerators(replace(share, terms=(*share.terms, Term(KEEP, KEEP, ZERO))), ANY, ANY, ANY) == ANY


# --- sides -------------------------------------------------------------------------------------------

SIDES = {Side.POSITIVE: 1.0, Side.NEGATIVE: -1.0}
BOTH, UPPER, LOWER, NONE = frozenset(SIDES), frozenset({Side.POSITIVE}), frozenset({Side.NEGATIVE}), frozenset()


def map_of(terms, x, w, b) -> np.ndarray:
    """The sum of signed f(x'; w', b') over many random layers of three inputs: (draws,)."""
    total = np.zeros(len(x))
    for term in terms:
        xs, ws, bs = (definition(torch.from_numpy(v), m).numpy() for v, m in ((x, term.x), (w, term.w), (b, term.b)))
        total += term.sign * ((xs * ws).sum(axis=1) + bs[:, 0])
    return total


def random_layers(x: Sign, b: Sign, draws: int = 3000) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((draws, n)) for n in (3, 3, 1)]
    limits = [x, ANY, b]
    return [
        np.clip(v, None if s.negative else 0, None if s.positive else 0) for v, s in zip(values, limits, strict=True)
    ]


@pytest.mark.parametrize("gate_bias", [True, False], ids=["z", "z without bias"])
@pytest.mark.parametrize("name", RULES)
def test_a_denominator_leans_to_the_side_of_z_where_that_is_told(name, gate_bias):
    """Over many random layers, for inputs and biases of each sign."""
    for share, x, b in itertools.product(RULES[name].shares, VALUES, VALUES):
        layers = random_layers(x, b)
        z = map_of([Term(KEEP, KEEP, KEEP if gate_bias else ZERO)], *layers)
        d = map_of(share.terms, *layers)
        told = leanings(share, x, b, gate_bias)
        for side, sign in SIDES.items():
            holds = bool((sign * d[sign * z > 0] > 0).all())
            assert holds or side not in told, f"{side} for x {x}, b {b}"


# rule, sign of x, sign of b, whether the gate's z has a bias: what is told of each share
TOLD = {
    "epsilon": (rules.epsilon(), ANY, ANY, True, [BOTH]),
    "epsilon under a gate without bias": (rules.epsilon(), ANY, ANY, False, [NONE]),
    "epsilon of no bias": (rules.epsilon(), ANY, ZEROS, False, [BOTH]),
    "bias-free epsilon": (rules.epsilon(zero_params="bias"), ANY, ANY, False, [BOTH]),
    "bias-free epsilon under a gate with bias": (rules.epsilon(zero_params="bias"), ANY, NON_NEGATIVE, True, [NONE]),
    "gamma": (rules.gamma(), ANY, ANY, True, [UPPER, LOWER]),
    "bias-free gamma": (rules.gamma(zero_params="bias"), ANY, ANY, False, [UPPER, LOWER]),
    "bias-free gamma under a gate with bias": (rules.gamma(zero_params="bias"), ANY, ANY, True, [NONE, NONE]),
    "plain gamma, x >= 0": (rules.gamma_plain(), NON_NEGATIVE, ANY, True, [UPPER]),
    "plain gamma, x <= 0, with a bias": (rules.gamma_plain(), NON_POSITIVE, ANY, True, [NONE]),
    "plain gamma, x <= 0": (rules.gamma_plain(), NON_POSITIVE, ZEROS, True, [LOWER]),
    "plain gamma": (rules.gamma_plain(), ANY, ANY, True, [NONE]),
    "z_plus": (rules.z_plus(), NON_NEGATIVE, ANY, True, [NONE]),
    "abs_split": (rules.abs_split(), NON_NEGATIVE, ANY, True, [NONE]),
}


@pytest.mark.parametrize(("rule", "x", "b", "gate_bias", "told"), TOLD.values(), ids=TOLD)
def test_where_a_denominator_surely_leans_is_told(rule, x, b, gate_bias, told):
    assert [leanings(share, x, b, gate_bias) for share in rule.shares] == told


def test_a_term_with_a_sign_or_one_that_follows_leans_nowhere():
    both = frozenset(SIDES)
    one = Term(KEEP, KEEP, ZERO)
    assert leanings(Share((one,)), ANY, ANY, False) == both
    assert leanings(Share((replace(one, sign=-1),)), ANY, ANY, False) == frozenset()
    assert leanings(Share((replace(one, follows=True),)), ANY, ANY, False) == frozenset()
    assert leanings(Share((one, one, one)), ANY, ANY, False) == frozenset()
    assert leanings(Share((Term(POS, KEEP, ZERO),)), ANY, ANY, False) == frozenset()
    assert leanings(Share((Term(KEEP, POS, ZERO),)), ANY, ANY, False) == frozenset()


# --- which rule it is --------------------------------------------------------------------------------


def test_gamma_is_told_from_every_other_rule():
    assert {name: gamma_of(rule) for name, rule in RULES.items()} == dict.fromkeys(OTHERS) | {
        "gamma": 0.25, "gamma 2": 2.0, "gamma, bias-free": 0.25, "gamma, compat": 0.25, "gamma, bias shared": 0.25,
        "symmetric": 0.5, "symmetric, bias-free": 0.5,
    }  # fmt: skip


def swapped(rule: Rule, index: int, term: int, **changes) -> Rule:
    share = rule.shares[index]
    terms = tuple(replace(t, **changes) if i == term else t for i, t in enumerate(share.terms))
    shares = tuple(replace(s, terms=terms) if i == index else s for i, s in enumerate(rule.shares))
    return replace(rule, shares=shares)


NO_GAMMA = {
    "its shares the other way round": replace(rules.gamma(), shares=rules.gamma().shares[::-1]),
    "one share": replace(rules.gamma(), shares=rules.gamma().shares[:1]),
    "one share twice": replace(rules.gamma(), shares=rules.gamma().shares[:1] * 2),
    "another gamma in one term": swapped(rules.gamma(0.25), 0, 1, w=Boost(0.5, NEG)),
    "another gamma in the lower share": swapped(rules.gamma(0.25), 1, 0, w=Boost(0.5, NEG)),
    "the bias of one share zeroed": swapped(rules.gamma(0.25), 1, 0, b=ZERO),
    "a bias in both terms": swapped(rules.gamma(0.25), 0, 1, b=KEEP),
    "gates on two pre-activations": replace(
        rules.gamma(), shares=(rules.gamma().shares[0], replace(rules.gamma().shares[1], gate=rules.gamma(zero_params="bias").shares[1].gate))
    ),
    "no gates": replace(rules.gamma(), shares=tuple(replace(s, gate=Share(()).gate) for s in rules.gamma().shares)),
}  # fmt: skip


@pytest.mark.parametrize("rule", NO_GAMMA.values(), ids=NO_GAMMA)
def test_what_is_nearly_gamma_is_not(rule):
    assert gamma_of(rule) is None


def test_which_gammas_gate_their_own_z():
    found = {name: tuple(gates_its_own_z(rule, b) for b in (ANY, NON_NEGATIVE, ZEROS)) for name, rule in GAMMAS.items()}
    assert found.pop("gamma, compat") == (False, False, True)
    assert set(found.values()) == {(True, True, True)}


def test_z_box_is_told_from_every_other_rule():
    found = {name: box_of(rule) for name, rule in RULES.items() if box_of(rule) is not None}
    assert found == {"z_box": (-1, 2), "z_box from 0": (0, [1, 2, 3]), "z_box, bias-free": ([-1, -2, -3], 0)}
    box = rules.z_box(-1, 2)
    assert box_of(rules.Pass()) is None
    assert box_of(replace(box, shares=box.shares * 2)) is None
    assert box_of(swapped(box, 0, 0, sign=-1)) is None
    assert box_of(swapped(box, 0, 1, sign=1)) is None
    assert box_of(swapped(box, 0, 2, sign=1)) is None
    assert box_of(swapped(box, 0, 1, w=NEG)) is None
    assert box_of(swapped(box, 0, 2, w=POS)) is None
    assert box_of(swapped(box, 0, 0, x=POS)) is None


# --- stabilizers -------------------------------------------------------------------------------------

STABILIZERS = [
    Stabilizer(epsilon, floor, clip, scale, axes, signed)
    for epsilon, floor, clip, scale, axes, signed in itertools.product(
        (0.0, 0.25, 1e-7), (0.0, 0.5), (False, True), ("none", "rms"), (None, (1,), (1, 2)), (False, True)
    )
]


@pytest.mark.parametrize("stabilizer", STABILIZERS, ids=str)
def test_a_stabilizer_prints_as_text_that_reads_as_itself(stabilizer):
    assert Stabilizer.of(str(stabilizer).strip("'")) == stabilizer
    assert Stabilizer.of(stabilizer) is stabilizer


@pytest.mark.parametrize("stabilizer", [s for s in STABILIZERS if s.axes is None], ids=str)
def test_whether_a_stabilized_denominator_can_be_0(stabilizer):
    tries = [np.array([[v, v]]) for v in (0.0, -0.25, 0.25, -0.5, 0.5, -0.75, 0.75, -1e-7)]
    tries += [np.array([[-1.0, np.sqrt(2 / 0.25**2 - 1)]])]  # its rms is 4, a quarter of which is 1
    found = any((stabilized(torch.from_numpy(d), stabilizer) == 0).any() for d in tries)
    assert stabilizer.can_vanish or not found
    if stabilizer.signed:
        assert stabilizer.can_vanish == found


REFUSED = {
    "epsilon below 0": {"epsilon": -1e-9},
    "floor below 0": {"floor": -1e-9},
    "epsilon NaN": {"epsilon": float("nan")},
    "unknown scale": {"scale": "max"},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_a_stabilizer_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="must be"):
        Stabilizer(**options)


@pytest.mark.parametrize("value", [True, None, [1]], ids=str)
def test_what_is_no_stabilizer_is_refused(value):
    with pytest.raises(ValueError, match="is not a stabilizer"):
        Stabilizer.of(value)


@pytest.mark.parametrize("text", ["clip=1", "floor", "eps", "axes", "unsigned=yes", "large"])
def test_options_without_a_value_and_values_without_an_option_are_refused(text):
    with pytest.raises(ValueError, match=r"unknown stabilizer option|cannot read"):
        Stabilizer.of(text)
