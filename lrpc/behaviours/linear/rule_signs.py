"""What follows from a rule's algebra and the signs of its layer: of which sign a term or a denominator is."""

from __future__ import annotations

from typing import assert_never

from lrpc.rules.algebra import (
    KEEP,
    NEG,
    POS,
    ZERO,
    Abs,
    Boost,
    Fill,
    Keep,
    Mod,
    Neg,
    Pos,
    Rule,
    Scaled,
    Share,
    Side,
    Square,
    Term,
    Test,
    Zero,
)
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.sign import NON_NEGATIVE, NON_POSITIVE, ZEROS, Sign


def modify_sign(mod: Mod, value: Sign) -> Sign:
    """Return the sign of mod(v), given that of v."""
    match mod:
        case Keep() | Boost():
            return value
        case Pos():
            return Sign(value.positive, False)
        case Neg():
            return Sign(False, value.negative)
        case Abs() | Square():
            return ZEROS if value == ZEROS else NON_NEGATIVE
        case Scaled(_, part):
            return modify_sign(part, value)
        case Zero():
            return ZEROS
        case Fill(number):
            values = number if isinstance(number, tuple) else (number,)
            return (NON_NEGATIVE if max(values) > 0 else ZEROS) | (NON_POSITIVE if min(values) < 0 else ZEROS)
        case _:
            assert_never(mod)


def numerators(share: Share, x: Sign, w: Sign, b: Sign) -> Sign:
    """Return the signs that a share's contributions can have, bias included; a term that follows adds its size."""
    total = ZEROS
    for term in share.terms:
        part = modify_sign(term.x, x) * modify_sign(term.w, w) | modify_sign(term.b, b)
        total |= NON_NEGATIVE if term.follows else part if term.sign > 0 else -part
    return total


def one_side(share: Share, x: Sign, w: Sign, b: Sign) -> Side:
    """Return on which side of 0 a share's contributions are, all of them at every position."""
    total = numerators(share, x, w, b)
    return Side.POSITIVE if not total.negative else Side.NEGATIVE if not total.positive else Side.EITHER


def leanings(share: Share, x: Sign, b: Sign, gate_bias: bool) -> frozenset[Side]:
    """Return on which sides a share's denominator surely is where z is: z itself, or z with one sign boosted.

    (1 + g) P + N is positive where z = P + N is; P + (1 + g) N is negative where z is.
    gate_bias: whether that z has the layer's bias.  Returns nothing where the denominator is something else.
    """
    both, none = frozenset({Side.POSITIVE, Side.NEGATIVE}), frozenset[Side]()
    whole = {term.x for term in share.terms} in ({KEEP}, {POS, NEG}) and len(share.terms) <= 2
    biases = [term.b for term in share.terms if term.b != ZERO and b != ZEROS]
    if not whole or any(t.sign < 0 or t.follows for t in share.terms) or len(biases) != int(gate_bias and b != ZEROS):
        return none
    found = both
    for term in share.terms:
        found &= _leaning(term.w, modify_sign(term.x, x))
    for mod in biases:
        found &= _leaning(mod, NON_NEGATIVE)
    return found


def _leaning(mod: Mod, factor: Sign) -> frozenset[Side]:
    """Return on which sides v * mod(w) is at least as large as v * w, for v of the sign of `factor`."""
    match mod:
        case Keep():
            return frozenset({Side.POSITIVE, Side.NEGATIVE})
        case Boost(_, part) if not factor.negative:
            return frozenset({Side.POSITIVE if part == POS else Side.NEGATIVE})
        case Boost(_, part) if not factor.positive:
            return frozenset({Side.NEGATIVE if part == POS else Side.POSITIVE})
        case _:
            return frozenset()


def box_of(rule: Behaviour) -> tuple[float | list[float], float | list[float]] | None:
    """Return low and high where a rule is ZBox, None where it is not."""
    if not isinstance(rule, Rule) or len(rule.shares) != 1:
        return None
    match [(t.x, t.w, t.sign) for t in rule.shares[0].terms]:
        case [(Keep(), Keep(), 1), (Fill(low), Pos(), -1), (Fill(high), Neg(), -1)]:
            return _to_list(low), _to_list(high)
    return None


def gamma_of(rule: Rule) -> float | None:
    """Return gamma where a rule is general Gamma, whichever pre-activation its gates test; None where it is not."""
    if len(rule.shares) != 2:
        return None
    upper, lower = rule.shares
    boosts = [term.w for term in upper.terms if isinstance(term.w, Boost)]
    if len(boosts) != 2:
        return None
    gamma = boosts[0].gamma
    up, down = Boost(gamma, POS), Boost(gamma, NEG)
    b_up, b_down = (ZERO, ZERO) if upper.terms[0].b == ZERO else (up, down)
    expected = (
        (Term(POS, up, b_up), Term(NEG, down, ZERO)),
        (Term(POS, down, b_down), Term(NEG, up, ZERO)),
    )
    gates = upper.gate.test in (Test.POSITIVE, Test.NON_NEGATIVE) and lower.gate.test is Test.NEGATIVE
    same = (upper.terms, lower.terms) == expected and upper.gate.bias == lower.gate.bias
    return gamma if gates and same else None


def gates_its_own_z(rule: Rule, b: Sign) -> bool:
    """Whether general Gamma's gates test the z whose parts are its denominators, bias included or not."""
    upper = rule.shares[0]
    return b == ZEROS or upper.gate.bias != (upper.terms[0].b == ZERO)


def _to_list(number: float | tuple[float, ...]) -> float | list[float]:
    return list(number) if isinstance(number, tuple) else number
