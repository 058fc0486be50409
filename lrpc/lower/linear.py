"""Emit a linear rule for a linear op, term by term, as the algebra in `lrpc.rules` defines it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import reduce

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.lower.modify import modify_input, modify_parameter
from lrpc.lower.stabilize import Layout, divide, stabilize
from lrpc.ops import LinearOp
from lrpc.rules.algebra import KEEP, ONE, Gate, Rule, Share, Term, Test
from passes.graph import rank_of

_COMPARISON = {Test.POSITIVE: "Greater", Test.NON_NEGATIVE: "GreaterOrEqual", Test.NEGATIVE: "Less"}


def lower_rule(emit: Emitter, op: LinearOp, node: gs.Node, rule: Rule, relevance: gs.Tensor) -> list[gs.Tensor]:
    """Emit R_in for every data input of a linear layer."""
    shares = []
    for index, share in enumerate(rule.shares):
        with emit.scope(f"share{index}" if len(rule.shares) > 1 else ""):
            shares.append(_Shared(emit, op, node, share).lower(rule, relevance))
    return [_total(emit, branch, _role("relevance", i)) for i, branch in enumerate(zip(*shares, strict=True))]


class _Shared:
    """One share of a rule on one layer: its terms, its denominator, and what it hands down."""

    def __init__(self, emit: Emitter, op: LinearOp, node: gs.Node, share: Share) -> None:
        self.emit, self.op, self.node, self.share = emit, op, node, share
        self.weight, self.bias = op.weight(emit, node), op.bias(emit, node)

    def lower(self, rule: Rule, relevance: gs.Tensor) -> list[gs.Tensor]:
        inputs = [self._inputs(index, term) for index, term in enumerate(self.share.terms)]
        outputs = [self._forward(index, term, inputs[index]) for index, term in enumerate(self.share.terms)]
        d = _signed_total(self.emit, outputs, [term.sign for term in self.share.terms], "d")
        stabilized = stabilize(self.emit, d, rule.stabilizer, Layout.of(self.op, self.node))
        can_vanish = rule.stabilizer.can_vanish or self.emit.group is not None  # a tunable epsilon may be 0
        s = self._gated(divide(self.emit, relevance, stabilized, can_vanish), self.share.gate)
        self.emit.divisions.append((stabilized, s))
        handed = [self._backward(index, term, inputs[index], s) for index, term in enumerate(self.share.terms)]
        signs = [term.sign for term in self.share.terms]
        if rule.share_bias and (earned := self._earned(s)) is not None:
            handed, signs = [*handed, self._spread(earned)], [*signs, 1]
        sums = [
            _signed_total(self.emit, branch, signs, _role("handed", i))
            for i, branch in enumerate(zip(*handed, strict=True))
        ]
        return [self._weighted(total, _role("weighted", i)) for i, total in enumerate(sums)]

    def _inputs(self, index: int, term: Term) -> list[gs.Tensor]:
        with self._term(index):
            data = [self.emit.read(tensor) for tensor in self.op.data(self.node)]
            return [modify_input(self.emit, x, term.x, _role("x", i)) for i, x in enumerate(data)]

    def _forward(self, index: int, term: Term, xs: list[gs.Tensor]) -> gs.Tensor:
        if self._is_unmodified(term):
            # The forward pass computed it already. A second computation would round differently, and
            # where branches cancel, z / z' would be far from 1 although both are z.
            return self.emit.read(self.node.outputs[0])
        with self._term(index):
            w = modify_parameter(self.emit, self.weight, term.w)
            b = modify_parameter(self.emit, self.bias, term.b)
            return self.op.forward(self.emit, self.node, xs, w, b)

    def _is_unmodified(self, term: Term) -> bool:
        return (term.x, term.w) == (KEEP, KEEP) and (term.b == KEEP or self.bias is None)

    def _backward(self, index: int, term: Term, xs: list[gs.Tensor], s: gs.Tensor) -> list[gs.Tensor]:
        with self._term(index):
            w = modify_parameter(self.emit, self.weight, term.w)
            cs = self.op.transpose(self.emit, self.node, s, w)
            if term.x == ONE:
                return cs
            pairs = enumerate(zip(xs, cs, strict=True))
            return [self.emit.op("Mul", [x, c], _role("contribution", i)) for i, (x, c) in pairs]

    def _earned(self, s: gs.Tensor) -> gs.Tensor | None:
        """Emit what the share's bias earns, b' * s; None where there is no bias."""
        terms = [(modify_parameter(self.emit, self.bias, term.b), term.sign) for term in self.share.terms]
        signed = [(bias, sign) for bias, sign in terms if bias is not None]
        if not signed:
            return None
        with self.emit.scope("bias"):
            total = _signed_total(self.emit, [bias for bias, _ in signed], [sign for _, sign in signed], "total")
            rank = rank_of(self.node.outputs[0])
            shape = self.emit.constant([1, -1, *[1] * (rank - 2)], "shape", np.int64)
            return self.emit.op("Mul", [s, self.emit.op("Reshape", [total, shape], "shaped")], "earned")

    def _spread(self, earned: gs.Tensor) -> list[gs.Tensor]:
        """Emit equal parts of what a bias earned for all the inputs that its output sees."""
        with self.emit.scope("bias"):
            ones = [modify_input(self.emit, self.emit.read(x), ONE, "one") for x in self.op.data(self.node)]
            w = modify_parameter(self.emit, self.weight, ONE)
            count = self.op.forward(self.emit, self.node, ones, w, None)
            portion = divide(self.emit, earned, count, can_vanish=True)
            return self.op.transpose(self.emit, self.node, portion, w)

    def _gated(self, s: gs.Tensor, gate: Gate) -> gs.Tensor:
        if gate.test is Test.ALWAYS:
            return s
        with self.emit.scope("gate"):
            zero = self.emit.constant(0.0, "zero")
            mask = self.emit.op(_COMPARISON[gate.test], [self._pre_activation(gate), zero], "mask")
            return self.emit.op("Where", [mask, s, zero], "s")

    def _pre_activation(self, gate: Gate) -> gs.Tensor:
        if gate.bias or self.bias is None:
            return self.emit.read(self.node.outputs[0])
        xs = [self.emit.read(tensor) for tensor in self.op.data(self.node)]
        return self.op.forward(self.emit, self.node, xs, self.weight, None)

    def _weighted(self, total: gs.Tensor, role: str) -> gs.Tensor:
        if self.share.weight == 1.0:
            return total
        return self.emit.op("Mul", [total, self.emit.constant(self.share.weight, f"{role}/weight")], role)

    def _term(self, index: int) -> AbstractContextManager[None]:
        return self.emit.scope(f"term{index}" if len(self.share.terms) > 1 else "")


def _role(name: str, branch: int) -> str:
    return f"{name}:{branch}" if branch else name


def _total(emit: Emitter, values: tuple[gs.Tensor, ...], name: str) -> gs.Tensor:
    return _signed_total(emit, values, [1] * len(values), name)


def _signed_total(
    emit: Emitter, values: list[gs.Tensor] | tuple[gs.Tensor, ...], signs: list[int], name: str
) -> gs.Tensor:
    """Emit the sum of signed values from left to right; the first sign is +."""
    assert signs[0] == 1

    def add(total: gs.Tensor, entry: tuple[int, tuple[gs.Tensor, int]]) -> gs.Tensor:
        index, (value, sign) = entry
        last = index == len(values) - 1
        return emit.op("Add" if sign > 0 else "Sub", [total, value], name if last else f"{name}/{index}")

    rest = list(enumerate(zip(values, signs, strict=True)))[1:]
    return reduce(add, rest, values[0])
