"""The reverse loop: from the seed at the output to the relevance at the input."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from lrpc.behaviours import meaning
from lrpc.behaviours.emission import Division
from lrpc.behaviours.relevance import Relevance
from lrpc.emit.emitter import Emitter
from lrpc.ops import OPS
from lrpc.plan.plan import Plan
from passes.graph import constant, depending


@dataclass(frozen=True)
class Passage:
    """What the relevance pass emitted for one layer.

    arriving: the relevance at its output.  handed: what it gives to each of its inputs that lead to the model's first.
    divisions: one for each share of a linear rule.
    """

    arriving: Relevance
    handed: list[Relevance]
    divisions: tuple[Division, ...]


def propagate(emit: Emitter, plan: Plan, seed: gs.Tensor) -> tuple[gs.Tensor, dict[str, Passage]]:
    """Emit the relevance pass; return the relevance at the input, and each layer's passage from the output down.

    A tensor that several layers read collects the relevance of all of them, here and nowhere else. Layers that do not
    depend on the first input are left out, and so is what others would hand to them.
    """
    known = depending(plan.graph)
    collected: dict[str, list[Relevance]] = {plan.graph.outputs[0].name: [Relevance(seed)]}
    passages: dict[str, Passage] = {}
    for node, row in zip(reversed(plan.graph.nodes), reversed(plan.rows), strict=True):
        if node.outputs[0].name not in known:
            continue
        op = OPS[node.op]
        with emit.layer(row.layer, row.rule.call):
            relevance = _collect(emit, collected.pop(node.outputs[0].name))
            emission = meaning(row.rule).emit(emit, row.rule, op, node, relevance)
        pairs = zip(op.data(node), emission.handed, strict=True)
        handed = [(t.name, value) for t, value in pairs if t.name in known or constant(t) is not None]
        passages[row.layer] = Passage(relevance, [value for _, value in handed], emission.divisions)
        for name, value in handed:
            collected.setdefault(name, []).append(value)
    entry = plan.graph.inputs[0]
    with emit.layer(entry.name, None):
        return _collect(emit, collected.pop(entry.name)).value(emit, "product"), passages


def _collect(emit: Emitter, values: list[Relevance]) -> Relevance:
    """Add up; relevance that is a product with one and the same factor stays one."""
    factors = {value.factor.name if value.factor is not None else "" for value in values}
    if len(values) == 1:
        return values[0]
    if len(factors) == 1:
        return Relevance(_sum(emit, [value.cotangent for value in values]), values[0].factor)
    return Relevance(_sum(emit, [value.value(emit, f"product{i}") for i, value in enumerate(values)]))


def _sum(emit: Emitter, tensors: list[gs.Tensor]) -> gs.Tensor:
    total = tensors[0]
    for index, tensor in enumerate(tensors[1:], start=1):
        total = emit.op("Add", [total, tensor], "arriving" if index == len(tensors) - 1 else f"arriving/{index}")
    return total
