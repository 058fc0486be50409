"""Which signs the values of a tensor can have, whatever the input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    """positive: some value may be above 0.  negative: some value may be below 0."""

    positive: bool
    negative: bool

    def __or__(self, other: Sign) -> Sign:
        """What a sum, or a choice, of the two can be."""
        return Sign(self.positive or other.positive, self.negative or other.negative)

    def __and__(self, other: Sign) -> Sign:
        """What a value can be of which both are known."""
        return Sign(self.positive and other.positive, self.negative and other.negative)

    def __mul__(self, other: Sign) -> Sign:
        """What a product of the two can be."""
        return Sign(
            (self.positive and other.positive) or (self.negative and other.negative),
            (self.positive and other.negative) or (self.negative and other.positive),
        )

    def __neg__(self) -> Sign:
        return Sign(self.negative, self.positive)

    def __str__(self) -> str:
        return {(True, True): "any", (True, False): ">= 0", (False, True): "<= 0", (False, False): "0"}[
            self.positive, self.negative
        ]


ANY, NON_NEGATIVE, NON_POSITIVE, ZEROS = Sign(True, True), Sign(True, False), Sign(False, True), Sign(False, False)
