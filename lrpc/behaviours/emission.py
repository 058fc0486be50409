"""What a behaviour emitted for one layer."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from lrpc.behaviours.relevance import Relevance


@dataclass(frozen=True)
class Division:
    """A share's stabilized denominator, and what of the relevance by it is let through: 0 behind a closed gate."""

    stabilized: gs.Tensor
    quotient: gs.Tensor


@dataclass(frozen=True)
class Emission:
    """handed: what each data input gets.  divisions: one a share, for a trace to look at."""

    handed: list[Relevance]
    divisions: tuple[Division, ...] = ()
