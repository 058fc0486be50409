"""One row a behaviour: where it fits, what bounds it, where it sends relevance, its nodes.

A new behaviour is a value in `lrpc.rules.behaviours`, a row here with its line of `MEANINGS`, and its formula in the
oracle, which shares no code with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_graphsurgeon as gs

from lrpc.behaviours.bound import Bound
from lrpc.behaviours.emission import Emission
from lrpc.behaviours.linear.meaning import Linear
from lrpc.behaviours.meaning import B, Meaning
from lrpc.behaviours.relevance import Relevance, plain
from lrpc.behaviours.support import NOWHERE, Support
from lrpc.emit.emitter import Emitter, zeros_like
from lrpc.ops import Op, Selection
from lrpc.ops.product import Product
from lrpc.ops.structure import Sum
from lrpc.rules.behaviours import (
    Behaviour,
    BodyOnly,
    Copy,
    Gradient,
    Pass,
    ReluBetaSmooth,
    ReluDeconvNet,
    ReluGuidedBackprop,
    Rule,
    SignalTakesAll,
    Uniform,
    WinnerTakeAll,
)
from lrpc.rules.kinds import Kind
from lrpc.rules.sign import Sign
from passes.graph.branches import body_branch
from passes.graph.gates import gated_signal


class _Plain(Meaning[B]):
    """What most of them are: never more relevance than arrives, of which nothing is known at the input."""

    def bound(self, rule: B, op: Op, node: gs.Node, inputs: Sequence[Sign]) -> Bound:
        return Bound(1.0)

    def support(self, rule: B, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return Support.ANYWHERE

    def emit(self, emit: Emitter, rule: B, op: Op, node: gs.Node, arriving: Relevance) -> Emission:
        return Emission(plain(self.hand_down(emit, rule, op, node, arriving.value(emit, "product"))))

    def hand_down(self, emit: Emitter, rule: B, op: Op, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        """Emit the same from the relevance as one tensor; by default the gradient."""
        return op.gradient(emit, node, relevance)


class _Pass(_Plain[Pass]):
    def misfit(self, rule: Pass, op: Op, node: gs.Node) -> str:
        return "" if op.elementwise else f"{op.name} changes the shape of its input; pass needs an elementwise layer"

    def support(self, rule: Pass, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return arriving if isinstance(op, Selection) else _behind_zero(op, node, arriving)

    def emit(self, emit: Emitter, rule: Pass, op: Op, node: gs.Node, arriving: Relevance) -> Emission:
        return Emission([arriving])


class _Gradient(_Plain[Gradient]):
    def misfit(self, rule: Gradient, op: Op, node: gs.Node) -> str:
        return ""

    def bound(self, rule: Gradient, op: Op, node: gs.Node, inputs: Sequence[Sign]) -> Bound:
        return Bound(op.slope(node))

    def support(self, rule: Gradient, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        if isinstance(op, Selection):
            return arriving
        return Support.POSITIVE if op.clamps(node) else _behind_zero(op, node, arriving)  # 0 is where it is flat

    def emit(self, emit: Emitter, rule: Gradient, op: Op, node: gs.Node, arriving: Relevance) -> Emission:
        return Emission([arriving]) if op.copies else super().emit(emit, rule, op, node, arriving)


class _WinnerTakeAll(_Plain[WinnerTakeAll]):
    def misfit(self, rule: WinnerTakeAll, op: Op, node: gs.Node) -> str:
        return "" if op.kind is Kind.MAX_POOL else "winner_take_all is for max pools"

    def support(self, rule: WinnerTakeAll, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return arriving


class _Copy(_Plain[Copy]):
    def misfit(self, rule: Copy, op: Op, node: gs.Node) -> str:
        return "" if op.kind is Kind.SUM else "copy is for sums"

    def bound(self, rule: Copy, op: Op, node: gs.Node, inputs: Sequence[Sign]) -> Bound:
        return Bound(op.slope(node))


class _BodyOnly(_Plain[BodyOnly]):
    def misfit(self, rule: BodyOnly, op: Op, node: gs.Node) -> str:
        if not isinstance(op, Sum):
            return "body_only is for sums of branches"
        if body_branch(node) is None:
            return "its branches have equally many layers, so that none is the body"
        return ""

    def support(self, rule: BodyOnly, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return NOWHERE if index != body_branch(node) else Support.ANYWHERE

    def hand_down(self, emit: Emitter, rule: BodyOnly, op: Op, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        nothing = zeros_like(emit, relevance, "nothing")
        nothing.dtype, nothing.shape = node.outputs[0].dtype, node.outputs[0].shape
        body = body_branch(node)
        return [relevance if index == body else nothing for index in range(len(node.inputs))]


class _OfProduct(_Plain[B]):
    def misfit(self, rule: B, op: Op, node: gs.Node) -> str:
        return "" if op.kind is Kind.PRODUCT else f"{rule} is for products of two computed tensors"

    def support(self, rule: B, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return min(arriving, Support.NONZERO)  # where a product is not 0, neither is an operand


class _Uniform(_OfProduct[Uniform]):
    def hand_down(self, emit: Emitter, rule: Uniform, op: Op, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        assert isinstance(op, Product)
        return op.share_out(emit, node, relevance)


class _SignalTakesAll(_OfProduct[SignalTakesAll]):
    def misfit(self, rule: SignalTakesAll, op: Op, node: gs.Node) -> str:
        if reason := super().misfit(rule, op, node):
            return reason
        if rule.signal is None and gated_signal(node) is None:
            return "neither operand is known to be a gate of the other; say which is the signal: gate(signal=0)"
        return ""

    def settle(self, rule: SignalTakesAll, node: gs.Node) -> Behaviour:
        return SignalTakesAll(gated_signal(node)) if rule.signal is None else rule

    def support(self, rule: SignalTakesAll, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return NOWHERE if index != rule.signal else super().support(rule, op, node, index, arriving)

    def hand_down(
        self, emit: Emitter, rule: SignalTakesAll, op: Op, node: gs.Node, relevance: gs.Tensor
    ) -> list[gs.Tensor]:
        assert isinstance(op, Product)
        assert rule.signal is not None
        return op.to_signal(emit, node, relevance, rule.signal)


class _OfRelu(_Plain[B]):
    def misfit(self, rule: B, op: Op, node: gs.Node) -> str:
        return "" if op.name == "Relu" else "the ReLU rules are for Relu"

    def support(self, rule: B, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return _behind_zero(op, node, arriving)


class _ReluDeconvNet(_OfRelu[ReluDeconvNet]):
    def hand_down(
        self, emit: Emitter, rule: ReluDeconvNet, op: Op, node: gs.Node, relevance: gs.Tensor
    ) -> list[gs.Tensor]:
        return [emit.op("Relu", [relevance], "relevance")]


class _ReluGuidedBackprop(_OfRelu[ReluGuidedBackprop]):
    def support(self, rule: ReluGuidedBackprop, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        return Support.POSITIVE  # its derivative is 0 elsewhere

    def hand_down(
        self, emit: Emitter, rule: ReluGuidedBackprop, op: Op, node: gs.Node, relevance: gs.Tensor
    ) -> list[gs.Tensor]:
        return op.gradient(emit, node, emit.op("Relu", [relevance], "positive"))


class _ReluBetaSmooth(_OfRelu[ReluBetaSmooth]):
    def hand_down(
        self, emit: Emitter, rule: ReluBetaSmooth, op: Op, node: gs.Node, relevance: gs.Tensor
    ) -> list[gs.Tensor]:
        scaled = emit.op("Mul", [emit.read(node.inputs[0]), emit.constant(rule.beta, "beta")], "scaled")
        return [emit.op("Mul", [relevance, emit.op("Sigmoid", [scaled], "slope")], "relevance")]


def _behind_zero(op: Op, node: gs.Node, arriving: Support) -> Support:
    """Return the support below an elementwise layer: where the output is not 0, the input is not either."""
    if arriving is Support.ANYWHERE or not op.keeps_zero(node):
        return Support.ANYWHERE
    return Support.POSITIVE if op.clamps(node) else Support.NONZERO


MEANINGS: dict[type[Any], Meaning[Any]] = {
    Rule: Linear(),
    Pass: _Pass(),
    Gradient: _Gradient(),
    Copy: _Copy(),
    BodyOnly: _BodyOnly(),
    Uniform: _Uniform(),
    SignalTakesAll: _SignalTakesAll(),
    WinnerTakeAll: _WinnerTakeAll(),
    ReluDeconvNet: _ReluDeconvNet(),
    ReluGuidedBackprop: _ReluGuidedBackprop(),
    ReluBetaSmooth: _ReluBetaSmooth(),
}


def meaning(rule: Behaviour) -> Meaning[Any]:
    """Return the row of a behaviour."""
    return MEANINGS[type(rule)]
