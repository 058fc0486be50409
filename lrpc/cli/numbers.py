"""Numbers as options take them: finite ones, one or several with commas, and nothing else."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import click

_MOST_WHOLE = 2**31 - 1
"""What runtimes and files can count to."""


def number(whole: bool = False, least: float = -math.inf, above: float = -math.inf) -> Callable[[str | float], float]:
    """Return what reads a finite number, and keeps a default, which is one already.

    whole: without a fraction.  least: the smallest that makes sense.  above: what it must exceed.
    """
    kind, convert = ("a whole number", int) if whole else ("a number", float)
    most = _MOST_WHOLE if whole else sys.float_info.max

    def read(text: str | float) -> float:
        try:
            value = convert(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not {kind}.") from None
        if not -most <= value <= most:
            raise click.BadParameter(f"{text!r} is not {kind} that can be computed with.")
        if value < least:
            raise click.BadParameter(f"{text} is too small: it must be at least {least:g}.")
        if value <= above:
            raise click.BadParameter(f"{text} is too small: it must be above {above:g}.")
        return value

    return read


def numbers(
    whole: bool = False, least: float = -math.inf, above: float = -math.inf
) -> Callable[[str | float], list[float]]:
    """Return what reads numbers with commas between them, each as `number` does."""
    one = number(whole, least, above)
    return lambda text: [one(part) for part in str(text).split(",")]


def bounds(text: str) -> float | list[float]:
    """Read a number, or one for each channel with commas."""
    values = numbers()(text)
    return values[0] if len(values) == 1 else values


def named_number(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER, where the number is at least 0."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not NAME=NUMBER, as in gamma.gamma=0.5.")
    return name, number(least=0)(value)
