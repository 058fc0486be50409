"""What a plan guarantees before it runs: how much each layer, and the whole network, can amplify relevance.

A layer's amplification is sum |R_in| / sum |R_out|: the relevance that it hands to its inputs over what
arrives at its output. Its bound follows from the rule's algebra and the signs of input and weights: where
all numerators under a denominator have one sign, their quotients add up to at most 1. The network's
bound is the largest product of the layers' bounds along any way from the output to the input.

In float32 a bound holds but for rounding where every quotient R / st(d) is 0 or a normal number. Below 1.2e-38
quotients are multiples of 1.4e-45, and rounding to these can double what a layer hands down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lrpc.behaviours import meaning
from lrpc.behaviours.bound import UNREACHED, Bound
from lrpc.ops import OPS
from lrpc.plan.facts import signs
from lrpc.plan.plan import Plan

PRACTICAL = 1e3
"""A larger bound for the whole network is finite, and says nothing."""


@dataclass(frozen=True)
class Certificate:
    """The bound of each layer by name, in execution order, and that of the whole network."""

    layers: dict[str, Bound]
    network: float

    @property
    def unbounded(self) -> list[str]:
        """The layers that nothing bounds."""
        return [layer for layer, bound in self.layers.items() if math.isinf(bound.limit)]

    @property
    def verdict(self) -> str:
        """The guarantee in one sentence."""
        if self.unbounded:
            shown = ", ".join(self.unbounded[:5]) + (", ..." if len(self.unbounded) > 5 else "")
            return f"unbounded at {len(self.unbounded)} layers: {shown}"
        conditions = dict.fromkeys(bound.condition for bound in self.layers.values() if bound.condition)
        where = "".join(f", {condition}" for condition in conditions)
        if self.network > PRACTICAL:
            return f"unbounded in practice: sum |R_in| <= 10^{math.log10(self.network):.1f} x sum |R_out|{where}"
        return f"bounded: sum |R_in| <= {self.network:.4g} x sum |R_out|{where}"

    def to_dict(self) -> dict[str, Any]:
        """Return {"verdict", "bound", "bounds": {layer: {"limit", "condition", "only"}}}; None stands for no limit."""

        def finite(value: float) -> float | None:
            return value if math.isfinite(value) else None

        bounds = {
            layer: {"limit": finite(bound.limit), "condition": bound.condition, "only": bound.only}
            for layer, bound in self.layers.items()
        }
        return {"verdict": self.verdict, "bound": finite(self.network), "bounds": bounds}


def certify(plan: Plan) -> Certificate:
    """Bound the amplification of every layer of a plan, and of the network as a whole."""
    known = signs(plan.graph)
    bounds: dict[str, Bound] = {}
    growth, reached = {plan.graph.inputs[0].name: 1.0}, plan.reached
    for node, row in zip(plan.graph.nodes, plan.rows, strict=True):
        op = OPS[node.op]
        inputs = [known[tensor.name] for tensor in op.data(node)]
        bounds[row.layer] = meaning(row.rule).bound(row.rule, op, node, inputs) if row.layer in reached else UNREACHED
        ways = max(growth.get(tensor.name, 0.0) for tensor in op.data(node))
        growth[node.outputs[0].name] = ways * bounds[row.layer].limit if ways else 0.0
    return Certificate(bounds, growth[plan.graph.outputs[0].name])
