"""BatchNormalization that no linear layer could absorb: x * scale + shift for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.ops.op import LinearOp, present
from passes.graph import constant, rank_of, values_of


@dataclass(frozen=True)
class BatchNorm(LinearOp):
    """scale = gamma / sqrt(var + epsilon), shift = beta - mean * scale."""

    def problem(self, node: gs.Node) -> str:
        if any(constant(tensor) is None for tensor in node.inputs[1:]):
            return "its statistics are computed from the input, not constants"
        return super().problem(node)

    def weight(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        return self._per_channel(emit, node, _scale(node), "scale")

    def bias(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        return self._per_channel(emit, node, np.asarray(self.values(node)[1]), "shift")

    def values(self, node: gs.Node) -> tuple[np.ndarray | None, np.ndarray | None]:
        beta, mean = (values_of(tensor).astype(np.float64) for tensor in node.inputs[2:4])
        return _scale(node), beta - mean * _scale(node)

    def slope(self, node: gs.Node) -> float:
        return float(np.abs(_scale(node)).max())

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        scaled = emit.op("Mul", present(*xs, w), "z/scaled" if b is not None else "z")
        return scaled if b is None else emit.op("Add", [scaled, b], "z")

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        return [emit.op("Mul", present(s, w), "transpose")]

    def _per_channel(self, emit: Emitter, node: gs.Node, values: np.ndarray, role: str) -> gs.Tensor:
        shaped = values.reshape(-1, *[1] * (rank_of(node.inputs[0]) - 2))
        return emit.share(f"{node.name}/{role}", lambda name: emit.constant(shaped, name))


def _scale(node: gs.Node) -> np.ndarray:
    gamma, var = (values_of(node.inputs[index]).astype(np.float64) for index in (1, 4))
    scale: np.ndarray = gamma / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
    return scale
