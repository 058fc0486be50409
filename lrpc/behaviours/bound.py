"""How much a layer can amplify relevance: sum |R_in| / sum |R_out|."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """limit: the most that a layer amplifies, infinity where nothing bounds it.

    condition: what must hold for that.  only: what bounds an unbounded layer instead.
    """

    limit: float
    condition: str = ""
    only: str = ""

    def __str__(self) -> str:
        if self == UNREACHED:
            return "no relevance"
        if math.isinf(self.limit):
            return f"unbounded ({self.only})" if self.only else "unbounded"
        return f"<= {self.limit:.4g}" + (f" {self.condition}" if self.condition else "")


UNREACHED = Bound(0.0, only="leads to another input")
"""Of a layer that does not depend on the input that relevance goes to: the graphs leave it out."""
