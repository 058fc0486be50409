"""LRN: every value divided by a power of the mean square over the channels around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, like
from lrpc.ops.op import Op, dynamic_size
from lrpc.rules.sign import ANY, Sign
from passes.graph import size_of, static_shape


@dataclass(frozen=True)
class ResponseNorm(Op):
    """y = x / (bias + alpha * m)^beta, with m the sum of squares over `size` channels, divided by `size`."""

    def problem(self, node: gs.Node) -> str:
        shape = static_shape(node.inputs[0])
        if shape is not None and len(shape) != 4:
            return "ONNX Runtime normalises the channels of pictures only"
        if int(node.attrs["size"]) % 2 == 0:
            return "ONNX Runtime normalises over an odd number of channels only"
        return dynamic_size(node) or super().problem(node)

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        alpha, _, bias = _numbers(node)
        return inputs[0] if alpha >= 0 and bias > 0 else ANY

    def keeps_zero(self, node: gs.Node) -> bool:
        return True

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        """With d = bias + alpha * m:  R d^-beta - 2 alpha beta x M^T[R x d^(-beta - 1)], M the mean over channels."""
        alpha, beta, bias = _numbers(node)
        x, r = _stacked(emit, node, emit.read(node.inputs[0]), "x"), _stacked(emit, node, relevance, "relevance")

        def scaled(value: gs.Tensor, factor: float, name: str) -> gs.Tensor:
            return emit.op("Mul", [value, emit.constant(factor, f"{name}/factor")], name)

        mean = _channel_mean(emit, node, emit.op("Mul", [x, x], "square"), "mean")
        d = emit.op("Add", [scaled(mean, alpha, "mean/scaled"), emit.constant(bias, "bias")], "d")
        direct = emit.op("Div", [r, emit.op("Pow", [d, emit.constant(beta, "beta")], "power")], "direct")
        shared = emit.op("Div", [emit.op("Mul", [direct, x], "direct/x"), d], "shared")
        back = _channel_mean(emit, node, shared, "back")
        rest = scaled(emit.op("Mul", [x, back], "x/back"), 2 * alpha * beta, "rest")
        return [like(emit, emit.op("Sub", [direct, rest], "stacked"), node.inputs[0], "gradient")]


def _numbers(node: gs.Node) -> tuple[float, float, float]:
    """Return alpha, beta and bias."""
    defaults = (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    alpha, beta, bias = (float(node.attrs.get(name, default)) for name, default in defaults)
    return alpha, beta, bias


def _stacked(emit: Emitter, node: gs.Node, value: gs.Tensor, name: str) -> gs.Tensor:
    """Lay a picture out as one map whose rows are channels, so that a pool slides over these."""
    rows = emit.constant([0, 1, size_of(node.inputs[0], 1), -1], f"{name}/rows", np.int64)
    return emit.op("Reshape", [value, rows], f"{name}/stacked")


def _channel_mean(emit: Emitter, node: gs.Node, value: gs.Tensor, name: str) -> gs.Tensor:
    """Sum over the channels around each and divide by `size`; a channel is around those that are around it."""
    size = int(node.attrs["size"])
    half = size // 2
    window = {"kernel_shape": [size, 1], "strides": [1, 1], "pads": [half, 0, half, 0], "count_include_pad": 1}
    return emit.op("AveragePool", [value], name, **window)
