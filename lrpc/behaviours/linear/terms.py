"""The terms of a share on one layer, each computed once and only if something reads it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.modify import modify_input, modify_parameter, per_channel
from lrpc.behaviours.linear.stabilize import Layout
from lrpc.emit.emitter import Emitter
from lrpc.ops import LinearOp
from lrpc.rules.algebra import KEEP, Fill, Mod, Share, Term
from passes.graph import static_shape


class Terms:
    """emit, op, node, share: where and what.

    literal: what is made of them is written down as it is defined, not in the forms that are cheapest.
    """

    def __init__(self, emit: Emitter, op: LinearOp, node: gs.Node, share: Share, literal: bool) -> None:
        self.emit, self.op, self.node, self.share, self.literal = emit, op, node, share, literal
        self.weight, self.bias = op.weight(emit, node), op.bias(emit, node)
        self.layout = Layout.of(op, node)
        if not literal and self.layout.rows is not None and all(isinstance(term.x, Fill) for term in share.terms):
            self.layout = Layout(self.layout.rank, (*[1] * (len(self.layout.rows) - 1), self.layout.rows[-1]))
        self._inputs: dict[tuple[Mod, int], gs.Tensor] = {}

    @property
    def z(self) -> gs.Tensor:
        """The layer's own output, as the forward pass computed it.

        A second computation would round differently, and where branches cancel, z / z' would be far from 1
        although both are z.
        """
        return self.emit.read(self.node.outputs[0])

    def is_z(self, term: Term) -> bool:
        """Whether a term is the layer itself, which the forward pass computed already."""
        return (term.x, term.w) == (KEEP, KEEP) and (term.b == KEEP or self.bias is None)

    def is_known(self, term: Term) -> bool:
        """Whether nothing need be computed for a term when the graph runs."""
        return isinstance(term.x, Fill) or self.is_z(term)

    def output(self, index: int, shift: gs.Tensor | None = None) -> gs.Tensor:
        """Emit f(x'; w', b' + shift). shift: a number for a computed term of an op that has biases."""
        term = self.share.terms[index]
        if self.is_z(term):
            return self.z
        with self.scope(index):
            w = modify_parameter(self.emit, self.weight, term.w)
            b = modify_parameter(self.emit, self.bias, term.b)
            if shift is not None:
                b = self._shift(b, shift)
            return self.op.forward(self.emit, self.node, self.inputs(index), w, b)

    def outputs(self) -> list[gs.Tensor]:
        """Emit f(x'; w', b') of every term."""
        return [self.output(index) for index in range(len(self.share.terms))]

    def total(self, outputs: Sequence[gs.Tensor]) -> gs.Tensor:
        """Emit d, the signed sum of the terms' outputs; one that follows adds its size."""
        pairs = zip(self.share.terms, outputs, strict=True)
        sized = [(self.emit.op("Abs", [z], "size") if term.follows else z, term.sign) for term, z in pairs]
        return add_signed(self.emit, sized, "d")

    def pre_activation(self, bias: bool) -> gs.Tensor:
        """Emit f(x; w, b), or f(x; w, 0) without the bias."""
        if bias or self.bias is None:
            return self.z
        xs = [self.emit.read(tensor) for tensor in self.op.data(self.node)]
        return self.op.forward(self.emit, self.node, xs, self.weight, None)

    def inputs(self, index: int) -> list[gs.Tensor]:
        """Emit x' for every data input of a term."""
        mod = self.share.terms[index].x
        return [self.modify(mod, branch) for branch in range(len(self.op.data(self.node)))]

    def modify(self, mod: Mod, branch: int) -> gs.Tensor:
        """Emit mod(x) for one data input; unless literal, a constant of fixed size has batch 1, and is folded."""
        if (mod, branch) not in self._inputs:
            name = f"x:{branch}" if branch else "x"
            self._inputs[mod, branch] = self._modify(self.op.data(self.node)[branch], mod, name)
        return self._inputs[mod, branch]

    def _modify(self, x: gs.Tensor, mod: Mod, name: str) -> gs.Tensor:
        size = (static_shape(x) or (None,))[1:]
        if isinstance(mod, Fill) and None not in size and not self.literal:
            filling = self.emit.constant(per_channel(mod.value, len(size) + 1), f"{name}/value")
            return self.emit.op("Expand", [filling, self.emit.constant([1, *size], f"{name}/shape", np.int64)], name)
        return modify_input(self.emit, self.emit.read(x), mod, name)

    def scope(self, index: int) -> AbstractContextManager[None]:
        """Names of one term."""
        return self.emit.scope(f"term{index}" if len(self.share.terms) > 1 else "")

    def _shift(self, bias: gs.Tensor | None, shift: gs.Tensor) -> gs.Tensor:
        if bias is not None:
            return self.emit.op("Add", [bias, shift], "b/shifted")
        count = self.emit.constant([self.op.outputs(self.node)], "b/shape", np.int64)
        return self.emit.op("Expand", [shift, count], "b/shifted")


def add_signed(emit: Emitter, parts: Sequence[tuple[gs.Tensor, int]], name: str) -> gs.Tensor:
    """Emit the sum of (value, sign) pairs from left to right; the first sign is +."""
    total, sign = parts[0]
    assert sign > 0
    for index, (value, sign) in enumerate(parts[1:], start=1):
        last = index == len(parts) - 1
        total = emit.op("Add" if sign > 0 else "Sub", [total, value], name if last else f"{name}/{index}")
    return total
