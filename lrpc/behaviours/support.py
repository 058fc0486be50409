"""At which units of a tensor relevance can arrive."""

from __future__ import annotations

from enum import IntEnum


class Support(IntEnum):
    """From the weakest statement to the strongest."""

    ANYWHERE = 0
    NONZERO = 1
    """Only where the value is not 0."""
    POSITIVE = 2
    """Only where the value is above 0."""

    def __str__(self) -> str:
        return ("anywhere", "where not 0", "where > 0")[self]


NOWHERE = Support.POSITIVE
"""Of a tensor that gets no relevance at all: there is no stronger statement."""
