"""How rule constructors read their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lrpc.rules.algebra import KEEP, ZERO, Mod, Rule, Share
from lrpc.rules.call import Call
from lrpc.rules.stabilizer import Stabilizer
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
    leading: Mapping[str, object] = MappingProxyType({}),
    zero_params: ZeroParams = None,
    share_bias: bool = False,
    options: Mapping[str, object] = MappingProxyType({}),
) -> Rule:
    """Build a rule. leading: the arguments that are told first, whatever they are.  options: the last, where set."""
    if flag("share_bias", share_bias) and zero_params:
        raise ValueError("a bias is either zeroed (zero_params) or shared out (share_bias), not both")
    st = Stabilizer.of(stabilizer)
    arguments = dict(leading)
    if name == "epsilon":
        arguments["epsilon"] = st
    elif st != Stabilizer():
        arguments["stabilizer"] = st
    given = {"zero_params": "bias" if zero_params else None, "share_bias": share_bias, **options}
    arguments |= {key: value for key, value in given.items() if value}
    return Rule(Call(name, tuple(arguments.items())), shares, st, share_bias)
