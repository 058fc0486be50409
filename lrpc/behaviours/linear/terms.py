"""The terms of a simplified share on one layer, each computed once and only if something reads it."""

from __future__ import annotations

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
    """emit, op, node, share: where and what.  z: the layer's own output."""

    def __init__(self, emit: Emitter, op: LinearOp, node: gs.Node, share: Share) -> None:
        self.emit, self.op, self.node, self.share = emit, op, node, share
        self.weight, self.bias = op.weight(emit, node), op.bias(emit, node)
        self.layout = Layout.of(op, node)
        if self.layout.rows is not None and all(isinstance(term.x, Fill) for term in share.terms):
            self.layout = Layout(self.layout.rank, (*[1] * (len(self.layout.rows) - 1), self.layout.rows[-1]))
        self._inputs: dict[tuple[Mod, int], gs.Tensor] = {}

    @property
    def z(self) -> gs.Tensor:
        """The layer's own output."""
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
                b = self._shifted(b, shift)
            return self.op.forward(self.emit, self.node, self.inputs(index), w, b)

    def inputs(self, index: int) -> list[gs.Tensor]:
        """Emit x' for every data input of a term."""
        mod = self.share.terms[index].x
        return [self.modified(mod, branch) for branch in range(len(self.op.data(self.node)))]

    def modified(self, mod: Mod, branch: int) -> gs.Tensor:
        """Emit mod(x) for one data input; a constant has batch 1, so that it is folded where its size is fixed."""
        if (mod, branch) not in self._inputs:
            name = f"x:{branch}" if branch else "x"
            self._inputs[mod, branch] = self._modified(self.op.data(self.node)[branch], mod, name)
        return self._inputs[mod, branch]

    def _modified(self, x: gs.Tensor, mod: Mod, name: str) -> gs.Tensor:
        size = (static_shape(x) or (None,))[1:]
        if isinstance(mod, Fill) and None not in size:
            filling = self.emit.constant(per_channel(mod.value, len(size) + 1), f"{name}/value")
            return self.emit.op("Expand", [filling, self.emit.constant([1, *size], f"{name}/shape", np.int64)], name)
        return modify_input(self.emit, self.emit.read(x), mod, name)

    def scope(self, index: int) -> AbstractContextManager[None]:
        """Names of one term."""
        return self.emit.scope(f"term{index}" if len(self.share.terms) > 1 else "")

    def _shifted(self, bias: gs.Tensor | None, shift: gs.Tensor) -> gs.Tensor:
        if bias is not None:
            return self.emit.op("Add", [bias, shift], "b/shifted")
        count = self.emit.constant([self.op.outputs(self.node)], "b/shape", np.int64)
        return self.emit.op("Expand", [shift, count], "b/shifted")
