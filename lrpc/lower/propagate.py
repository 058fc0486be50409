"""The reverse loop: from the seed at the output to the relevance at the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import onnx_graphsurgeon as gs

from lrpc.algebra import (
    Behaviour,
    BodyOnly,
    Copy,
    Gradient,
    Pass,
    ReluBetaSmooth,
    ReluDeconvNet,
    ReluGuidedBackprop,
    Rule,
    WinnerTakeAll,
)
from lrpc.emitter import Emitter
from lrpc.lower.linear import lower_rule
from lrpc.ops import OPS, LinearOp
from lrpc.ops.structure import Sum
from lrpc.plan import Plan


@dataclass(frozen=True)
class Passage:
    """What the relevance pass emitted for one layer.

    arriving: the relevance at its output.  handed: what it gives to each of its inputs.
    divisions: each share's stabilized denominator, and the quotient behind its gate.
    """

    arriving: gs.Tensor
    handed: list[gs.Tensor]
    divisions: list[tuple[gs.Tensor, gs.Tensor]]


def propagate(emit: Emitter, plan: Plan, seed: gs.Tensor) -> tuple[gs.Tensor, dict[str, Passage]]:
    """Emit the relevance pass; return the relevance at the input, and each layer's passage from the output down.

    A tensor that several layers read collects the relevance of all of them, here and nowhere else.
    """
    collected: dict[str, list[gs.Tensor]] = {plan.graph.outputs[0].name: [seed]}
    passages: dict[str, Passage] = {}
    for node, row in zip(reversed(plan.graph.nodes), reversed(plan.rows), strict=True):
        before = len(emit.divisions)
        with emit.layer(row.layer, str(row.rule)):
            relevance = _collect(emit, collected.pop(node.outputs[0].name))
            handed = _lower(emit, node, row.rule, relevance)
        passages[row.layer] = Passage(relevance, handed, emit.divisions[before:])
        for tensor, value in zip(OPS[node.op].data(node), handed, strict=True):
            collected.setdefault(tensor.name, []).append(value)
    (entry,) = plan.graph.inputs
    with emit.layer(entry.name, ""):
        return _collect(emit, collected.pop(entry.name)), passages


def _collect(emit: Emitter, values: list[gs.Tensor]) -> gs.Tensor:
    total = values[0]
    for index, value in enumerate(values[1:], start=1):
        total = emit.op("Add", [total, value], "arriving" if index == len(values) - 1 else f"arriving/{index}")
    return total


def _lower(emit: Emitter, node: gs.Node, rule: Behaviour, relevance: gs.Tensor) -> list[gs.Tensor]:
    op = OPS[node.op]
    match rule:
        case Rule():
            assert isinstance(op, LinearOp)
            return lower_rule(emit, op, node, rule, relevance)
        case Pass():
            return [relevance]
        case Gradient() | Copy() | WinnerTakeAll():
            return op.gradient(emit, node, relevance)
        case BodyOnly():
            assert isinstance(op, Sum)
            return op.to_body(emit, node, relevance)
        case ReluDeconvNet():
            return [emit.op("Relu", [relevance], "relevance")]
        case ReluGuidedBackprop():
            return op.gradient(emit, node, emit.op("Relu", [relevance], "positive"))
        case ReluBetaSmooth(beta):
            scaled = emit.op("Mul", [emit.read(node.inputs[0]), emit.constant(beta, "beta")], "scaled")
            slope = emit.op("Sigmoid", [scaled], "slope")
            return [emit.op("Mul", [relevance, slope], "relevance")]
        case _:
            assert_never(rule)
