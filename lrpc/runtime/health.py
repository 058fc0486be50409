"""The health of an explanation: four numbers that tell whether it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REMEDY = "`lrpc doctor` finds the rules to change, and --composite bounded cannot explode"


class HealthWarning(UserWarning):
    """An explanation that is not to be trusted, or an input that its rules were not made for."""


@dataclass(frozen=True)
class Health:
    """Four numbers per sample, each of shape (n,); the first three are relative to sum |seed|.

    sum: of the relevance at the input.  abs_sum: of its magnitudes.  range: its max - min.
    nonfinite: how many of its values are NaN or infinite.
    A sum near 1 proves nothing: huge relevance of both signs cancels. Look at abs_sum.
    """

    sum: np.ndarray
    abs_sum: np.ndarray
    range: np.ndarray
    nonfinite: np.ndarray

    def alarms(self, low: float, high: float) -> list[str]:
        """Return, for each sample, why its explanation is not to be trusted, in one sentence; "" if it is.

        low, high: between which `abs_sum` can be trusted, as a bundle's manifest tells.
        """
        return [self._alarm(i, low, high) for i in range(len(self.sum))]

    def _alarm(self, i: int, low: float, high: float) -> str:
        if self.nonfinite[i] > 0:
            return f"{self.nonfinite[i]:.0f} relevance values are NaN or infinite; {REMEDY}."
        if low <= self.abs_sum[i] <= high or self.abs_sum[i] == 0:
            return ""
        what = "explodes" if self.abs_sum[i] > high else "vanishes"
        return (
            f"the relevance {what}: its magnitudes sum to {self.abs_sum[i]:.2g} per unit of seed, "
            f"where {low:g} to {high:g} can be trusted; {REMEDY}."
        )


def health(relevance: np.ndarray, seed: np.ndarray) -> Health:
    """Compute in numpy what explain.onnx returns as `health`."""
    flat = relevance.reshape(len(relevance), -1)
    unit = np.abs(seed).reshape(len(seed), -1).sum(axis=1)
    unit = np.where(unit == 0, 1, unit)
    with np.errstate(invalid="ignore", over="ignore"):
        total, abs_total = flat.sum(axis=1), np.abs(flat).sum(axis=1)
        spread = flat.max(axis=1) - flat.min(axis=1)
    bad = (~np.isfinite(flat)).sum(axis=1).astype(np.float32)
    return Health(total / unit, abs_total / unit, spread / unit, bad)
