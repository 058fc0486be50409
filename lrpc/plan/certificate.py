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
from typing import Any, assert_never

import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.rule_signs import box_of, gamma_of, gates_its_own_z, one_side
from lrpc.ops import OPS, LinearOp, Op
from lrpc.ops.op import union
from lrpc.plan.facts import parameter_signs, signs
from lrpc.plan.plan import Plan
from lrpc.rules.algebra import KEEP, Rule, Share, Side, Test
from lrpc.rules.behaviours import (
    Behaviour,
    BodyOnly,
    Copy,
    Gradient,
    Pass,
    ReluBetaSmooth,
    ReluDeconvNet,
    ReluGuidedBackprop,
    SignalTakesAll,
    Uniform,
    WinnerTakeAll,
)
from lrpc.rules.sign import Sign
from lrpc.rules.stabilizer import shortest

PRACTICAL = 1e3
"""A larger bound for the whole network is finite, and says nothing."""


@dataclass(frozen=True)
class Bound:
    """limit: the most that a layer amplifies, infinity where nothing bounds it.

    condition: what must hold for that.  only: what bounds an unbounded layer instead.
    """

    limit: float
    condition: str = ""
    only: str = ""

    def __str__(self) -> str:
        if self == UNREACHED:
            return "no relevance"
        if math.isinf(self.limit):
            return f"unbounded ({self.only})" if self.only else "unbounded"
        return f"<= {self.limit:.4g}" + (f" {self.condition}" if self.condition else "")


UNREACHED = Bound(0.0, only="leads to another input")
"""Of a layer that does not depend on the input that relevance goes to: the graphs leave it out."""


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
        bounds[row.layer] = layer_bound(op, node, row.rule, inputs) if row.layer in reached else UNREACHED
        ways = max(growth.get(tensor.name, 0.0) for tensor in op.data(node))
        growth[node.outputs[0].name] = ways * bounds[row.layer].limit if ways else 0.0
    return Certificate(bounds, growth[plan.graph.outputs[0].name])


def layer_bound(op: Op, node: gs.Node, rule: Behaviour, inputs: list[Sign]) -> Bound:
    """Return the most that a layer can amplify, given the signs of its data inputs."""
    match rule:
        case Rule():
            assert isinstance(op, LinearOp)
            limit = _rule_bound(rule, inputs, *parameter_signs(op, node))
            return Bound(limit, _condition(rule), _only(rule, op.parametric) if math.isinf(limit) else "")
        case Gradient() | Copy():
            return Bound(op.slope(node))
        case Pass() | BodyOnly() | Uniform() | SignalTakesAll() | WinnerTakeAll():
            return Bound(1.0)
        case ReluDeconvNet() | ReluGuidedBackprop() | ReluBetaSmooth():
            return Bound(1.0)
        case _:
            assert_never(rule)


def _rule_bound(rule: Rule, inputs: list[Sign], weight: Sign, bias: Sign) -> float:
    one_signed = [_share_bound(share, rule.stabilizer.signed, inputs, weight, bias) for share in rule.shares]
    if None not in one_signed:
        limits = [limit for limit in one_signed if limit is not None]
        return max(limits) if _exclusive(rule) else math.fsum(limits)
    if box_of(rule) is not None:
        return 1.0
    gamma = gamma_of(rule)
    if gamma and rule.stabilizer.signed and gates_its_own_z(rule, bias):
        return (2 + gamma) / gamma
    return math.inf


def _exclusive(rule: Rule) -> bool:
    """Whether the gates of two shares let no unit through both."""
    gates = [share.gate for share in rule.shares]
    tests = {gate.test for gate in gates}
    disjoint = tests in ({Test.POSITIVE, Test.NEGATIVE}, {Test.NON_NEGATIVE, Test.NEGATIVE})
    return disjoint and len({gate.bias for gate in gates}) == 1


def _share_bound(share: Share, signed: bool, inputs: list[Sign], weight: Sign, bias: Sign) -> float | None:
    """Return |weight| where all numerators of a share, and its bias, have one sign; None where they differ."""
    side = one_side(share, union(inputs), weight, bias)
    if side is Side.POSITIVE or (signed and side is Side.NEGATIVE):
        return abs(share.weight)
    return None


def _condition(rule: Rule) -> str:
    return "for inputs within low and high" if box_of(rule) is not None else ""


def _only(rule: Rule, parametric: bool) -> str:
    """Say what bounds a rule that nothing else does: its numerators over the least that it divides by."""
    stabilizer = rule.stabilizer
    if not stabilizer.signed or stabilizer.can_vanish:
        return "its denominator can come as near to 0 as it likes"
    least = stabilizer.floor + (stabilizer.epsilon if stabilizer.scale == "none" else 0.0)
    weight = "" if not parametric else " w" if rule.shares[0].terms[0].w == KEEP else " w'"
    return f"sum |x{weight}| / {shortest(least)}"
