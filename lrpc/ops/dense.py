"""Gemm as a dense layer: a matrix of (batch, features) times a constant weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.ops.op import LinearOp, parameter, present, reversed_weight
from passes.graph import constant, producer, size_of, static_shape, values_of


@dataclass(frozen=True)
class Dense(LinearOp):
    """Gemm without scales on a plain left operand; the weight is (in, out), or (out, in) with transB."""

    def problem(self, node: gs.Node) -> str:
        bias = parameter(node, 2)
        if constant(node.inputs[1]) is None or (bias is not None and constant(bias) is None):
            return "its weight or bias is computed from the input, not a constant"
        scales = (node.attrs.get("alpha", 1.0), node.attrs.get("beta", 1.0))
        if node.attrs.get("transA", 0) or scales != (1.0, 1.0):
            return "it transposes its input or scales its operands (transA, alpha, beta)"
        return super().problem(node)

    def weight(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        return emit.read(node.inputs[1])

    def bias(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        bias = parameter(node, 2)
        return None if bias is None else emit.read(bias)

    def values(self, node: gs.Node) -> tuple[np.ndarray | None, np.ndarray | None]:
        bias = parameter(node, 2)
        return constant(node.inputs[1]), None if bias is None else constant(bias)

    def outputs(self, node: gs.Node) -> int | None:
        return size_of(node.inputs[1], 0 if node.attrs.get("transB", 0) else 1)

    def input_shape(self, node: gs.Node) -> list[int] | None:
        return [1, -1] if node.attrs.get("transB", 0) else [-1, 1]

    def rows(self, node: gs.Node) -> tuple[int | None, ...] | None:
        before = producer(node.inputs[0])
        if before is None or before.name != f"{node.name}.flatten":
            return None
        return (*(static_shape(before.inputs[0]) or ())[:-1], self.outputs(node))

    def slope(self, node: gs.Node) -> float:
        inputs = 1 if node.attrs.get("transB", 0) else 0
        return float(np.abs(values_of(node.inputs[1])).sum(axis=inputs, dtype=np.float64).max())

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        return emit.op("Gemm", present(*xs, w, b), "z", transB=node.attrs.get("transB", 0))

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        turned = reversed_weight(emit, w)
        return [emit.op("Gemm", present(s, turned), "transpose", transB=1 - node.attrs.get("transB", 0))]
