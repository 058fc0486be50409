"""Emit a linear rule for a linear op, share by share: gate * R / st(d), and what its terms hand down of that."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from lrpc.behaviours.emission import Division, Emission
from lrpc.behaviours.linear.definition import define
from lrpc.behaviours.linear.quotient import Quotient
from lrpc.behaviours.linear.simplified import hand_down
from lrpc.behaviours.linear.terms import Terms
from lrpc.behaviours.relevance import Relevance
from lrpc.emit.emitter import Emitter
from lrpc.ops import LinearOp
from lrpc.rules.algebra import Rule


def lower_rule(emit: Emitter, op: LinearOp, node: gs.Node, rule: Rule, arriving: Relevance) -> Emission:
    """Emit R_in for every data input of a linear layer."""
    handed: list[list[Relevance]] = [[] for _ in op.data(node)]
    divisions: list[Division] = []
    for index, share in enumerate(rule.shares):
        with emit.scope(f"share{index}" if len(rule.shares) > 1 else ""):
            terms = Terms(emit, op, node, share, literal=emit.target is None or rule.share_bias)
            cotangents, division = Quotient(terms, rule.stabilizer, arriving).cotangents()
            parts = define(terms, cotangents, rule.share_bias) if terms.literal else hand_down(terms, cotangents)
        divisions.append(division)
        for branch, part in zip(handed, parts, strict=True):
            branch += part
    return Emission([_gather(emit, parts, f":{i}" if i else "") for i, parts in enumerate(handed)], tuple(divisions))


def _gather(emit: Emitter, parts: list[Relevance], suffix: str) -> Relevance:
    """Add up what an input got; cotangents of one factor first."""
    by_factor: dict[str, Relevance] = {}
    for index, part in enumerate(parts):
        key = part.factor.name if part.factor is not None else ""
        if key in by_factor:
            cotangents = [by_factor[key].cotangent, part.cotangent]
            part = Relevance(emit.op("Add", cotangents, f"cotangent{suffix}/{index}"), part.factor)
        by_factor[key] = part
    groups = list(by_factor.values())
    whole = groups[0]
    for index, part in enumerate(groups[1:], start=1):
        values = [p.value(emit, f"product{suffix}/{index}{side}") for p, side in ((whole, "a"), (part, "b"))]
        whole = Relevance(emit.op("Add", values, f"handed{suffix}/{index}"))
    return whole
