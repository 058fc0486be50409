"""Numbers as messages show them: what is meant to be read has few digits."""

from __future__ import annotations

from collections.abc import Iterable

_READABLE = 10**7
_MOST = 8


def short(number: int) -> str:
    """Return a number in full below ten million, else to two digits.

    >>> short(224), short(2**62), short(-(2**40))
    ('224', '4.6e18', '-1.1e12')
    """
    if abs(number) < _READABLE:
        return str(number)
    digits = str(abs(number))
    exponent, lead = len(digits) - 1, round(int(digits[:3]) / 10)
    if lead == 100:
        lead, exponent = 10, exponent + 1
    return f"{'-' if number < 0 else ''}{lead / 10:.1f}e{exponent}"


def short_list(numbers: Iterable[int]) -> str:
    """Return a list of numbers; of a long one the first, and how many there are.

    >>> short_list([3, 2**40]), short_list(range(70))
    ('[3, 1.1e12]', '[0, 1, 2, 3, 4, 5, 6, 7, ... 70 in all]')
    """
    held = list(numbers)
    shown = [short(int(number)) for number in held[:_MOST]]
    return f"[{', '.join(shown)}{f', ... {len(held)} in all' if len(held) > _MOST else ''}]"
