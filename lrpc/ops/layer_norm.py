"""LayerNormalization: every value less the mean over the normalised axes, times a factor of the position, scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.ops.op import Op
from passes.graph import constant, rank_of


@dataclass(frozen=True)
class LayerNorm(Op):
    """y = (x - mean) / sqrt(var + epsilon) * scale + shift, over the axes from `axis` on."""

    def problem(self, node: gs.Node) -> str:
        if any(constant(tensor) is None for tensor in node.inputs[1:] if not tensor.is_empty()):
            return "its scale or shift is computed from the input, not a constant"
        if any(output.outputs for output in node.outputs[1:]):
            return "its mean or deviation is read by another layer"
        return super().problem(node)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        """With g = R scale, n the normalised x and k its factor: k (g - mean(g) - n mean(g n))."""
        rank = rank_of(node.inputs[0])
        axes = emit.constant(list(range(int(node.attrs.get("axis", -1)) % rank, rank)), "axes", np.int64)

        def centred(value: gs.Tensor, name: str) -> gs.Tensor:
            return emit.op("Sub", [value, _mean(emit, value, axes, f"{name}/mean")], name)

        shifted = centred(emit.read(node.inputs[0]), "shifted")
        variance = _mean(emit, emit.op("Mul", [shifted, shifted], "square"), axes, "variance")
        epsilon = emit.constant(node.attrs.get("epsilon", 1e-5), "normal_epsilon")
        deviation = emit.op("Sqrt", [emit.op("Add", [variance, epsilon], "variance/shifted")], "deviation")
        normal = emit.op("Div", [shifted, deviation], "normal")
        g = emit.op("Mul", [relevance, emit.read(node.inputs[1])], "g")
        along = _mean(emit, emit.op("Mul", [g, normal], "g/normal"), axes, "along")
        rest = emit.op("Sub", [centred(g, "g/centred"), emit.op("Mul", [normal, along], "along/normal")], "rest")
        return [emit.op("Div", [rest, deviation], "gradient")]


def _mean(emit: Emitter, value: gs.Tensor, axes: gs.Tensor, name: str) -> gs.Tensor:
    return emit.op("ReduceMean", [value, axes], name, keepdims=1)
