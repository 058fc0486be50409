"""The algebra that relevance rules are written in: a closed set of values to print, compare and lower.

Every linear rule has the one form

    R_in = sum over shares  weight * sum over terms  sign * x' * J_{w'}^T[ gate * R_out / st(d) ]
    d    = sum over the share's terms  sign * f(x'; w', b')

where x', w', b' are the layer's input, weight and bias after a modifier (`Mod`), f is the layer's
linear map, J_{w'} its Jacobian and st the rule's stabilizer. What is no such rule (`Pass`, `Gradient`, ...) is in
`lrpc.rules.behaviours`.

A few members only come up when facts simplify a rule (`lrpc.plan.simplify`): a `Share.side`, a `Term` whose sign
follows its output, the test `NONZERO`, and a `Scaled` modifier. No rule is written in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lrpc.rules.call import Call
from lrpc.rules.stabilizer import Stabilizer

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
    """A linear rule. call: the name and the arguments that users know it by; facts that simplify it leave them alone.

    share_bias: what the bias earns in a share, b' * gate * R / st(d), is handed to the inputs in equal
    parts, instead of being absorbed.
    """

    call: Call
    shares: tuple[Share, ...]
    stabilizer: Stabilizer
    share_bias: bool = False

    @property
    def name(self) -> str:
        """What it is called, without its arguments."""
        return self.call.name

    def __str__(self) -> str:
        return str(self.call)
