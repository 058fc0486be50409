"""Elementwise activations: each with the derivative that its vector-Jacobian product multiplies by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.ops.op import Op
from lrpc.rules.kinds import Kind
from lrpc.rules.sign import ANY, NON_NEGATIVE, NON_POSITIVE, Sign
from passes.graph import constant, values_of

Derivative = Callable[["Scalar", gs.Node, gs.Tensor, gs.Tensor], gs.Tensor]
"""(formula writer, node, x, y) -> f'(x)."""


@dataclass(frozen=True)
class Activation(Op):
    """y = f(x), elementwise."""

    derivative: Derivative = lambda f, node, x, y: x
    steepest: Callable[[gs.Node], float] = lambda node: math.inf
    never_negative: bool = False

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        """Every activation keeps x >= 0, but a Clip whose upper limit is below 0."""
        if self.name == "Clip" and _limit(node, 2, math.inf) < 0:
            return NON_POSITIVE
        floored = self.name == "Clip" and _limit(node, 1, -math.inf) >= 0
        return NON_NEGATIVE if self.never_negative or floored or not inputs[0].negative else ANY

    def slope(self, node: gs.Node) -> float:
        return self.steepest(node)

    def keeps_zero(self, node: gs.Node) -> bool:
        if self.name == "Clip":
            return _limit(node, 1, -math.inf) <= 0 <= _limit(node, 2, math.inf)
        return self.name not in _LIFTS_ZERO

    def clamps(self, node: gs.Node) -> bool:
        if self.name == "Clip":
            return _limit(node, 1, -math.inf) == 0 < _limit(node, 2, math.inf)
        return self.name == "Relu"

    def problem(self, node: gs.Node) -> str:
        if any(constant(tensor) is None for tensor in node.inputs[1:] if not tensor.is_empty()):
            return "its parameters are computed from the input, not constants"
        if self.name == "Swish" and _number(node, "alpha", 1.0) != 1.0:
            return "its alpha is not 1"
        return super().problem(node)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        x, y = emit.read(node.inputs[0]), emit.read(node.outputs[0])
        with emit.scope("derivative"):
            slope = self.derivative(Scalar(emit), node, x, y)
        return [emit.op("Mul", [relevance, slope], "gradient")]


class Scalar:
    """Write elementwise formulas: operands are tensors or numbers, each step has a name."""

    def __init__(self, emit: Emitter) -> None:
        self._emit = emit

    def __call__(self, op: str, name: str, *operands: gs.Tensor | float) -> gs.Tensor:
        """Emit op(operands) as `name`; comparisons come out as 0.0 and 1.0."""
        tensors = [
            operand if isinstance(operand, gs.Tensor) else self._emit.constant(operand, f"{name}/{place}")
            for place, operand in enumerate(operands)
        ]
        if op in ("Greater", "Less"):
            mask = self._emit.op(op, tensors, f"{name}/mask")
            return self._emit.op("Cast", [mask], name, to=1)
        return self._emit.op(op, tensors, name)

    def where_positive(self, name: str, x: gs.Tensor, then: gs.Tensor | float, other: gs.Tensor | float) -> gs.Tensor:
        """Emit x > 0 ? then : other."""
        zero = self._emit.constant(0.0, f"{name}/zero")
        mask = self._emit.op("Greater", [x, zero], f"{name}/mask")
        choices = [
            c if isinstance(c, gs.Tensor) else self._emit.constant(c, f"{name}/{place}")
            for place, c in (("then", then), ("other", other))
        ]
        return self._emit.op("Where", [mask, *choices], name)

    def weight(self, tensor: gs.Tensor) -> gs.Tensor:
        """Return a parameter of the forward node."""
        return self._emit.read(tensor)


def _number(node: gs.Node, attribute: str, default: float) -> float:
    return float(node.attrs.get(attribute, default))


def _limit(node: gs.Node, index: int, default: float) -> float:
    tensors = node.inputs[index : index + 1]
    return default if not tensors or tensors[0].is_empty() else float(np.asarray(values_of(tensors[0])).item())


def _inside(f: Scalar, x: gs.Tensor, low: float, high: float) -> gs.Tensor:
    """1 where low < x < high, else 0."""
    above, below = f("Greater", "above", x, low), f("Less", "below", x, high)
    return f("Mul", "inside", above, below)


def _relu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return f("Greater", "positive", x, 0.0)


def _leaky_relu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return f.where_positive("slope", x, 1.0, _number(node, "alpha", 0.01))


def _prelu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return f.where_positive("slope", x, 1.0, f.weight(node.inputs[1]))


def _elu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return f.where_positive("slope", x, 1.0, _tail(f, x, _number(node, "alpha", 1.0)))


def _celu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    tail = f("Exp", "tail", f("Div", "scaled", x, _number(node, "alpha", 1.0)))
    return f.where_positive("slope", x, 1.0, tail)


def _selu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    alpha, scale = _number(node, "alpha", 1.6732632), _number(node, "gamma", 1.0507010)
    return f.where_positive("slope", x, scale, _tail(f, x, alpha * scale))


def _tail(f: Scalar, x: gs.Tensor, factor: float) -> gs.Tensor:
    """factor * exp(x): y + factor, which it equals for x <= 0, is the difference of two nearly equal numbers."""
    return f("Mul", "tail", f("Exp", "tail/exp", x), factor)


