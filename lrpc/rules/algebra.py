"""The algebra that relevance rules are written in: a closed set of values to print, compare and lower.

Every linear rule has the one form

    R_in = sum over shares  weight * sum over terms  sign * x' * J_{w'}^T[ gate * R_out / st(d) ]
    d    = sum over the share's terms  sign * f(x'; w', b')

where x', w', b' are the layer's input, weight and bias after a modifier (`Mod`), f is the layer's
linear map, J_{w'} its Jacobian and st the rule's stabilizer. Behaviours that are no such rule
(`Pass`, `Gradient`, ...) are further members of the closed union `Behaviour`.

A few members only come up when facts simplify a rule (`lrpc.plan.simplify`): a `Share.side`, a `Term` whose sign
follows its output, the test `NONZERO`, and a `Scaled` modifier. No rule is written in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from lrpc.rules.stabilizer import Stabilizer, shortest

# --- modifiers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keep:
    """v."""


@dataclass(frozen=True)
class Pos:
    """max(v, 0)."""


@dataclass(frozen=True)
class Neg:
    """min(v, 0)."""


@dataclass(frozen=True)
class Abs:
    """|v|."""


@dataclass(frozen=True)
class Zero:
    """0."""


@dataclass(frozen=True)
class Square:
    """v^2."""


@dataclass(frozen=True)
class Fill:
    """A constant in v's shape: one number, or one per channel (axis 1)."""

    value: float | tuple[float, ...]


@dataclass(frozen=True)
class Boost:
    """v + gamma * max(v, 0), or v + gamma * min(v, 0)."""

    gamma: float
    part: Pos | Neg


@dataclass(frozen=True)
class Scaled:
    """factor * mod(v)."""

    factor: float
    mod: Keep | Pos | Neg | Abs | Square | Fill | Boost


Mod = Keep | Pos | Neg | Abs | Zero | Square | Fill | Boost | Scaled
KEEP, POS, NEG, ABS, ZERO, SQUARE, ONE = Keep(), Pos(), Neg(), Abs(), Zero(), Square(), Fill(1.0)

# --- the algebra -----------------------------------------------------------------------------------


class Test(Enum):
    """Which pre-activations a gate lets relevance through at."""

    ALWAYS = "always"
    POSITIVE = "> 0"
    NON_NEGATIVE = ">= 0"
    NEGATIVE = "< 0"
    NONZERO = "!= 0"


class Side(Enum):
    """On which side of 0 a denominator is wherever relevance arrives."""

    EITHER = "either"
    POSITIVE = "positive"
    NEGATIVE = "negative"


@dataclass(frozen=True)
class Gate:
    """A test of the pre-activation z = f(x; w, b), or of the bias-free f(x; w, 0)."""

    test: Test = Test.ALWAYS
    bias: bool = True


@dataclass(frozen=True)
class Term:
    """One linear map f(x'; w', b') with a sign.

    follows: the sign is that of the term's own output, unit by unit (+1 at 0), so that it adds |f(x'; w', b')|.
    """

    x: Mod
    w: Mod
    b: Mod
    sign: int = 1
    follows: bool = False


@dataclass(frozen=True)
class Share:
    """The terms under one denominator, their weight in the sum and the gate they pass.

    side: on which side of 0 the denominator is wherever relevance arrives. Where it is not, it counts as 0.
    everywhere: it is on that side whether relevance arrives or not.
    """

    terms: tuple[Term, ...]
    weight: float = 1.0
    gate: Gate = Gate()
    side: Side = Side.EITHER
    everywhere: bool = False


@dataclass(frozen=True)
class Rule:
    """A linear rule. `text` is how it prints and parses again; equality is that of the algebra.

    share_bias: what the bias earns in a share, b' * gate * R / st(d), is handed to the inputs in equal
    parts, instead of being absorbed.
    """

    text: str = field(compare=False)
    shares: tuple[Share, ...]
    stabilizer: Stabilizer
    share_bias: bool = False

    def __str__(self) -> str:
        return self.text


# --- behaviours beside the linear rules --------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """R_in = R_out, for a layer that keeps its input's shape."""

    def __str__(self) -> str:
        return "pass"


@dataclass(frozen=True)
class Gradient:
    """R_in = J^T R_out: the plain vector-Jacobian product."""

    def __str__(self) -> str:
        return "gradient"


@dataclass(frozen=True)
class Copy:
    """Every branch of a sum gets the whole R_out: a functional `+` under zennit."""

    def __str__(self) -> str:
        return "copy"


@dataclass(frozen=True)
class BodyOnly:
    """A residual sum hands its relevance to its body, the branch with the most layers, and none to the shortcut."""

    def __str__(self) -> str:
        return "body_only"


@dataclass(frozen=True)
class Uniform:
    """Every operand of a product gets an equal part of R_out. Source: Achtibat et al. 2024 (AttnLRP)."""

    def __str__(self) -> str:
        return "uniform"


@dataclass(frozen=True)
class SignalTakesAll:
    """A product hands its relevance to the operand that is the signal, and none to its gate.

    signal: the operand's index. None stands for the one that the graph tells, and no plan holds it.
    """

    signal: int | None = None

    def __str__(self) -> str:
        return "gate" if self.signal is None else f"gate(signal={self.signal})"


@dataclass(frozen=True)
class WinnerTakeAll:
    """A max-pool window gives its relevance to its maximum, to the first one on ties."""

    def __str__(self) -> str:
        return "winner_take_all"


@dataclass(frozen=True)
class ReluDeconvNet:
    """R_in = max(R_out, 0). Source: Zeiler and Fergus 2014."""

    def __str__(self) -> str:
        return "relu_deconvnet"


@dataclass(frozen=True)
class ReluGuidedBackprop:
    """R_in = relu'(x) * max(R_out, 0). Source: Springenberg et al. 2015."""

    def __str__(self) -> str:
        return "relu_guided_backprop"


@dataclass(frozen=True)
class ReluBetaSmooth:
    """R_in = sigmoid(beta * x) * R_out. Source: Dombrowski et al. 2019."""

    beta: float = 10.0

    def __str__(self) -> str:
        return f"relu_beta_smooth({shortest(self.beta)})"


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
