"""What an explainer returns, and what it says of several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from lrpc.runtime.health import Health


@dataclass(frozen=True)
class Explanation:
    """What an explainer returns.

    output: the model's own, (n, classes).  relevance: shaped as the input.  health: see `Health`.
    alarms: for each sample why its explanation is not to be trusted, "" if it is.
    """

    output: np.ndarray
    relevance: np.ndarray
    health: Health
    alarms: list[str] = field(default_factory=list)


def join(parts: Sequence[Explanation]) -> Explanation:
    """Join the explanations of the parts of a batch."""
    if len(parts) == 1:
        return parts[0]
    found = [np.concatenate([getattr(part.health, f.name) for part in parts]) for f in fields(Health)]
    output, relevance = (np.concatenate([getattr(p, name) for p in parts]) for name in ("output", "relevance"))
    return Explanation(output, relevance, Health(*found))


def summarize(alarms: Sequence[str]) -> list[str]:
    """Return one sentence for all samples: how many explanations are bad, and the first of them."""
    bad = [(i, alarm) for i, alarm in enumerate(alarms) if alarm]
    if not bad:
        return []
    i, alarm = bad[0]
    return [f"{len(bad)} of {len(alarms)} explanations are not to be trusted; sample {i}: {alarm}"]
