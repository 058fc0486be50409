"""What the emitted graph is optimised for: which of several equal forms is cheapest where."""

from __future__ import annotations

from dataclasses import dataclass

from passes.errors import LrpcError


@dataclass(frozen=True)
class Target:
    """A runtime. flips: a stride-1 convolution's transpose is a Conv with flipped weights, not a ConvTranspose."""

    name: str
    flips: bool
    step: str


TARGETS = {
    "cpu": Target("cpu", flips=True, step="HardSigmoid"),
    "cuda": Target("cuda", flips=False, step="Greater"),
    "portable": Target("portable", flips=False, step="Greater"),
}


def target_of(optimize: int, name: str) -> Target | None:
    """Return what -O level and target name mean; None for the definitions. Raises LrpcError for anything else."""
    known = TARGETS | {"auto": TARGETS["cpu"]}
    if optimize not in (0, 1) or name not in known:
        raise LrpcError(f"There is no -O{optimize} for {name!r}.", hint=f"Levels: 0, 1. Targets: {', '.join(known)}.")
    return known[name] if optimize else None
