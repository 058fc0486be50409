"""What `lrpc plan --facts` prints: what is known of each linear layer, and what -O1 leaves of its rule."""

from __future__ import annotations

from dataclasses import dataclass

from lrpc.plan.facts import facts
from lrpc.plan.plan import Plan
from lrpc.plan.simplify import simplify
from lrpc.rules.algebra import Rule
from lrpc.rules.formula import formula, maps
from lrpc.rules.kinds import LINEAR
from lrpc.rules.sign import ZEROS


@dataclass(frozen=True)
class FactRow:
    """One linear layer with a linear rule.

    known: its facts in words.  maps: how many times the rule applies the layer or its transpose by its definition, the
    model's own forward pass included.  left: the same when simplified.  formula: what is left (`lrpc.rules.formula`).
    """

    layer: str
    rule: str
    known: str
    maps: int
    left: int
    formula: str


def fact_rows(plan: Plan) -> list[FactRow]:
    """Return a row for each linear layer of a plan that has a linear rule, in the order of the network.

    Layers that relevance does not reach, because they lead to another input, have none.
    """
    known, simple, reached = facts(plan), simplify(plan), plan.reached
    rows = []
    for row, after in zip(plan.rows, simple.rows, strict=True):
        if isinstance(row.rule, Rule) and row.layer in reached:
            of, bias = known[row.layer], known[row.layer].b != ZEROS
            text = formula(after.rule, parametric=row.kind in LINEAR)
            rows.append(FactRow(row.layer, str(row.rule), str(of), maps(row.rule, bias), maps(after.rule, bias), text))
    return rows
