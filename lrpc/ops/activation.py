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
    """y = f(x), elementwise.

    steepest: what |f'| never exceeds.  never_negative: f(x) >= 0.  lifts_zero: f(0) > 0.
    rectifies: f is 0 for x <= 0, flat there, and above 0 for x > 0.
    """

    kind: Kind = Kind.ACTIVATION
    elementwise: bool = True
    derivative: Derivative = lambda f, node, x, y: x
    steepest: Callable[[gs.Node], float] = lambda node: 1.0
    never_negative: bool = False
    lifts_zero: bool = False
    rectifies: bool = False

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        """Every activation keeps x >= 0."""
        return NON_NEGATIVE if self.never_negative or not inputs[0].negative else ANY

    def slope(self, node: gs.Node) -> float:
        return self.steepest(node)

    def keeps_zero(self, node: gs.Node) -> bool:
        return not self.lifts_zero

    def clamps(self, node: gs.Node) -> bool:
        return self.rectifies

    def problem(self, node: gs.Node) -> str:
        if any(constant(tensor) is None for tensor in node.inputs[1:] if not tensor.is_empty()):
            return "its parameters are computed from the input, not constants"
        return super().problem(node)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        x, y = emit.read(node.inputs[0]), emit.read(node.outputs[0])
        with emit.scope("derivative"):
            slope = self.derivative(Scalar(emit), node, x, y)
        return [emit.op("Mul", [relevance, slope], "gradient")]


@dataclass(frozen=True)
class Clip(Activation):
    """Clip, whose limits decide."""

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        low, high = _limits(node)
        return NON_POSITIVE if high < 0 else NON_NEGATIVE if low >= 0 else super().sign(node, inputs)

    def keeps_zero(self, node: gs.Node) -> bool:
        low, high = _limits(node)
        return low <= 0 <= high

    def clamps(self, node: gs.Node) -> bool:
        low, high = _limits(node)
        return low == 0 < high


@dataclass(frozen=True)
class Swish(Activation):
    """Swish of the alpha that SiLU has."""

    def problem(self, node: gs.Node) -> str:
        return "its alpha is not 1" if _number(node, "alpha", 1.0) != 1.0 else super().problem(node)


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


def _limits(node: gs.Node) -> tuple[float, float]:
    """Return where a Clip ends below and above; infinities where it does not."""
    low, high = (_limit(node, index, default) for index, default in ((1, -math.inf), (2, math.inf)))
    return low, high


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
    return _inside(f, x, *_limits(node))


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


def _elu_slope(node: gs.Node) -> float:
    return max(1.0, abs(_number(node, "alpha", 1.0)))


def _leaky_slope(node: gs.Node) -> float:
    return max(1.0, abs(_number(node, "alpha", 0.01)))


def _prelu_slope(node: gs.Node) -> float:
    return max(1.0, float(np.abs(values_of(node.inputs[1])).max()))


def _selu_slope(node: gs.Node) -> float:
    return _number(node, "gamma", 1.0507010) * max(1.0, _number(node, "alpha", 1.6732632))


def _hard_sigmoid_slope(node: gs.Node) -> float:
    return abs(_number(node, "alpha", 0.2))


ACTIVATIONS: tuple[Activation, ...] = (
    Activation("Relu", derivative=_relu, never_negative=True, rectifies=True),
    Activation("LeakyRelu", derivative=_leaky_relu, steepest=_leaky_slope),
    Activation("PRelu", derivative=_prelu, steepest=_prelu_slope),
    Activation("Elu", derivative=_elu, steepest=_elu_slope),
    Activation("Celu", derivative=_celu),
    Activation("Selu", derivative=_selu, steepest=_selu_slope),
    Activation("Gelu", derivative=_gelu, steepest=lambda node: 1.13),
    Swish("Swish", derivative=_swish, steepest=lambda node: 1.1),
    Activation("Mish", derivative=_mish, steepest=lambda node: 1.09),
    Activation("HardSwish", derivative=_hard_swish, steepest=lambda node: 1.5),
    Activation(
        "HardSigmoid", derivative=_hard_sigmoid, steepest=_hard_sigmoid_slope, never_negative=True, lifts_zero=True
    ),
    Activation("Sigmoid", derivative=_sigmoid, steepest=lambda node: 0.25, never_negative=True, lifts_zero=True),
    Activation("Tanh", derivative=_tanh),
    Activation("Softplus", derivative=_softplus, never_negative=True, lifts_zero=True),
    Activation("Softsign", derivative=_softsign),
    Clip("Clip", derivative=_clip),
)
"""The rows of the activations: what is known of one stands here alone."""
