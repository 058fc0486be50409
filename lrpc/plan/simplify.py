"""Facts simplify a rule before any node exists: from a plan to a plan that computes the same relevance with less.

Each step is a function from a rule and the facts of its layer to a rule; it returns the same rule where it does not
apply. The rule's text stays the user's. `-O0` lowers the plan as it is, and is what this is proved against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lrpc.behaviours.linear.rule_signs import gamma_of, gates_its_own_z, leanings, modify_sign, one_side
from lrpc.behaviours.support import Support
from lrpc.plan.facts import Facts, facts
from lrpc.plan.plan import Plan
from lrpc.rules.algebra import ABS, KEEP, ZERO, Abs, Boost, Gate, Mod, Neg, Pos, Rule, Scaled, Share, Side, Term, Test
from lrpc.rules.sign import ZEROS, Sign

Step = Callable[[Rule, Facts], Rule]


def simplify(plan: Plan, *, tunable: bool = False) -> Plan:
    """Simplify every linear rule of a plan by what is known of its layer; the rest stays as it is.

    tunable: epsilon and gamma will be inputs of the graph, so that no number may be computed from them.
    """
    known = facts(plan)
    steps = [step for step in STEPS if not (tunable and step is merge_gamma)]
    rows = [
        replace(row, rule=simplify_rule(row.rule, known[row.layer], steps)) if isinstance(row.rule, Rule) else row
        for row in plan.rows
    ]
    return replace(plan, rows=tuple(rows))


def simplify_rule(rule: Rule, known: Facts, steps: list[Step] | None = None) -> Rule:
    """Apply every step to one rule, in order."""
    for step in STEPS if steps is None else steps:
        rule = step(rule, known)
    return rule


def drop_idle_modifiers(rule: Rule, known: Facts) -> Rule:
    """x >= 0: Pos(x) is x, and a term of Neg(x) is 0 and goes. Likewise for x <= 0, for weights and for biases.

    A term goes only if its bias is 0 as well, and a share keeps at least one.
    """
    return _each_share(rule, lambda share: replace(share, terms=_live_terms(share, known)))


def drop_idle_gates(rule: Rule, known: Facts) -> Rule:
    """Relevance only where z > 0: the share gated on z < 0 goes, and the gate on z > 0.

    Only gates on that z: one on the bias-free pre-activation of a layer with a bias tests something else.
    """
    if known.support is not Support.POSITIVE:
        return rule
    idle = [share.gate.test is Test.NEGATIVE and _tests_z(share.gate, known) for share in rule.shares]
    if any(idle):
        kept = tuple(share for share, gone in zip(rule.shares, idle, strict=True) if not gone)
        rule = replace(rule, shares=kept)
    return _each_share(rule, lambda share: _drop_gate(share, known))


def merge_gamma(rule: Rule, known: Facts) -> Rule:
    """General Gamma with more than one term left: two terms under one denominator that cannot cancel.

    With P and N the sums of positive and negative contributions, A = P - N their size and z = P + N,
    |d| is (1 + g) P + N where z > 0 and -(P + (1 + g) N) where z < 0: both are (1 + g/2) |z| + (g/2) A. Divided by
    1 + g/2, and with k = g / (2 + g), the rule is one share of the terms sgn(z) f(x; w, b) and
    k f(|x|; |w|, |b|), whose denominator |z| + k A adds two numbers that are never negative.

    Declines an rms scale (it would look at other denominators), an unsigned stabilizer (which moves d- towards 0, not
    away from it), shared biases, and a gate on another z.
    """
    gamma, stabilizer = gamma_of(rule), rule.stabilizer
    if gamma is None or rule.share_bias or stabilizer.scale != "none" or not stabilizer.signed:
        return rule
    simpler = simplify_rule(rule, known, [drop_idle_modifiers, drop_idle_gates])
    if sum(len(share.terms) for share in simpler.shares) < 2:
        return rule
    return _merge(rule, known, gamma) if gates_its_own_z(rule, known.b) else rule


def know_the_side(rule: Rule, known: Facts) -> Rule:
    """A denominator of one sign wherever relevance arrives: its stabilizer need not look at the sign.

    Either all its numerators have one sign at every position, or it follows a z that is known to be positive
    or negative there. Declines an unsigned stabilizer, which looks at no sign as it is.
    """
    if not rule.stabilizer.signed:
        return rule
    return _each_share(rule, lambda share: _know_side(share, known))


STEPS: tuple[Step, ...] = (merge_gamma, drop_idle_modifiers, drop_idle_gates, know_the_side)
"""In order: merging looks at the rule as it was written, sides at what is left of it."""


def _each_share(rule: Rule, change: Callable[[Share], Share]) -> Rule:
    shares = tuple(change(share) for share in rule.shares)
    return rule if shares == rule.shares else replace(rule, shares=shares)


def _live_terms(share: Share, known: Facts) -> tuple[Term, ...]:
    idle = [replace(t, x=_idle(t.x, known.x), w=_idle(t.w, known.w), b=_idle_bias(t, known)) for t in share.terms]
    live = [term for term in idle if _is_live(term, known)]
    return tuple(_as_itself(term, known) for term in live or idle[:1])


def _is_live(term: Term, known: Facts) -> bool:
    return term.b != ZERO or ZEROS not in (modify_sign(term.x, known.x), modify_sign(term.w, known.w))


def _idle_bias(term: Term, known: Facts) -> Mod:
    return ZERO if modify_sign(term.b, known.b) == ZEROS else _idle(term.b, known.b)


def _as_itself(term: Term, known: Facts) -> Term:
    """Write the layer's own map as such, although its bias is 0: the forward pass has its output."""
    return replace(term, b=KEEP) if (term.x, term.w) == (KEEP, KEEP) and known.b == ZEROS else term


