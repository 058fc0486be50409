"""The oracle: every rule as its formula, term by term, in float64, with Jacobians from autograd.

It is slow and plain on purpose. It takes a canonized graph and the rule of each layer, shares no code
with the lowering, and is what the lowering is proved against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import onnx_graphsurgeon as gs
import torch

from lrpc.reference.forward import FORWARD, MULTIPLE, UNWEIGHTED, WEIGHTED_AS
from lrpc.rules.algebra import (
    Abs,
    Boost,
    Fill,
    Gate,
    Keep,
    Mod,
    Neg,
    Pos,
    Rule,
    Scaled,
    Share,
    Side,
    Square,
    Term,
    Test,
    Zero,
)
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
from lrpc.rules.stabilizer import Stabilizer
from passes.errors import LrpcError, Problem
from passes.graph import Graph, constant, producer, sizes_of
from passes.graph.branches import body_branch

Tensor = torch.Tensor


@dataclass(frozen=True)
class ReferenceResult:
    """What a reference computed, by layer name.

    activations: each layer's output.  arriving: the relevance arriving at each layer's output.
    note: what was done to the model so that the reference can explain it, "" where nothing was.
    """

    output: np.ndarray
    relevance: np.ndarray
    activations: dict[str, np.ndarray]
    arriving: dict[str, np.ndarray]
    note: str = ""


class Oracle:
    """Relevance by definition.

    graph: canonized, one output; relevance is that at its first input.  behaviours: every layer's rule by name.
    Raises LrpcError naming each layer whose op it does not know.
    """

    def __init__(self, graph: Graph, behaviours: Mapping[str, Behaviour], dtype: torch.dtype = torch.float64) -> None:
        self.graph, self.behaviours, self.dtype = graph, behaviours, dtype
        unknown = [
            Problem(n.name, n.op, "the oracle does not know this op") for n in graph.nodes if n.op not in FORWARD
        ]
        if unknown:
            raise LrpcError(f"{graph.name} has ops that the oracle does not know.", unknown)
        self._constants: dict[str, Tensor] = {}

    def __call__(
        self, x: np.ndarray, seed: np.ndarray, others: Mapping[str, np.ndarray] | None = None
    ) -> ReferenceResult:
        """Explain a batch: x shaped as the first input, seed as the output.  others: the further inputs, by name."""
        given = {self.graph.inputs[0].name: x, **(others or {})}
        values = {name: torch.as_tensor(np.asarray(value)).to(self.dtype) for name, value in given.items()}
        with torch.no_grad():
            for node in self.graph.nodes:
                values[node.outputs[0].name] = self._layer(node)(self._inputs(node, values))
        arriving = self.backward(values, torch.as_tensor(np.asarray(seed)).to(self.dtype))
        outputs = {node.name: node.outputs[0].name for node in self.graph.nodes}
        return ReferenceResult(
            output=values[self.graph.outputs[0].name].numpy(),
            relevance=arriving[self.graph.inputs[0].name].numpy(),
            activations={layer: values[name].numpy() for layer, name in outputs.items()},
            arriving={layer: arriving[name].numpy() for layer, name in outputs.items()},
        )

    def backward(self, values: Mapping[str, Tensor], seed: Tensor) -> dict[str, Tensor]:
        """Explain a forward pass, whoever ran it.

        values: the input and each layer's output, by tensor.  Returns what arrives at each of them.
        """
        arriving = {self.graph.outputs[0].name: seed}
        for node in reversed(self.graph.nodes):
            for name, part in self.handed(node, values, arriving[node.outputs[0].name]):
                arriving[name] = arriving[name] + part if name in arriving else part
        return arriving

    def handed(self, node: gs.Node, values: Mapping[str, Tensor], relevance: Tensor) -> list[tuple[str, Tensor]]:
        """Return what a layer hands to each of its inputs, with the input's name, given what arrives at it."""
        rule, output = self.behaviours[node.name], values[node.outputs[0].name]
        parts = explain_layer(self._layer(node), rule, self._inputs(node, values), relevance, output)
        return [(tensor.name, part) for tensor, part in zip(node.inputs, parts, strict=False)]

    def _inputs(self, node: gs.Node, values: Mapping[str, Tensor]) -> list[Tensor]:
        data = node.inputs if node.op in MULTIPLE else node.inputs[:1]
        return [values[tensor.name] for tensor in data]

    def _layer(self, node: gs.Node) -> Layer:
        data = len(node.inputs) if node.op in MULTIPLE else 1
        parameters = [self._constant(tensor) for tensor in node.inputs[data:]]
        body = body_branch(node) if node.op == "Sum" else None
        return Layer(node.op, dict(node.attrs), parameters, body, _positions(node))

    def _constant(self, tensor: gs.Tensor) -> Tensor:
        if tensor.is_empty():
            return torch.empty(0)
        if tensor.name not in self._constants:
            values = constant(tensor)
            assert values is not None
            parameter = torch.from_numpy(np.array(values))
            floating = parameter.is_floating_point()
            self._constants[tensor.name] = parameter.to(self.dtype) if floating else parameter
        return self._constants[tensor.name]


