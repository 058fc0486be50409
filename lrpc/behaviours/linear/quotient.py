"""Emit what a share divides: gate * R / st(d), with each term's own sign."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from lrpc.behaviours.emission import Division
from lrpc.behaviours.linear.denominator import denominator, step
from lrpc.behaviours.linear.stabilize import divide, margin
from lrpc.behaviours.linear.terms import Terms
from lrpc.behaviours.relevance import Relevance
from lrpc.rules.algebra import Gate, Side, Test
from lrpc.rules.stabilizer import Stabilizer

_COMPARISON = {Test.POSITIVE: "Greater", Test.NON_NEGATIVE: "GreaterOrEqual", Test.NEGATIVE: "Less"}


@dataclass(frozen=True)
class Quotient:
    """One share of a rule on one layer, and the relevance that arrives there."""

    terms: Terms
    stabilizer: Stabilizer
    arriving: Relevance

    def cotangents(self) -> tuple[list[gs.Tensor], Division]:
        """Emit gate * R / st(d) with each term's own sign, where that differs from unit to unit."""
        terms, emit = self.terms.share.terms, self.terms.emit
        if (base := self._cancels()) is not None:
            division = self._ratio(base)
            return [division.quotient] * len(terms), division
        stabilized = denominator(self.terms, self.stabilizer)
        own = self.terms.z
        if terms[0].follows and self.terms.is_z(terms[0]) and self.terms.share.gate == Gate() and self._is_factor(own):
            r = self._divide(self.arriving.cotangent, stabilized)
            size, product = emit.op("Abs", [own], "size"), emit.op("Mul", [own, r], "s/product")
            own_signs = [emit.op("Mul", [size, r], "s/followed") if term.follows else product for term in terms]
            return [*own_signs], Division(stabilized, r)
        s = self._divide_and_gate(self.arriving.value(emit, "product"), stabilized)
        signed = [self._follow(index, s) if term.follows else s for index, term in enumerate(terms)]
        return signed, Division(stabilized, s)

    def _divide(self, value: gs.Tensor, stabilized: gs.Tensor) -> gs.Tensor:
        can_vanish = self.stabilizer.can_vanish or self.terms.emit.group is not None  # a tunable epsilon may be 0
        return divide(self.terms.emit, value, stabilized, can_vanish)

    def _divide_and_gate(self, relevance: gs.Tensor, stabilized: gs.Tensor) -> gs.Tensor:
        """Emit gate * R / st(d). A product with the gate comes first: behind it the quotient may not be finite."""
        emit, gate = self.terms.emit, self.terms.share.gate
        if gate.test is Test.ALWAYS:
            return self._divide(relevance, stabilized)
        if not self.terms.literal:
            with emit.scope("gate"):
                is_open = emit.op("Cast", [self._mask(gate)], "open", to=1)
                relevance = emit.op("Mul", [relevance, is_open], "relevance")
            return self._divide(relevance, stabilized)
        s = self._divide(relevance, stabilized)
        with emit.scope("gate"):
            return emit.op("Where", [self._mask(gate), s, emit.constant(0.0, "closed")], "s")

    def _mask(self, gate: Gate) -> gs.Tensor:
        emit, z = self.terms.emit, self.terms.pre_activation(gate.bias)
        zero = emit.constant(0.0, "zero")
        if gate.test is Test.NONZERO:
            return emit.op("Greater", [emit.op("Abs", [z], "size"), zero], "mask")
        return emit.op(_COMPARISON[gate.test], [z, zero], "mask")

    def _cancels(self) -> gs.Tensor | None:
        """Return the factor of the arriving relevance, if it is the denominator too: |z|, or max(z, 0)."""
        share, stabilizer = self.terms.share, self.stabilizer
        sole = len(share.terms) == 1 and self.terms.is_z(share.terms[0]) and share.gate == Gate()
        if self.terms.literal or not sole or not stabilizer.signed or stabilizer.scale != "none" or stabilizer.clip:
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

    def _ratio(self, base: gs.Tensor) -> Division:
        """Emit C * v / (v + m) for the arriving C * v."""
        emit = self.terms.emit
        with emit.scope("stabilize"):
            stabilized = emit.op("Add", [base, margin(emit, base, self.stabilizer, self.terms.layout)], "stabilized")
        kept = self._divide(base, stabilized)
        return Division(stabilized, emit.op("Mul", [self.arriving.cotangent, kept], "s/kept"))

    def _follow(self, index: int, s: gs.Tensor) -> gs.Tensor:
        """Emit s with the sign of a term's output, + at 0."""
        emit = self.terms.emit
        with emit.scope(f"sign{index}"):
            above = step(emit, self.terms.output(index), "step")
            doubled = emit.op("Add", [above, above], "doubled")
            sign = emit.op("Sub", [doubled, emit.constant(1.0, "one")], "sign")
            return emit.op("Mul", [s, sign], "s")
