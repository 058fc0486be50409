"""Which plans zennit can be a reference for: one that has a layer of a kind for which zennit has no rule is refused."""

from __future__ import annotations

from lrpc.plan.plan import Plan, Row
from lrpc.rules.behaviours import Gradient
from lrpc.rules.kinds import Kind
from passes.errors import LrpcError, Problem

_HINT = "Use --reference oracle, which takes any rules."
_WITHOUT_RULE = {
    Kind.GATE: "zennit has no rule for products of computed tensors, and gives them the gradient",
    Kind.PRODUCT: "zennit has no rule for products of computed tensors, and gives them the gradient",
    Kind.LAYER_NORM: "zennit has no rule for such norms, and gives them the gradient",
}


def check_comparable(plan: Plan) -> None:
    """Raise LrpcError with every layer that zennit must treat otherwise than the plan does."""
    reasons = {row: _reason(plan, row) for row in plan.rows}
    problems = [Problem(row.layer, row.op, reason, _HINT) for row, reason in reasons.items() if reason]
    if problems:
        raise LrpcError(
            f"zennit is no reference for {len(problems)} of {len(plan.rows)} layers of {plan.graph.name}.", problems
        )


def _reason(plan: Plan, row: Row) -> str:
    if isinstance(row.rule, Gradient):
        return ""
    module = plan.graph.modules.get(row.layer)
    if row.kind is Kind.BATCH_NORM and module is not None and module.type and "BatchNorm" not in module.type:
        return (
            f"the plan says {row.rule} of this scale by channel, which for zennit is a product: it gives the gradient"
        )
    reason = _WITHOUT_RULE.get(row.kind, "")
    return f"the plan says {row.rule}; {reason}" if reason else ""
