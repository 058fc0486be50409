"""What a layer can do with relevance: a linear rule, or one of the few behaviours that are none.

A behaviour is a value here: it is called `name` where users write it, its fields are its arguments, and it prints as it
parses. What it comes to on a layer is its row in `lrpc.behaviours`; what it must come to, its formula in
`lrpc.reference.oracle`. These two prove each other and share no code but this value, which composites, the command line
and they all need, and which therefore lies below them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, get_args

from lrpc.rules.algebra import Rule
from lrpc.rules.call import Call
from lrpc.rules.values import at_least_zero

__all__ = [
    "Behaviour", "BodyOnly", "Copy", "Gradient", "Pass", "ReluBetaSmooth", "ReluDeconvNet", "ReluGuidedBackprop",
    "Rule", "SignalTakesAll", "Uniform", "WinnerTakeAll",
]  # fmt: skip


class Plain:
    """A behaviour that is no linear rule."""

    name: ClassVar[str]

    @property
    def call(self) -> Call:
        """Its name and its arguments; None stands for one that was not given."""
        return Call(self.name, tuple((key, value) for key, value in vars(self).items() if value is not None))

    def __str__(self) -> str:
        return str(self.call)


@dataclass(frozen=True)
class Pass(Plain):
    """R_in = R_out, for a layer that keeps its input's shape."""

    name: ClassVar[str] = "pass"


@dataclass(frozen=True)
class Gradient(Plain):
    """R_in = J^T R_out: the plain vector-Jacobian product."""

    name: ClassVar[str] = "gradient"


@dataclass(frozen=True)
class Copy(Plain):
    """Every branch of a sum gets the whole R_out: a functional `+` under zennit."""

    name: ClassVar[str] = "copy"


@dataclass(frozen=True)
class BodyOnly(Plain):
    """A residual sum hands its relevance to its body, the branch with the most layers, and none to the shortcut."""

    name: ClassVar[str] = "body_only"


@dataclass(frozen=True)
class Uniform(Plain):
    """Every operand of a product gets an equal part of R_out. Source: Achtibat et al. 2024 (AttnLRP)."""

    name: ClassVar[str] = "uniform"


@dataclass(frozen=True)
class SignalTakesAll(Plain):
    """A product hands its relevance to the operand that is the signal, and none to its gate.

    signal: the operand's index. None stands for the one that the graph tells, and no plan holds it.
    """

    name: ClassVar[str] = "gate"
    signal: int | None = None

    def __post_init__(self) -> None:
        if self.signal is not None and (type(self.signal) is not int or self.signal not in (0, 1)):
            raise ValueError(f"a product has the operands 0 and 1, signal cannot be {self.signal!r}")


@dataclass(frozen=True)
class WinnerTakeAll(Plain):
    """A max-pool window gives its relevance to its maximum, to the first one on ties."""

    name: ClassVar[str] = "winner_take_all"


@dataclass(frozen=True)
class ReluDeconvNet(Plain):
    """R_in = max(R_out, 0). Source: Zeiler and Fergus 2014."""

    name: ClassVar[str] = "relu_deconvnet"


@dataclass(frozen=True)
class ReluGuidedBackprop(Plain):
    """R_in = relu'(x) * max(R_out, 0). Source: Springenberg et al. 2015."""

    name: ClassVar[str] = "relu_guided_backprop"


@dataclass(frozen=True)
class ReluBetaSmooth(Plain):
    """R_in = sigmoid(beta * x) * R_out: a ReLU's gradient, smoothed. Source: Dombrowski et al. 2019.

    beta: how steep the sigmoid is, at least 0.
    """

    name: ClassVar[str] = "relu_beta_smooth"
    beta: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", at_least_zero("beta", self.beta))


Behaviour = (
    Rule
    | Pass
    | Gradient
    | Copy
    | BodyOnly
    | Uniform
    | SignalTakesAll
    | WinnerTakeAll
    | ReluDeconvNet
    | ReluGuidedBackprop
    | ReluBetaSmooth
)

PLAIN: dict[str, Callable[..., Behaviour]] = {
    kind.name: kind for kind in get_args(Behaviour) if issubclass(kind, Plain)
}
"""Those that are no linear rules, by name."""
