"""Emit a simplified linear rule: -O1. Relevance stays a product of input and cotangent as long as it can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.lower.linear import lower_rule
from lrpc.lower.modify import modify_parameter, per_channel
from lrpc.lower.quotient import Quotient
from lrpc.lower.relevance import Relevance, plain
from lrpc.lower.terms import Terms
from lrpc.ops import LinearOp
from lrpc.rules.algebra import ONE, Fill, Mod, Rule, Scaled, Term, Zero
from passes.graph import rank_of


def lower_simplified(emit: Emitter, op: LinearOp, node: gs.Node, rule: Rule, arriving: Relevance) -> list[Relevance]:
    """Emit R_in for every data input of a linear layer."""
    if rule.share_bias:
        return plain(lower_rule(emit, op, node, rule, arriving.value(emit, "product")))
    handed: list[list[Relevance]] = [[] for _ in op.data(node)]
    for index, share in enumerate(rule.shares):
        with emit.scope(f"share{index}" if len(rule.shares) > 1 else ""):
            lowered = _Lowered(Terms(emit, op, node, share), rule, arriving).lower()
        for branch, parts in zip(handed, lowered, strict=True):
            branch += parts
    return [_gathered(emit, parts, f":{i}" if i else "") for i, parts in enumerate(handed)]


@dataclass(frozen=True)
class _Lowered:
    """One share of a rule on one layer."""

    terms: Terms
    rule: Rule
    arriving: Relevance

    def lower(self) -> list[list[Relevance]]:
        """Emit what each term hands to each data input."""
        cotangents = Quotient(self.terms, self.rule.stabilizer, self.arriving).cotangents()
        constant = self._constant_terms()
        parts = [self._backward(i, s) for i, s in enumerate(cotangents) if i not in constant]
        if constant:
            parts.append(self._constant(constant, cotangents[constant[0]]))
        return [list(branch) for branch in zip(*parts, strict=True)]

    def _constant_terms(self) -> list[int]:
        """Return the terms whose input is a constant that their weight can take."""
        terms = self.terms
        if terms.weight is None or terms.op.input_shape(terms.node) is None:
            return []
        return [i for i, t in enumerate(terms.share.terms) if isinstance(t.x, Fill) and t.x != ONE and not t.follows]

    def _constant(self, indices: list[int], s: gs.Tensor) -> list[Relevance]:
        """Emit what terms of constant input hand down, by one transpose: J^T is linear in the weight that it is of."""
        terms, emit = self.terms, self.terms.emit
        shape = terms.op.input_shape(terms.node)
        assert shape is not None
        total: gs.Tensor | None = None
        with emit.scope("constant"):
            for index in indices:
                part = self._weighted(terms.share.terms[index], shape, f"weight{index}")
                total = part if total is None else emit.op("Add", [total, part], f"weights{index}")
            return plain(terms.op.transpose(emit, terms.node, s, total))

    def _weighted(self, term: Term, shape: list[int], name: str) -> gs.Tensor:
        """Emit sign * weight * w' * x' of a term, x' along the axis of w' that runs over inputs."""
        emit, weight = self.terms.emit, modify_parameter(self.terms.emit, self.terms.weight, term.w)
        assert weight is not None
        assert isinstance(term.x, Fill)
        values = term.sign * self.terms.share.weight * np.asarray(term.x.value, np.float64)
        shaped = values if values.ndim == 0 else values.reshape(shape)
        return emit.op("Mul", [weight, emit.constant(shaped, f"{name}/values")], name)

    def _backward(self, index: int, s: gs.Tensor) -> list[Relevance]:
        """Emit what one term hands down: x' * J_{w'}^T s, its sign and the share's weight taken by w'."""
        terms, emit, term = self.terms, self.terms.emit, self.terms.share.terms[index]
        factor = term.sign * terms.share.weight
        with terms.scope(index):
            if terms.weight is None and factor != 1.0:
                s = emit.op("Mul", [s, emit.constant(factor, "weight")], "weighted")
            w = modify_parameter(emit, terms.weight, scaled(term.w, factor))
            cs = terms.op.transpose(emit, terms.node, s, w)
            return [self._contribution(c, term, branch) for branch, c in enumerate(cs)]

    def _contribution(self, c: gs.Tensor, term: Term, branch: int) -> Relevance:
        emit, x = self.terms.emit, self.terms.op.data(self.terms.node)[branch]
        if term.x == ONE:
            return Relevance(c)
        if isinstance(term.x, Fill):
            value = emit.constant(per_channel(term.x.value, rank_of(x)), f"filling:{branch}")
            return Relevance(emit.op("Mul", [c, value], f"contribution:{branch}"))
        return Relevance(c, self.terms.modified(term.x, branch))


def scaled(mod: Mod, factor: float) -> Mod:
    """Return factor * mod."""
    match mod:
        case _ if factor == 1.0:
            return mod
        case Zero():
            return mod
        case Scaled(other, part):
            return Scaled(factor * other, part)
        case _:
            return Scaled(factor, mod)


def _gathered(emit: Emitter, parts: list[Relevance], suffix: str) -> Relevance:
    """Add up what an input got; cotangents of one factor first."""
    by_factor: dict[str, Relevance] = {}
    for index, part in enumerate(parts):
        key = part.factor.name if part.factor is not None else ""
        if key in by_factor:
            total = emit.op("Add", [by_factor[key].cotangent, part.cotangent], f"cotangent{suffix}/{index}")
            part = Relevance(total, part.factor)
        by_factor[key] = part
    groups = list(by_factor.values())
    whole = groups[0]
    for index, part in enumerate(groups[1:], start=1):
        values = [p.value(emit, f"product{suffix}/{index}{side}") for p, side in ((whole, "a"), (part, "b"))]
        whole = Relevance(emit.op("Add", values, f"handed{suffix}/{index}"))
    return whole
