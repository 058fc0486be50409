"""What keeps a denominator away from zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
        if not (self.epsilon >= 0 and self.floor >= 0):
            raise ValueError(f"epsilon and floor must be at least 0, not {self.epsilon} and {self.floor}")
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
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls(epsilon=float(value))
        raise ValueError(f"{value!r} is not a stabilizer; give a number or 'eps=1e-6,scale=rms,clip'")


def _parse(text: str) -> Stabilizer:
    options: dict[str, Any] = {}
    for option in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = option.partition("=")
        options.update(_option(key.strip(), value.strip(), text))
    return Stabilizer(**options)


def _option(key: str, value: str, text: str) -> dict[str, object]:
    match key, bool(value):
        case (("eps" | "epsilon"), True):
            return {"epsilon": float(value)}
        case "floor", True:
            return {"floor": float(value)}
        case "scale", True:
            return {"scale": value}
        case "axes", True:
            return {"axes": tuple(int(axis) for axis in value.split("+"))}
        case "clip", False:
            return {"clip": True}
        case "unsigned", False:
            return {"signed": False}
        case _, False:
            return {"epsilon": float(key)}
        case _:
            raise ValueError(
                f"unknown stabilizer option {key!r} in {text!r}; "
                "options: eps=E, floor=F, scale=none|rms, axes=1+2+3, clip, unsigned"
            )
