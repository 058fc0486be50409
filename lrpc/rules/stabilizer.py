"""What keeps a denominator away from zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lrpc.rules.values import at_least_zero, flag, is_number


def shortest(value: float) -> str:
    """Print a number in at most six digits where that is exact, else in as many as it takes."""
    text = f"{value:g}"
    return text if float(text) == value else repr(float(value))


@dataclass(frozen=True)
class Stabilizer:
    """Move a denominator d away from zero: with m = epsilon * scale + floor,

        plain  d + sgn(d) * m              clip  sgn(d) * max(|d|, m)

    where sgn(0) = +1, and sgn is +1 everywhere if not `signed`.

    epsilon: the shift, relative to the scale (default 1e-6).
    floor: an absolute addition that no scale multiplies (default 0).
    clip: keep denominators that are large enough as they are.
    scale: "none" (1), or "rms": sqrt(mean(d^2)) over `axes`.
    axes: the axes of the rms; None (default) means every axis but the batch.
    signed: False gives the "vanilla" d + m, which can meet zero at d = -m.

    Raises ValueError for numbers that are negative, not finite, or that float32 cannot hold.

    Where a stabilized denominator is still 0, lrpc lets the quotient be 0 instead of NaN.
    Source: Bach et al. 2015; `zennit.core.Stabilizer` (epsilon, clip, norm_scale, dim).
    """

    epsilon: float = 1e-6
    floor: float = 0.0
    clip: bool = False
    scale: str = "none"
    axes: tuple[int, ...] | None = None
    signed: bool = True

    def __post_init__(self) -> None:
        for name in ("epsilon", "floor"):
            object.__setattr__(self, name, at_least_zero(name, getattr(self, name)))
        flag("clip", self.clip)
        flag("signed", self.signed)
        if self.axes is not None and not _are_axes(self.axes):
            raise ValueError(f"axes must be different whole numbers from 1 on (0 is the batch), not {self.axes!r}")
        if self.scale not in ("none", "rms"):
            raise ValueError(f"scale must be 'none' or 'rms', not {self.scale!r}")

    @property
    def can_vanish(self) -> bool:
        """Whether a stabilized denominator may still be exactly 0."""
        sure_shift = self.floor > 0 or (self.epsilon > 0 and self.scale == "none")
        return not (self.signed and sure_shift)

    def __str__(self) -> str:
        options = [shortest(self.epsilon)]
        options += [f"floor={shortest(self.floor)}"] if self.floor else []
        options += [f"scale={self.scale}"] if self.scale != "none" else []
        options += ["axes=" + "+".join(map(str, self.axes))] if self.axes is not None else []
        options += ["clip"] if self.clip else []
        options += ["unsigned"] if not self.signed else []
        return options[0] if len(options) == 1 else "'eps=" + ",".join(options) + "'"

    @classmethod
    def of(cls, value: Stabilizer | float | str) -> Stabilizer:
        """Accept a stabilizer, its epsilon, or its text ('eps=1e-6,floor=1e-9,scale=rms,clip').

        Raises ValueError for anything else.
        """
        if isinstance(value, Stabilizer):
            return value
        if isinstance(value, str):
            return _parse(value)
        if is_number(value):
            return cls(epsilon=value)
        raise ValueError(f"{value!r} is not a stabilizer; give a number or 'eps=1e-6,scale=rms,clip'")


_READ: dict[str, tuple[str, Callable[[str], object]]] = {
    "eps": ("epsilon", float),
    "epsilon": ("epsilon", float),
    "floor": ("floor", float),
    "scale": ("scale", str),
    "axes": ("axes", lambda text: tuple(map(int, text.split("+")))),
}
"""Which field an option with a value sets, and what reads the value."""
_FLAGS: dict[str, tuple[str, bool]] = {"clip": ("clip", True), "unsigned": ("signed", False)}


def _parse(text: str) -> Stabilizer:
    options: dict[str, Any] = {}
    for part in text.split(","):
        name, value = _option(part.strip(), text)
        if name in options:
            raise ValueError(f"the stabilizer {text!r} gives {name} twice")
        options[name] = value
    return Stabilizer(**options)


def _option(part: str, text: str) -> tuple[str, object]:
    """Read 'floor=1e-9', 'clip', or '1e-6', which is an epsilon. text: the whole, for messages."""
    key, equals, value = (piece.strip() for piece in part.partition("="))
    if part in _FLAGS:
        return _FLAGS[part]
    if equals and key not in _READ:
        raise ValueError(
            f"unknown stabilizer option {key!r} in {text!r}; "
            "options: eps=E, floor=F, scale=none|rms, axes=1+2+3, clip, unsigned"
        )
    name, read = _READ[key if equals else "eps"]
    try:
        return name, read(value if equals else part)
    except ValueError:
        raise ValueError(
            f"cannot read {part!r} in the stabilizer {text!r}; write it like 1e-6, or eps=1e-6,scale=rms,clip"
        ) from None


def _are_axes(axes: object) -> bool:
    if not isinstance(axes, tuple) or not all(type(axis) is int and axis >= 1 for axis in axes):
        return False
    return 0 < len(set(axes)) == len(axes)
