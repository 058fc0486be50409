"""How rule constructors read their arguments, and how a rule comes to print as it parses."""

from __future__ import annotations

from collections.abc import Sequence

from lrpc.rules.algebra import KEEP, ZERO, Mod, Rule, Share
from lrpc.rules.stabilizer import Stabilizer, shortest
from lrpc.rules.values import finite, flag

Epsilon = Stabilizer | float | str
ZeroParams = str | Sequence[str] | None
Bound = float | Sequence[float]


def bias_mod(zero_params: ZeroParams, otherwise: Mod = KEEP) -> Mod:
    """Return the bias's modifier: zero where zero_params names it. Raises ValueError for any other name."""
    names = [zero_params] if isinstance(zero_params, str) else zero_params
    if names is not None and (not isinstance(names, Sequence) or any(name != "bias" for name in names)):
        raise ValueError(f"zero_params may name 'bias' only, not {zero_params!r}")
    return ZERO if names else otherwise


def bound(name: str, value: Bound) -> float | tuple[float, ...]:
    """Return a number, or one per channel, in the nine digits that tell any two float32 apart. Raises ValueError."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return float(f"{finite(name, value):.9g}")
    if not value:
        raise ValueError(f"{name} must be a number, or one for each channel, not an empty list")
    return tuple(float(f"{finite(name, v):.9g}") for v in value)


def values(value: float | tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers of a bound."""
    return value if isinstance(value, tuple) else (value,)


def linear_rule(
    name: str,
    shares: tuple[Share, ...],
    stabilizer: Epsilon,
    shown: tuple[object, ...] = (),
    zero_params: ZeroParams = None,
    share_bias: bool = False,
    options: tuple[str, ...] = (),
) -> Rule:
    """Build a rule with the text that parses to it. shown: its leading arguments.  options: its last ones."""
    if flag("share_bias", share_bias) and zero_params:
        raise ValueError("a bias is either zeroed (zero_params) or shared out (share_bias), not both")
    st = Stabilizer.of(stabilizer)
    arguments = [number(value) for value in shown]
    if name == "epsilon":
        arguments.append(str(st))
    elif st != Stabilizer():
        arguments.append(f"stabilizer={st}")
    arguments += ["zero_params='bias'"] if zero_params else []
    arguments += ["share_bias=True"] if share_bias else []
    arguments += options
    return Rule(f"{name}({', '.join(arguments)})" if arguments else name, shares, st, share_bias)


def number(value: object) -> str:
    """Print a number, or a list of them, so that it parses to the same."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(number, value)) + "]"
    return shortest(value) if isinstance(value, (int, float)) else str(value)
