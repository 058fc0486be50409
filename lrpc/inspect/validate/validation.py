"""Compare a plan with a reference in float64, next to the reference's own float32 error.

Two float32 runs of one formula differ by rounding, so an error by itself says little: the yardstick is
how far the reference, run in float32, is from itself in float64, at the same layer and input. Where a
pre-activation is 0 but for rounding, one run falls on one side of a ReLU and the next on the other, and
single errors jump by a factor of 100. `validate` therefore runs both several times, on inputs that
differ by a rounding, and compares our median with the reference's worst: a mistake in the mathematics
is there in every run, an accident of rounding is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Protocol

import numpy as np

from lrpc.inspect.validate.traced import Traced, run_traced
from lrpc.plan.plan import Plan
from lrpc.rules.behaviours import Copy
from lrpc.rules.kinds import Kind

NEGLIGIBLE = 2e-5
"""A relative error below this passes whatever the yardstick says."""
COPIES = 5
MEDIAN_RATIO, LAYER_RATIO, INPUT_RATIO = 1.1, 2.0, 1.5

COMPARED = (Kind.CONVOLUTION, Kind.DENSE, Kind.SUM, Kind.AVERAGE_POOL, Kind.MAX_POOL)
"""The kinds that every reference reports."""


class Reference(Protocol):
    """What a reference returns for one input and seed, by layer name."""

    output: np.ndarray
    relevance: np.ndarray
    activations: Mapping[str, np.ndarray]
    arriving: Mapping[str, np.ndarray]
    note: str


Run = Callable[[np.ndarray, np.ndarray, str], Reference]
"""Run the reference on an input and a seed, in "float64" or "float32"."""


@dataclass(frozen=True)
class Comparison:
    """Relative L2 errors against float64 at one place.

    output: of the forward output.  relevance: of the relevance arriving there.
    yardstick: the reference's own float32 error of that relevance.
    """

    layer: str
    kind: str
    output: float
    relevance: float
    yardstick: float

    @property
    def ratio(self) -> float:
        """The error in units of the yardstick."""
        if self.yardstick:
            return self.relevance / self.yardstick
        return float("inf") if self.relevance else 0.0

    def within(self, limit: float) -> bool:
        """Whether the error is at most `limit` yardsticks, or negligible."""
        return bool(self.ratio <= limit or self.relevance < NEGLIGIBLE)


@dataclass(frozen=True)
class Validation:
    """The comparison at every layer, and at the input.

    missing: layers the reference does not report.  note: what was done to the model for the reference, "" if nothing.
    """

    reference: str
    layers: tuple[Comparison, ...]
    input: Comparison
    missing: tuple[str, ...] = ()
    note: str = ""

    @property
    def median_ratio(self) -> float:
        """The median over layers of the error in units of the yardstick."""
        return median(c.ratio for c in self.layers)

    @property
    def failures(self) -> list[Comparison]:
        """Every place whose error is beyond its limit."""
        return [c for c in self.layers if not c.within(LAYER_RATIO)] + (
            [] if self.input.within(INPUT_RATIO) else [self.input]
        )

    @property
    def passed(self) -> bool:
        """Whether every place is within its limit, the median is, and every layer was compared."""
        typical = median(c.relevance for c in self.layers) < NEGLIGIBLE or self.median_ratio <= MEDIAN_RATIO
        return typical and not self.failures and not self.missing

    def to_json(self) -> str:
        """Return everything as JSON."""
        rows = [asdict(c) | {"ratio": c.ratio, "passed": c.within(LAYER_RATIO)} for c in self.layers]
        entry = asdict(self.input) | {"ratio": self.input.ratio, "passed": self.input.within(INPUT_RATIO)}
        summary = {"reference": self.reference, "passed": self.passed, "median_ratio": self.median_ratio}
        found = {**summary, "missing": self.missing, "note": self.note}
        return json.dumps({**found, "input": entry, "layers": rows}, indent=1)


def validate(
    plan: Plan,
    x: np.ndarray,
    seed: np.ndarray,
    reference: str,
    run: Run,
    others: Mapping[str, np.ndarray] | None = None,
) -> Validation:
    """Run the plan and the reference on one sample and compare them.

    x: float32 (1, *input shape).  seed: (1, *output shape).  run: called with the input, the seed and
    "float64" or "float32".  others: the inputs beside the first, by name, for `COPIES` samples.
    Every convolution, dense layer, sum and pool that relevance reaches is compared, and the relevance at the input;
    both sides run in float32 on `COPIES` copies of x that differ by a rounding.
    """
    copies, seeds = rounding_copies(x), np.repeat(seed, COPIES, axis=0)
    exact, rounded = run(x, seed, "float64"), run(copies, seeds, "float32")
    return _comparison(plan, run_traced(plan, copies, seeds, others=others), reference, exact, rounded, _median, _worst)


def compare(plan: Plan, ours: Traced, name: str, exact: Reference, rounded: Reference) -> Validation:
    """Compare one run of ours with a reference's runs in float64 and in float32, over whole batches."""
    return _comparison(plan, ours, name, exact, rounded, relative_error, relative_error)