def _idle(mod: Mod, value: Sign) -> Mod:
    """Return what a modifier amounts to on values of a known sign."""
    match mod:
        case Pos() | Abs() if not value.negative:
            return KEEP
        case Neg() if not value.positive:
            return KEEP
        case Boost(_, part) if modify_sign(part, value) == ZEROS:
            return KEEP
        case _:
            return mod


def _tests_z(gate: Gate, known: Facts) -> bool:
    return gate.bias or known.b == ZEROS


def _drop_gate(share: Share, known: Facts) -> Share:
    always = share.gate.test in (Test.POSITIVE, Test.NON_NEGATIVE, Test.NONZERO) and _tests_z(share.gate, known)
    return replace(share, gate=Gate()) if always else share


def _merge(rule: Rule, known: Facts, gamma: float) -> Rule:
    factor, part = 1 + gamma / 2, gamma / (2 + gamma)
    upper = rule.shares[0]
    b, size = (ZERO, ZERO) if upper.terms[0].b == ZERO else (KEEP, Scaled(part, ABS))
    terms = (Term(KEEP, KEEP, b, follows=True), Term(ABS, Scaled(part, ABS), size))
    meets_zero = known.support is Support.ANYWHERE or not _tests_z(upper.gate, known)
    drops_zero = upper.gate.test is Test.POSITIVE
    gate = Gate(Test.NONZERO, upper.gate.bias) if drops_zero and meets_zero else Gate()
    old = rule.stabilizer
    stabilizer = replace(old, epsilon=old.epsilon / factor, floor=old.floor / factor)
    return replace(rule, shares=(Share(terms, gate=gate),), stabilizer=stabilizer)


def _know_side(share: Share, known: Facts) -> Share:
    found = one_side(share, known.x, known.w, known.b)
    if found is not Side.EITHER:
        return replace(share, side=found, everywhere=True)
    return replace(share, side=_side_of_z(share, known))


def _side_of_z(share: Share, known: Facts) -> Side:
    """Return the side that a share's denominator shares with z, where z is on one wherever relevance arrives."""
    gate = share.gate
    leaning = leanings(share, known.x, known.b, gate.bias)
    confined = known.support is Support.POSITIVE and _tests_z(gate, known)
    above = confined or gate.test in (Test.POSITIVE, Test.NON_NEGATIVE)
    side = Side.NEGATIVE if gate.test is Test.NEGATIVE else Side.POSITIVE if above else Side.EITHER
    return side if side in leaning else Side.EITHER
