"""Sums and means over some axes of one tensor: linear maps without parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, expand_like
from lrpc.ops.op import LinearOp
from lrpc.rules.sign import Sign
from passes.graph import constant, static_shape


@dataclass(frozen=True)
class Reduction(LinearOp):
    """ReduceSum, or ReduceMean where `mean`, over constant axes behind the batch."""

    parametric: bool = False
    mean: bool = False

    def problem(self, node: gs.Node) -> str:
        if reason := super().problem(node):
            return reason
        axes = _axes(node)
        if not axes:
            return "it names no axes, and so reduces nothing"
        if 0 in axes:
            return "it reduces the batch, so that one sample's relevance would depend on another's"
        if self.mean and math.isinf(self._count(node)):
            return "the number of values that it averages is dynamic; give the model a fixed input size"
        return ""

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return inputs[0]

    def slope(self, node: gs.Node) -> float:
        return 1.0 if self.mean else self._count(node)

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        return emit.op(self.name, [*xs, emit.read(node.inputs[1])], "z", keepdims=node.attrs["keepdims"])

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        if self.mean:
            s = emit.op("Div", [s, emit.constant(self._count(node), "transpose/count")], "transpose/share")
        if not node.attrs["keepdims"]:
            s = emit.op("Unsqueeze", [s, emit.constant(_axes(node), "transpose/axes", np.int64)], "transpose/kept")
        return [s]

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        (share,) = self.transpose(emit, node, relevance, None)
        return [expand_like(emit, share, node.inputs[0], "transpose")]

    def _count(self, node: gs.Node) -> float:
        """Return how many values a result is made of, infinity where that is dynamic."""
        shape = static_shape(node.inputs[0]) or ()
        return math.prod(math.inf if (size := shape[axis]) is None else float(size) for axis in _axes(node))


def _axes(node: gs.Node) -> list[int]:
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if axes is None else [int(axis) for axis in axes]