def _sigmoid(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return f("Mul", "slope", y, f("Sub", "rest", 1.0, y))


def _tanh(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    """(1 - y) (1 + y): 1 - y^2 would round y^2 where y is nearly 1."""
    return f("Mul", "slope", f("Sub", "below", 1.0, y), f("Add", "above", y, 1.0))


def _softplus(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return f("Sigmoid", "slope", x)


def _softsign(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    rest = f("Add", "rest", f("Abs", "size", x), 1.0)
    return f("Reciprocal", "slope", f("Mul", "square", rest, rest))


def _clip(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    return _inside(f, x, _limit(node, 1, -math.inf), _limit(node, 2, math.inf))


def _hard_sigmoid(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    alpha = _number(node, "alpha", 0.2)
    return f("Mul", "slope", _inside(f, y, 0.0, 1.0), alpha)


def _hard_swish(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    ramp = f("Add", "ramp", f("Div", "third", x, 3.0), 0.5)
    return f("Add", "slope", f("Mul", "bend", _inside(f, x, -3.0, 3.0), ramp), f("Greater", "linear", x, 3.0))


def _swish(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    """s + y (1 - s), with s = sigmoid(x) and y = x s."""
    s = f("Sigmoid", "sigmoid", x)
    return f("Add", "slope", s, f("Mul", "bend", y, f("Sub", "rest", 1.0, s)))


def _mish(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    """t + x (1 - t) (1 + t) sigmoid(x), with t = tanh(softplus(x))."""
    t = f("Tanh", "t", f("Softplus", "soft", x))
    rest = f("Mul", "rest", f("Sub", "below", 1.0, t), f("Add", "above", t, 1.0))
    inner = f("Mul", "inner", rest, f("Sigmoid", "sigmoid", x))
    return f("Add", "slope", t, f("Mul", "bend", x, inner))


def _gelu(f: Scalar, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    tanh = node.attrs.get("approximate", "none") == "tanh"
    return _gelu_tanh(f, x) if tanh else _gelu_erf(f, x)


def _gelu_erf(f: Scalar, x: gs.Tensor) -> gs.Tensor:
    """Phi(x) + x * phi(x), with the normal distribution Phi and its density phi."""
    erf = f("Erf", "erf", f("Mul", "scaled", x, math.sqrt(0.5)))
    distribution = f("Mul", "distribution", f("Add", "shifted", erf, 1.0), 0.5)
    bell = f("Exp", "bell", f("Mul", "exponent", f("Mul", "square", x, x), -0.5))
    density = f("Mul", "density", bell, 1.0 / math.sqrt(2.0 * math.pi))
    return f("Add", "slope", distribution, f("Mul", "bend", x, density))


def _gelu_tanh(f: Scalar, x: gs.Tensor) -> gs.Tensor:
    """(1 + t) / 2 + x (1 - t^2) u' / 2, with t = tanh(u), u = c (x + a x^3), u' = c (1 + 3 a x^2)."""
    c, a = math.sqrt(2.0 / math.pi), 0.044715
    square = f("Mul", "square", x, x)
    factor = f("Add", "factor", f("Mul", "cubic", square, a * c), c)
    t = f("Tanh", "t", f("Mul", "u", x, factor))
    half = f("Mul", "half", f("Add", "shifted", t, 1.0), 0.5)
    inner = f("Add", "inner", f("Mul", "inner/square", square, 1.5 * a * c), 0.5 * c)
    rest = f("Sub", "rest", 1.0, f("Mul", "t/square", t, t))
    return f("Add", "slope", half, f("Mul", "bend", x, f("Mul", "rest/inner", rest, inner)))


_DERIVATIVES: dict[str, Derivative] = {
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Elu": _elu,
    "Celu": _celu,
    "Selu": _selu,
    "Gelu": _gelu,
    "Swish": _swish,
    "Mish": _mish,
    "HardSwish": _hard_swish,
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Clip": _clip,
}

_STEEPEST: dict[str, Callable[[gs.Node], float]] = {
    "LeakyRelu": lambda node: max(1.0, abs(_number(node, "alpha", 0.01))),
    "PRelu": lambda node: max(1.0, float(np.abs(values_of(node.inputs[1])).max())),
    "Elu": lambda node: max(1.0, abs(_number(node, "alpha", 1.0))),
    "Selu": lambda node: _number(node, "gamma", 1.0507010) * max(1.0, _number(node, "alpha", 1.6732632)),
    "Gelu": lambda node: 1.13,
    "Swish": lambda node: 1.1,
    "Mish": lambda node: 1.09,
    "HardSwish": lambda node: 1.5,
    "HardSigmoid": lambda node: abs(_number(node, "alpha", 0.2)),
    "Sigmoid": lambda node: 0.25,
}
"""What |f'| never exceeds, where that is not 1."""

_LIFTS_ZERO = ("HardSigmoid", "Sigmoid", "Softplus")
"""Those with f(0) above 0."""

_NEVER_NEGATIVE = ("Relu", "HardSigmoid", "Sigmoid", "Softplus")

ACTIVATIONS = tuple(
    Activation(
        name,
        Kind.ACTIVATION,
        elementwise=True,
        derivative=derivative,
        steepest=_STEEPEST.get(name, lambda node: 1.0),
        never_negative=name in _NEVER_NEGATIVE,
    )
    for name, derivative in _DERIVATIVES.items()
)
