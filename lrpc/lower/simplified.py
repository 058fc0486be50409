"""Emit a simplified linear rule: -O1. Relevance stays a product of input and cotangent as long as it can."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from lrpc.algebra import ONE, Fill, Gate, Mod, Rule, Scaled, Side, Term, Test, Zero
from lrpc.emitter import Emitter
from lrpc.lower.denominator import denominator, step
from lrpc.lower.linear import lower_rule
from lrpc.lower.modify import modify_parameter, per_channel
from lrpc.lower.relevance import Relevance, plain
from lrpc.lower.stabilize import divide, margin
from lrpc.lower.terms import Terms
from lrpc.ops import LinearOp

_COMPARISON = {Test.POSITIVE: "Greater", Test.NON_NEGATIVE: "GreaterOrEqual", Test.NEGATIVE: "Less"}


def lower_simplified(emit: Emitter, op: LinearOp, node: gs.Node, rule: Rule, arriving: Relevance) -> list[Relevance]:
    """Emit R_in for every data input of a linear layer."""
    if rule.share_bias:
        return plain(lower_rule(emit, op, node, rule, arriving.value(emit, "product")))
    handed: list[list[Relevance]] = [[] for _ in op.data(node)]
    for index, share in enumerate(rule.shares):
        with emit.scope(f"share{index}" if len(rule.shares) > 1 else ""):
            for branch, parts in zip(
                handed, _Lowered(Terms(emit, op, node, share), rule, arriving).lower(), strict=True
            ):
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
        cotangents = self._cotangents()
        parts = [self._backward(index, s) for index, s in enumerate(cotangents)]
        return [list(branch) for branch in zip(*parts, strict=True)]

    def _cotangents(self) -> list[gs.Tensor]:
        """Emit gate * R / st(d) with each term's own sign, where that differs from unit to unit."""
        terms, emit = self.terms.share.terms, self.terms.emit
        if (base := self._cancels()) is not None:
            s = self._ratio(base)
            return [s] * len(terms)
        stabilized = denominator(self.terms, self.rule.stabilizer)
        own = self.terms.z
        if terms[0].follows and self.terms.is_z(terms[0]) and self.terms.share.gate == Gate() and self._is_factor(own):
            r = self._divided(self.arriving.cotangent, stabilized)
            size, value = emit.op("Abs", [own], "size"), emit.op("Mul", [own, r], "s/product")
            return [emit.op("Mul", [size, r], "s/followed") if term.follows else value for term in terms]
        s = self._gated(self._divided(self.arriving.value(emit, "product"), stabilized))
        return [self._followed(index, s) if term.follows else s for index, term in enumerate(terms)]

    def _divided(self, value: gs.Tensor, stabilized: gs.Tensor) -> gs.Tensor:
        emit = self.terms.emit
        can_vanish = self.rule.stabilizer.can_vanish or emit.group is not None  # a tunable epsilon may be 0
        s = divide(emit, value, stabilized, can_vanish)
        emit.divisions.append((stabilized, s))
        return s

    def _cancels(self) -> gs.Tensor | None:
        """Return the factor of the arriving relevance, if it is the denominator too: |z|, or max(z, 0)."""
        share, stabilizer = self.terms.share, self.rule.stabilizer
        sole = len(share.terms) == 1 and self.terms.is_z(share.terms[0]) and share.gate == Gate()
        if not sole or not stabilizer.signed or stabilizer.scale != "none" or stabilizer.clip:
            return None
        z, emit = self.terms.z, self.terms.emit
        if share.side is Side.EITHER and self._is_factor(z):
            return emit.op("Abs", [z], "size")
        if share.side is Side.POSITIVE:
            base = z if share.everywhere else emit.op("Relu", [z], "stabilize/guarded")
            return base if self._is_factor(base) else None
        return None

    def _is_factor(self, tensor: gs.Tensor) -> bool:
        return self.arriving.factor is not None and self.arriving.factor.name == tensor.name

    def _ratio(self, base: gs.Tensor) -> gs.Tensor:
        """Emit C * v / (v + m) for the arriving C * v."""
        emit = self.terms.emit
        with emit.scope("stabilize"):
            stabilized = emit.op("Add", [base, margin(emit, base, self.rule.stabilizer, self.terms.rank)], "stabilized")
        kept = divide(emit, base, stabilized, self.rule.stabilizer.can_vanish or emit.group is not None)
        s = emit.op("Mul", [self.arriving.cotangent, kept], "s/kept")
        emit.divisions.append((stabilized, s))
        return s

    def _gated(self, s: gs.Tensor) -> gs.Tensor:
        gate, emit = self.terms.share.gate, self.terms.emit
        if gate.test is Test.ALWAYS:
            return s
        with emit.scope("gate"):
            z, zero = self._pre_activation(gate), emit.constant(0.0, "zero")
            if gate.test is Test.NONZERO:
                mask = emit.op("Greater", [emit.op("Abs", [z], "size"), zero], "mask")
            else:
                mask = emit.op(_COMPARISON[gate.test], [z, zero], "mask")
            return emit.op("Mul", [s, emit.op("Cast", [mask], "open", to=1)], "s")

    def _pre_activation(self, gate: Gate) -> gs.Tensor:
        terms = self.terms
        if gate.bias or terms.bias is None:
            return terms.z
        xs = [terms.emit.read(tensor) for tensor in terms.op.data(terms.node)]
        return terms.op.forward(terms.emit, terms.node, xs, terms.weight, None)

    def _followed(self, index: int, s: gs.Tensor) -> gs.Tensor:
        """Emit s with the sign of a term's output, + at 0."""
        emit = self.terms.emit
        with emit.scope(f"sign{index}"):
            above = step(emit, self.terms.output(index), "step")
            doubled = emit.op("Add", [above, above], "doubled")
            sign = emit.op("Sub", [doubled, emit.constant(1.0, "one")], "sign")
            return emit.op("Mul", [s, sign], "s")

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
            value = emit.constant(per_channel(term.x.value, len(x.shape)), f"filling:{branch}")
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
    total = groups[0]
    for index, part in enumerate(groups[1:], start=1):
        values = [p.value(emit, f"product{suffix}/{index}{side}") for p, side in ((total, "a"), (part, "b"))]
        total = Relevance(emit.op("Add", values, f"handed{suffix}/{index}"))
    return total
