"""The numbers of a plan that a compiled graph can take as inputs: each rule's epsilon and gamma.

All layers with one rule share one input, RULE.epsilon or RULE.gamma; a second rule of the same name, with
other parameters, is RULE:1.
"""

from __future__ import annotations

from lrpc.bundle.manifest import Tunable
from lrpc.plan.plan import Plan, Row
from lrpc.rules.algebra import Boost, Rule
from passes.graph import claim


def group_names(plan: Plan) -> dict[str, str]:
    """Return, by a rule's text, the name that its inputs begin with."""
    taken: set[str] = set()
    texts = dict.fromkeys(str(row.rule) for row in _reached(plan) if isinstance(row.rule, Rule))
    return {text: claim(text.partition("(")[0], taken) for text in texts}


def tunables(plan: Plan) -> list[Tunable]:
    """Return every input that a tunable graph of this plan has."""
    rules = {str(row.rule): row.rule for row in _reached(plan) if isinstance(row.rule, Rule)}
    counts = [str(row.rule) for row in _reached(plan)]
    found = []
    for text, group in group_names(plan).items():
        values = {"epsilon": rules[text].stabilizer.epsilon} | _gamma(rules[text])
        found += [Tunable(f"{group}.{key}", text, value, counts.count(text)) for key, value in values.items()]
    return found


def _reached(plan: Plan) -> list[Row]:
    """Return the rows that are lowered."""
    reached = plan.reached
    return [row for row in plan.rows if row.layer in reached]


def _gamma(rule: Rule) -> dict[str, float]:
    boosts = [term.w.gamma for share in rule.shares for term in share.terms if isinstance(term.w, Boost)]
    return {"gamma": boosts[0]} if boosts else {}
