"""Where relevance can be non-zero, whatever the input: an analysis from the output down.

Relevance that a rule multiplies by its input vanishes where that input is 0. Behind a ReLU that is where
the pre-activation is negative, so that a rule above it need not say what to do there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import onnx_graphsurgeon as gs

from lrpc.ops import OPS, Selection
from lrpc.plan.plan import Plan
from lrpc.rules.algebra import (
    ABS,
    KEEP,
    NEG,
    POS,
    Behaviour,
    BodyOnly,
    Gradient,
    Pass,
    ReluBetaSmooth,
    ReluDeconvNet,
    ReluGuidedBackprop,
    Rule,
    SignalTakesAll,
    Uniform,
    WinnerTakeAll,
)
from lrpc.rules.sign import Sign
from passes.graph.branches import body_branch


class Support(IntEnum):
    """The units of a tensor at which relevance can arrive, from the weakest statement to the strongest."""

    ANYWHERE = 0
    NONZERO = 1
    """Only where the value is not 0."""
    POSITIVE = 2
    """Only where the value is above 0."""

    def __str__(self) -> str:
        return ("anywhere", "where not 0", "where > 0")[self]


def supports(plan: Plan, signs: Mapping[str, Sign]) -> dict[str, Support]:
    """Return where relevance can arrive at every computed tensor of a plan, by name.

    signs: of the same graph's tensors. What several layers read gets relevance wherever one of them sends it,
    and the model's output wherever the seed is.
    """
    known = {plan.graph.outputs[0].name: Support.ANYWHERE}
    for node, row in zip(reversed(plan.graph.nodes), reversed(plan.rows), strict=True):
        arriving = known[node.outputs[0].name]
        for index, tensor in enumerate(OPS[node.op].data(node)):
            found = _below(node, index, row.rule, arriving)
            if found is Support.NONZERO and not signs[tensor.name].negative:
                found = Support.POSITIVE
            known[tensor.name] = min(found, known.get(tensor.name, Support.POSITIVE))
    return known


def _below(node: gs.Node, index: int, rule: Behaviour, arriving: Support) -> Support:
    """Return where a layer sends relevance at one of its data inputs."""
    op = OPS[node.op]
    match rule:
        case Rule():
            return Support.NONZERO if _multiplies_by_input(rule) else Support.ANYWHERE
        case Pass() | Gradient() | WinnerTakeAll() if isinstance(op, Selection):
            return arriving
        case Gradient() | ReluGuidedBackprop() if op.clamps(node):
            return Support.POSITIVE  # its derivative is 0 elsewhere
        case Pass() | Gradient() | ReluGuidedBackprop() | ReluDeconvNet() | ReluBetaSmooth() if op.keeps_zero(node):
            if arriving is Support.ANYWHERE:
                return Support.ANYWHERE
            return Support.POSITIVE if op.clamps(node) else Support.NONZERO
        case SignalTakesAll(signal) if index != signal:
            return Support.POSITIVE  # none at all
        case Uniform() | SignalTakesAll():
            return min(arriving, Support.NONZERO)  # where a product is not 0, neither is an operand
        case BodyOnly() if index != body_branch(node):
            return Support.POSITIVE  # none at all
        case _:
            return Support.ANYWHERE


def _multiplies_by_input(rule: Rule) -> bool:
    terms = [term for share in rule.shares for term in share.terms]
    return not rule.share_bias and all(term.x in (KEEP, POS, NEG, ABS) for term in terms)