def rounding_copies(x: np.ndarray, count: int = COPIES) -> np.ndarray:
    """Return `count` copies of one sample: itself, and others off by at most one unit in the last place."""
    rng = np.random.default_rng(0)
    steps = rng.integers(-1, 2, (count, *x.shape[1:])).astype(np.float32)
    steps[0] = 0
    copies: np.ndarray = x * (1 + steps * np.finfo(np.float32).eps)
    return copies.astype(np.float32)


Distance = Callable[[np.ndarray, np.ndarray], float]


def _comparison(
    plan: Plan,
    ours: Traced,
    name: str,
    exact: Reference,
    rounded: Reference,
    distance: Distance,
    own_distance: Distance,
) -> Validation:
    # A sum that copies relevance is no module under zennit.
    rows = [
        row
        for row in plan.rows
        if row.kind in COMPARED and not isinstance(row.rule, Copy) and row.layer in ours.arriving
    ]
    layers = tuple(
        Comparison(
            row.layer,
            str(row.kind),
            distance(ours.activations[row.layer], exact.activations[row.layer]),
            distance(ours.arriving[row.layer], exact.arriving[row.layer]),
            own_distance(rounded.arriving[row.layer], exact.arriving[row.layer]),
        )
        for row in rows
        if row.layer in exact.arriving
    )
    entry = Comparison(
        plan.graph.inputs[0].name,
        "input",
        distance(ours.output, exact.output),
        distance(ours.relevance, exact.relevance),
        own_distance(rounded.relevance, exact.relevance),
    )
    missing = tuple(row.layer for row in rows if row.layer not in exact.arriving)
    return Validation(name, layers, entry, missing, exact.note)


def _median(copies: np.ndarray, expected: np.ndarray) -> float:
    return median(_each(copies, expected))


def _worst(copies: np.ndarray, expected: np.ndarray) -> float:
    return max(_each(copies, expected))


def _each(copies: np.ndarray, expected: np.ndarray) -> list[float]:
    """Return the error of each copy of one sample, which has one row or, where positions are rows, several in order."""
    return [relative_error(copy, expected) for copy in np.reshape(copies, (COPIES, -1))]


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return |actual - expected| / |expected| in L2; infinite where a value is not finite, or their sizes differ."""
    wanted = np.asarray(expected, np.float64).ravel()
    if np.size(actual) != wanted.size:
        return float("inf")
    difference = np.asarray(actual, np.float64).ravel() - wanted
    scale = float(np.linalg.norm(wanted))
    error = float(np.linalg.norm(difference))
    if not np.isfinite(error):
        return float("inf")
    return error / scale if scale else error
