"""How much a linear rule can amplify: it follows from the signs of its numerators.

Where all numerators under a denominator have one sign, their quotients add up to at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrpc.behaviours.bound import Bound
from lrpc.behaviours.linear.rule_signs import box_of, gamma_of, gates_its_own_z, one_side
from lrpc.ops.op import union
from lrpc.rules.algebra import KEEP, Rule, Share, Side, Test
from lrpc.rules.sign import Sign
from lrpc.rules.stabilizer import shortest


def rule_bound(rule: Rule, inputs: Sequence[Sign], weight: Sign, bias: Sign, parametric: bool) -> Bound:
    """Return the most that a layer can amplify by a linear rule, given the signs of its inputs and parameters."""
    limit = _limit(rule, inputs, weight, bias)
    condition = "for inputs within low and high" if box_of(rule) is not None else ""
    return Bound(limit, condition, _only(rule, parametric) if math.isinf(limit) else "")


def _limit(rule: Rule, inputs: Sequence[Sign], weight: Sign, bias: Sign) -> float:
    one_signed = [_share_bound(share, rule.stabilizer.signed, inputs, weight, bias) for share in rule.shares]
    if None not in one_signed:
        limits = [limit for limit in one_signed if limit is not None]
        return max(limits) if _exclusive(rule) else math.fsum(limits)
    if box_of(rule) is not None:
        return 1.0
    gamma = gamma_of(rule)
    if gamma and rule.stabilizer.signed and gates_its_own_z(rule, bias):
        return (2 + gamma) / gamma
    return math.inf


def _exclusive(rule: Rule) -> bool:
    """Whether the gates of two shares let no unit through both."""
    gates = [share.gate for share in rule.shares]
    tests = {gate.test for gate in gates}
    disjoint = tests in ({Test.POSITIVE, Test.NEGATIVE}, {Test.NON_NEGATIVE, Test.NEGATIVE})
    return disjoint and len({gate.bias for gate in gates}) == 1


def _share_bound(share: Share, signed: bool, inputs: Sequence[Sign], weight: Sign, bias: Sign) -> float | None:
    """Return |weight| where all numerators of a share, and its bias, have one sign; None where they differ."""
    side = one_side(share, union(inputs), weight, bias)
    if side is Side.POSITIVE or (signed and side is Side.NEGATIVE):
        return abs(share.weight)
    return None


def _only(rule: Rule, parametric: bool) -> str:
    """Say what bounds a rule that nothing else does: its numerators over the least that it divides by."""
    stabilizer = rule.stabilizer
    if not stabilizer.signed or stabilizer.can_vanish:
        return "its denominator can come as near to 0 as it likes"
    least = stabilizer.floor + (stabilizer.epsilon if stabilizer.scale == "none" else 0.0)
    weight = "" if not parametric else " w" if rule.shares[0].terms[0].w == KEEP else " w'"
    return f"sum |x{weight}| / {shortest(least)}"
