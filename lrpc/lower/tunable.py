"""The numbers of a plan that a compiled graph can take as inputs: each rule's epsilon and gamma.

All layers with one rule share one input, RULE.epsilon or RULE.gamma; a second rule of the same name, with
other parameters, is RULE:1.
"""

from __future__ import annotations

from collections import Counter

from lrpc.bundle.manifest import Tunable
from lrpc.plan.plan import Plan, Row
from lrpc.rules.algebra import Boost, Rule
from lrpc.rules.call import Call
from passes.graph import claim


def group_names(plan: Plan) -> dict[Call, str]:
    """Return, by what a rule is called, the name that its inputs begin with."""
    taken: set[str] = set()
    return {call: claim(call.name, taken) for call in _linear_rules(plan)}


def tunables(plan: Plan) -> list[Tunable]:
    """Return every input that a tunable graph of this plan has."""
    rules, groups = _linear_rules(plan), group_names(plan)
    layers = Counter(row.rule.call for row in _lowered_rows(plan))
    return [
        Tunable(f"{groups[call]}.{key}", str(call), value, layers[call])
        for call, rule in rules.items()
        for key, value in ({"epsilon": rule.stabilizer.epsilon} | _gamma(rule)).items()
    ]


def _linear_rules(plan: Plan) -> dict[Call, Rule]:
    return {row.rule.call: row.rule for row in _lowered_rows(plan) if isinstance(row.rule, Rule)}


def _lowered_rows(plan: Plan) -> list[Row]:
    """Return the rows that are lowered."""
    reached = plan.reached
    return [row for row in plan.rows if row.layer in reached]


def _gamma(rule: Rule) -> dict[str, float]:
    boosts = [term.w.gamma for share in rule.shares for term in share.terms if isinstance(term.w, Boost)]
    return {"gamma": boosts[0]} if boosts else {}
