"""The product of two computed tensors: a signal and its gate, or two signals, be they of one input or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, like, zeros_like
from lrpc.ops.op import Op
from lrpc.rules.kinds import Kind
from lrpc.rules.sign import Sign
from passes.graph import constant, rank_of, shape_of, static_shape
from passes.graph.gates import gated_signal


@dataclass(frozen=True)
class Product(Op):
    """Mul with broadcasting: what arrives at the copies of a value adds up."""

    def kind_of(self, node: gs.Node) -> Kind:
        return Kind.PRODUCT if gated_signal(node) is None else Kind.GATE

    def data(self, node: gs.Node) -> list[gs.Tensor]:
        return list(node.inputs)

    def problem(self, node: gs.Node) -> str:
        if any(constant(tensor) is not None for tensor in node.inputs):
            return "combines the input with a constant in a way that no linear layer could take up"
        if reason := super().problem(node):
            return reason
        sizes = [_align(node, tensor) for tensor in node.inputs]
        whole = _align(node, node.outputs[0])
        if any(own != all_ and own != 1 for size in sizes for own, all_ in zip(size, whole, strict=True)):
            return "how its operands broadcast is not known; give the model's inputs a fixed shape"
        return ""

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return inputs[0] * inputs[1]

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        values = [emit.read(tensor) for tensor in node.inputs]
        slopes = [emit.op("Mul", [relevance, values[1 - i]], f"slope:{i}") for i in (0, 1)]
        return [_gather(emit, node, slope, i) for i, slope in enumerate(slopes)]

    def share_out(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        """Emit half of the relevance for each operand."""
        half = emit.op("Mul", [relevance, emit.constant(0.5, "half/number")], "half")
        return [_gather(emit, node, half, index) for index in (0, 1)]

    def to_signal(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor, signal: int) -> list[gs.Tensor]:
        """Emit all relevance for one operand, and zeros for the other."""
        gate = emit.read(node.inputs[1 - signal])
        nothing = zeros_like(emit, gate, "nothing")
        whole = _gather(emit, node, relevance, signal)
        return [whole if index == signal else nothing for index in (0, 1)]


def _align(node: gs.Node, tensor: gs.Tensor) -> list[int | str | None]:
    """Return a shape with the ones in front that broadcasting puts there."""
    return [1] * (rank_of(node.outputs[0]) - rank_of(tensor)) + shape_of(tensor)


def _gather(emit: Emitter, node: gs.Node, relevance: gs.Tensor, index: int) -> gs.Tensor:
    """Emit the sum over all axes along which an operand was copied, shaped as the operand."""
    tensor, whole = node.inputs[index], shape_of(node.outputs[0])
    sizes = _align(node, tensor)
    axes = [axis for axis, (own, size) in enumerate(zip(sizes, whole, strict=True)) if own != size]
    if axes:
        over = emit.constant(axes, f"gathered:{index}/axes", np.int64)
        relevance = emit.op("ReduceSum", [relevance, over], f"gathered:{index}/sum", keepdims=1)
    if len(static_shape(tensor) or ()) == len(whole):
        return relevance
    return like(emit, relevance, tensor, f"gathered:{index}")