@dataclass(frozen=True)
class Layer:
    """One op with its parameters: weight first, then bias, for linear ones."""

    op: str
    attributes: dict[str, Any]
    parameters: list[Tensor]
    body: int | None = None
    """Which input of a sum is the residual block's body."""
    positions: tuple[int, ...] = ()
    """The axes between batch and features that a dense layer has in the model, where its rows are all of them."""

    def __call__(self, xs: list[Tensor]) -> Tensor:
        """Compute the layer."""
        return FORWARD[self.op]([*xs, *self.parameters], self.attributes)

    def linear(self, xs: list[Tensor], w: Mod, b: Mod) -> Tensor:
        """Compute f(xs; w', b') with the parameters modified."""
        if self.op in UNWEIGHTED:
            return self(xs)
        form, parameters = FORWARD[self.op], self.parameters
        if self.op in WEIGHTED_AS:
            form, read = WEIGHTED_AS[self.op]
            parameters = read(parameters, self.attributes)
        weight = [modified(p, w) for p in parameters[:1]]
        bias = [modified(p, b) for p in parameters[1:] if p.numel()]
        return form([*xs, *weight, *bias], self.attributes)


def _positions(node: gs.Node) -> tuple[int, ...]:
    flatten = producer(node.inputs[0]) if node.op == "Gemm" else None
    if flatten is None or flatten.name != f"{node.name}.flatten":
        return ()
    return tuple(sizes_of(flatten.inputs[0], 1)[:-1])


def explain_layer(  # noqa: C901  # a line for each member of a closed union
    layer: Layer, rule: Behaviour, xs: list[Tensor], relevance: Tensor, output: Tensor
) -> list[Tensor]:
    """Return the relevance that a layer hands to each of its inputs."""
    match rule:
        case Rule():
            return linear_rule(layer, rule, xs, relevance)
        case Pass():
            return [relevance]
        case Gradient() | WinnerTakeAll():
            return vector_jacobian(layer, xs, relevance)
        case Copy() if layer.op != "Sum":
            return vector_jacobian(layer, xs, relevance)
        case Copy():
            return [relevance for _ in xs]
        case BodyOnly():
            return [relevance if i == layer.body else torch.zeros_like(relevance) for i in range(len(xs))]
        case Uniform():
            return [unbroadcast(relevance / len(xs), x) for x in xs]
        case SignalTakesAll(signal):
            return [unbroadcast(relevance, x) if i == signal else torch.zeros_like(x) for i, x in enumerate(xs)]
        case ReluDeconvNet():
            return [relevance.clamp(min=0)]
        case ReluGuidedBackprop():
            return [relevance.clamp(min=0) * (xs[0] > 0)]
        case ReluBetaSmooth(beta):
            return [relevance * torch.sigmoid(beta * xs[0])]
        case _:
            assert_never(rule)


def linear_rule(layer: Layer, rule: Rule, xs: list[Tensor], relevance: Tensor) -> list[Tensor]:
    """R_in = sum over shares  weight * sum over terms  sign * x' * J_{w'}^T[gate * R / st(d)]."""
    totals = [torch.zeros_like(x) for x in xs]
    for share in rule.shares:
        inputs, outputs = [], []
        with torch.enable_grad():
            for term in share.terms:
                inputs.append([modified(x, term.x).detach().requires_grad_() for x in xs])
                outputs.append(layer.linear(inputs[-1], term.w, term.b))
        signs = [sign_of(term, z.detach()) for term, z in zip(share.terms, outputs, strict=True)]
        d = torch.stack([s * z.detach() for s, z in zip(signs, outputs, strict=True)]).sum(dim=0)
        whole = d.reshape(-1, *layer.positions, d.shape[-1]) if layer.positions else d
        divisor = stabilized(whole, rule.stabilizer, share.side).reshape(d.shape)
        s = quotient(relevance, divisor) * gate(layer, share, xs)
        for sign, x_mod, z in zip(signs, inputs, outputs, strict=True):
            for total, x_i, c in zip(totals, x_mod, torch.autograd.grad(z, x_mod, sign * s), strict=True):
                total += share.weight * x_i.detach() * c
        if rule.share_bias:
            for total, part in zip(totals, bias_parts(layer, share, xs, s), strict=True):
                total += share.weight * part
    return totals


