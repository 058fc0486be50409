"""The numbers and flags that rules and stabilizers take: finite, and such that float32 can hold and multiply them."""

from __future__ import annotations

import math
from numbers import Real
from typing import TypeGuard

LARGEST = 1e18
"""The product of two numbers of this size is still finite in float32."""
SMALLEST = 2.0**-126
"""The smallest that float32 holds with all its digits; anything smaller, but 0, is 0 to some processors."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, Python's or numpy's; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, Real)


def finite(name: str, value: object) -> float:
    """Return a number that float32 can compute with. Raises ValueError with its name for anything else."""
    if not is_number(value):
        raise ValueError(f"{name} must be a number, not {value!r}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{name} must be finite, not {found}")
    if abs(found) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g} in size, not {found:g}")
    if 0 < abs(found) < SMALLEST:
        raise ValueError(f"{name} must be 0 or at least {SMALLEST:.2g} in size, not {found:g}")
    return found


def at_least_zero(name: str, value: object) -> float:
    """Return a number as `finite` does. Raises ValueError for one below 0 too."""
    found = finite(name, value)
    if found < 0:
        raise ValueError(f"{name} must be at least 0, not {found:g}")
    return found


def flag(name: str, value: object) -> bool:
    """Return True or False. Raises ValueError for what only counts as one of them."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return value
