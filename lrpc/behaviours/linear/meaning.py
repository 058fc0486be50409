"""The row of the linear rules."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from lrpc.behaviours.bound import Bound
from lrpc.behaviours.emission import Emission
from lrpc.behaviours.linear.bound import rule_bound
from lrpc.behaviours.linear.lower import lower_rule
from lrpc.behaviours.linear.stabilize import Layout
from lrpc.behaviours.meaning import Meaning
from lrpc.behaviours.relevance import Relevance
from lrpc.behaviours.support import Support
from lrpc.emit.emitter import Emitter
from lrpc.ops import LinearOp, Op
from lrpc.rules.algebra import ABS, KEEP, NEG, POS, Fill, Rule, Term
from lrpc.rules.sign import Sign


class Linear(Meaning[Rule]):
    """A linear rule on a linear op."""

    def misfit(self, rule: Rule, op: Op, node: gs.Node) -> str:
        if not isinstance(op, LinearOp):
            return f"{op.name} is not a linear layer; it takes pass, gradient or a rule of its own"
        if not op.parametric and any(t.x not in (KEEP, ABS) or t.w != t.x for t in _terms(rule)):
            return f"{op.name} has no parameters; it takes norm, abs_split or gradient"
        return _wrong_channels(rule, node) or _wrong_axes(rule, op, node)

    def bound(self, rule: Rule, op: Op, node: gs.Node, inputs: Sequence[Sign]) -> Bound:
        assert isinstance(op, LinearOp)
        return rule_bound(rule, inputs, *op.parameter_signs(node), op.parametric)

    def support(self, rule: Rule, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        by_input = all(term.x in (KEEP, POS, NEG, ABS) for term in _terms(rule))
        return Support.NONZERO if by_input and not rule.share_bias else Support.ANYWHERE

    def emit(self, emit: Emitter, rule: Rule, op: Op, node: gs.Node, arriving: Relevance) -> Emission:
        assert isinstance(op, LinearOp)
        return lower_rule(emit, op, node, rule, arriving)


def _terms(rule: Rule) -> list[Term]:
    return [term for share in rule.shares for term in share.terms]


def _wrong_channels(rule: Rule, node: gs.Node) -> str:
    """Return a complaint where bounds are given per channel and their number is not the input's."""
    shape = list(node.inputs[0].shape or [])
    channels = shape[1] if len(shape) > 1 else None
    for term in _terms(rule):
        if isinstance(term.x, Fill) and isinstance(term.x.value, tuple) and len(term.x.value) != channels:
            return f"it gives bounds for {len(term.x.value)} channels, the layer's input has {channels}"
    return ""


def _wrong_axes(rule: Rule, op: LinearOp, node: gs.Node) -> str:
    """Return a complaint where a stabilizer names an axis that the layer's output, as the model has it, lacks."""
    layout = Layout.of(op, node)
    rank = layout.rank if layout.rows is None else len(layout.rows)
    missing = [axis for axis in rule.stabilizer.axes or () if axis >= rank]
    return f"its stabilizer has axis {missing[0]}, the layer's output has axes 0 to {rank - 1}" if missing else ""