def sign_of(term: Term, z: Tensor) -> Tensor:
    """A term's sign: one for all units, or where it follows its output z that of z, +1 at 0."""
    ones = torch.ones_like(z)
    return term.sign * (torch.where(z >= 0, ones, -ones) if term.follows else ones)


def bias_parts(layer: Layer, share: Share, xs: list[Tensor], s: Tensor) -> list[Tensor]:
    """What the bias earns, b' * s, in equal parts for the inputs that an output sees: J_1^T[b' * s / f(1; 1, 0)]."""
    nothing = [torch.zeros_like(x) for x in xs]
    bias = torch.stack([term.sign * layer.linear(nothing, term.w, term.b) for term in share.terms]).sum(dim=0)
    with torch.enable_grad():
        ones = [torch.ones_like(x).requires_grad_() for x in xs]
        count = layer.linear(ones, Fill(1.0), Zero())
    portion = quotient(bias * s, count.detach())
    return list(torch.autograd.grad(count, ones, portion))


def unbroadcast(relevance: Tensor, x: Tensor) -> Tensor:
    """Add up what arrives at all the copies of a value that broadcasting made."""
    return relevance.sum_to_size(x.shape)


def vector_jacobian(layer: Layer, xs: list[Tensor], relevance: Tensor) -> list[Tensor]:
    """J^T R."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in xs]
        return list(torch.autograd.grad(layer(inputs), inputs, relevance))


def modified(value: Tensor, mod: Mod) -> Tensor:  # noqa: C901  # a line for each member of a closed union
    """mod(v)."""
    match mod:
        case Keep():
            return value
        case Pos():
            return value.clamp(min=0)
        case Neg():
            return value.clamp(max=0)
        case Abs():
            return value.abs()
        case Zero():
            return torch.zeros_like(value)
        case Square():
            return value**2
        case Boost(gamma, part):
            return value + gamma * modified(value, part)
        case Scaled(factor, part):
            return factor * modified(value, part)
        case Fill(number):
            filling = torch.tensor(number, dtype=value.dtype)
            if filling.ndim:
                filling = filling.reshape(1, -1, *[1] * (value.ndim - 2))
            return filling.expand_as(value).clone()
        case _:
            assert_never(mod)


def gate(layer: Layer, share: Share, xs: list[Tensor]) -> Tensor:
    """1 where the share's gate lets relevance through, else 0."""
    if share.gate == Gate():
        return torch.ones((), dtype=xs[0].dtype)
    z = layer.linear(xs, Keep(), Keep() if share.gate.bias else Zero())
    tests = {
        Test.ALWAYS: torch.ones_like(z, dtype=torch.bool),
        Test.POSITIVE: z > 0,
        Test.NON_NEGATIVE: z >= 0,
        Test.NEGATIVE: z < 0,
        Test.NONZERO: z != 0,
    }
    return tests[share.gate.test].to(z)


def stabilized(d: Tensor, stabilizer: Stabilizer, side: Side = Side.EITHER) -> Tensor:
    """d + sgn(d) * m, or sgn(d) * max(|d|, m), with m = epsilon * scale + floor and sgn(0) = 1.

    side: where d is said to be of one sign, that is taken for sgn(d), and d for 0 where it is of the other.
    """
    margin = torch.full_like(d, stabilizer.epsilon)
    if stabilizer.scale == "rms":
        axes = stabilizer.axes or tuple(range(1, d.ndim))
        margin = margin * (d**2).mean(dim=axes, keepdim=True).sqrt()
    margin = margin + stabilizer.floor
    if side is not Side.EITHER:
        d = d.clamp(min=0) if side is Side.POSITIVE else d.clamp(max=0)
    negative = d < 0 if side is Side.EITHER else torch.full_like(d, side is Side.NEGATIVE, dtype=torch.bool)
    sign = torch.where(negative, -1.0, 1.0).to(d) if stabilizer.signed else torch.ones_like(d)
    if stabilizer.clip:
        return sign * torch.maximum(sign * d if not stabilizer.signed else d.abs(), margin)
    return d + sign * margin


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, 0 where the denominator is 0."""
    safe = torch.where(denominator == 0, torch.ones_like(denominator), denominator)
    return torch.where(denominator == 0, torch.zeros_like(denominator), numerator / safe)
