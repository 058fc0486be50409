"""Find the layers that amplify relevance on given inputs, and the mildest rules that stop it.

The doctor traces, and gives the layers that amplify most their next remedy, round after round, until the
relevance at the input is of the size of the seed. If the heatmap then ranks pixels as general Gamma does, it is
cured. That second condition is what an epsilon of 1e3 fails: it tames any sum, by erasing the explanation. Where
it does not hold, every unbounded layer gets what general Gamma would give it, and old rules are put back as far
as both conditions allow.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lrpc.bundle.manifest import Thresholds
from lrpc.compiler import compile_plan
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.diagnose.remedies import healthy_rules, remedies
from lrpc.inspect.diagnose.trace import Trace, Tracer
from lrpc.plan.plan import Plan, Row
from lrpc.rules.behaviours import Behaviour
from lrpc.runtime.explainer import Target

HEALTHY = (0.2, 2.0)
"""Of the sum of |R| per unit of seed: its median over the inputs at least the first, its largest at most the second."""
AGREEMENT = 0.98
"""The mean rank correlation with general Gamma that a cure has at least; 0.9 would do, other pictures need a margin."""
_SEVERITIES = (10.0, 5.0, 3.0, 2.0, 1.5, 1.2)
"""Amplifications that are treated, the worst first."""
_MOST_TRIALS = 12

Report = Callable[[str], None]


@dataclass(frozen=True)
class Change:
    """A layer's new rule. amplification: its largest over the inputs, before and after the cure."""

    layer: str
    before: Behaviour
    after: Behaviour
    amplification: tuple[float, float]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found and did.

    before, after: traces of the inputs with the old and with the new rules (the same object if nothing changed).
    agreement: rank correlation of the heatmaps with general Gamma's, before and after, mean over the inputs;
    None where nothing was ill.  cured: whether `after` is healthy.  traces: how many were made.
    """

    plan: Plan
    before: Trace
    after: Trace
    changes: tuple[Change, ...]
    agreement: tuple[float, float] | None
    cured: bool
    traces: int = field(compare=False)

    def composite(self, base: Composite, name: str = "cured") -> Composite:
        """Return a composite that gives each changed layer its new rule, and the others what `base` gives them."""
        entries = [Entry(change.after, pattern=glob.escape(change.layer)) for change in self.changes]
        return Composite(name, (*entries, *base.entries))


def diagnose(
    plan: Plan,
    x: np.ndarray,
    classes: Target = None,
    report: Report | None = None,
    others: Mapping[str, np.ndarray] | None = None,
) -> Diagnosis:
    """Trace a plan on inputs, and change the rules of the layers that explode until it is healthy.

    x: float32 (n, *input shape).  classes: as `Explainer` takes its target; the top classes are found once and kept.
    report: called with a line for each round.  others: the inputs beside the first, as for `Explainer`.
    """
    before = Tracer(compile_plan(plan))(x, classes, others)
    if not any(before.health.alarms(*Thresholds().abs_sum)):
        return Diagnosis(plan, before, before, (), None, True, 1)
    fixed: Target = before.output.argmax(axis=1) if classes is None else classes
    ward = _Ward(plan, x, fixed, report or (lambda line: None), others)
    healed, after = _treat_amplifiers(ward, plan, before)
    if not ward.is_healthy(after):
        healed, after = _put_back(ward, healed, before, *ward.reference)
    changes = tuple(
        Change(old.layer, old.rule, new.rule, (before.worst(old.layer), after.worst(old.layer)))
        for old, new in zip(plan.rows, healed.rows, strict=True)
        if _differ(old, new)
    )
    agreement = (ward.agreement(before), ward.agreement(after))
    return Diagnosis(plan, before, after, changes, agreement, ward.is_healthy(after), 1 + ward.traces)


class _Ward:
    """The inputs, what a healthy explanation of them looks like, and the means to trace a plan on them."""

    def __init__(
        self, plan: Plan, x: np.ndarray, classes: Target, report: Report, others: Mapping[str, np.ndarray] | None
    ) -> None:
        self.x, self.classes, self.others, self.report, self.traces = x, classes, others, report, 0
        self.reference = self._healthy(plan)
        trace = self.reference[1]
        self.maps = _ranks(trace.relevance)
        # Where biases absorb nearly everything, general Gamma itself stays below the range.
        self.floor = min(HEALTHY[0], 0.5 * float(np.median(trace.health.abs_sum)))

    def _healthy(self, plan: Plan) -> tuple[Plan, Trace]:
        """Return the first kind of healthy plan whose relevance is not too large, with its trace."""
        reached = plan.reached
        for level in range(3):
            rows = tuple(
                replace(r, rule=healthy_rules(r.kind, r.rule)[level]) if r.layer in reached else r for r in plan.rows
            )
            found = replace(plan, rows=rows)
            trace = self.trace(found)
            if self.is_sized(trace):
                break
        return found, trace

    def trace(self, plan: Plan) -> Trace:
        self.traces += 1
        return Tracer(compile_plan(plan))(self.x, self.classes, self.others)

    def agreement(self, trace: Trace) -> float:
        """Return the mean rank correlation of a trace's heatmaps with the healthy ones."""
        return float(np.mean(np.sum(_ranks(trace.relevance) * self.maps, axis=1)))

    def is_sized(self, trace: Trace) -> bool:
        return bool((trace.health.nonfinite == 0).all() and trace.health.abs_sum.max() <= HEALTHY[1])

    def is_healthy(self, trace: Trace) -> bool:
        large_enough = float(np.median(trace.health.abs_sum)) >= self.floor
        return self.is_sized(trace) and large_enough and self.agreement(trace) >= AGREEMENT


def _treat_amplifiers(ward: _Ward, plan: Plan, trace: Trace) -> tuple[Plan, Trace]:
    """Give amplifying layers their next remedies, the worst layers first, until the explanation is healthy.

    A layer that has the healthy plan's rule already is left alone, however much it amplifies.
    """
    rows = zip(plan.rows, ward.reference[0].rows, strict=True)
    ladders = {row.layer: remedies(row.kind, row.rule) for row, healthy in rows if _differ(row, healthy)}
    for severity in _SEVERITIES:
        while not ward.is_healthy(trace):
            treated = [layer for layer in ladders if ladders[layer] and not trace.worst(layer) < severity]
            if not treated:
                break
            new = {layer: ladders[layer].pop(0) for layer in treated}
            plan = replace(plan, rows=tuple(replace(row, rule=new.get(row.layer, row.rule)) for row in plan.rows))
            trace = ward.trace(plan)
            ward.report(
                f"{len(treated)} layers that amplify by {severity:g} or more changed; "
                f"sum of |R| up to {trace.health.abs_sum.max():.3g}"
            )
    return plan, trace


def _put_back(ward: _Ward, milder: Plan, before: Trace, plan: Plan, trace: Trace) -> tuple[Plan, Trace]:
    """Go from the healthy plan towards a milder one, by groups of layers that halve where one is needed.

    before: the first trace; layers that amplified least in it are put back first.
    """
    ward.report(f"every unbounded layer changed: sum of |R| up to {trace.health.abs_sum.max():.3g}")
    rules = {row.layer: row for row in milder.rows}
    layers = sorted((r.layer for r in plan.rows if _differ(r, rules[r.layer])), key=before.worst)
    waiting, trials = [layers] if layers else [], 0
    while waiting and trials < _MOST_TRIALS:
        group = waiting.pop(0)
        trials += 1
        rows = tuple(rules[row.layer] if row.layer in group else row for row in plan.rows)
        trial = replace(plan, rows=rows)
        found = ward.trace(trial)
        if ward.is_healthy(found):
            plan, trace = trial, found
            ward.report(f"{len(group)} of these changes were not needed")
        elif len(group) > 1:
            waiting += [group[: len(group) // 2], group[len(group) // 2 :]]
    return plan, trace


def _differ(first: Row, second: Row) -> bool:
    return first.rule != second.rule


def _ranks(relevance: np.ndarray) -> np.ndarray:
    """Return, for each sample, the ranks of its pixels, centred and scaled so that a dot product correlates.

    relevance: (n, channels, ...), summed over its channels.
    """
    pixels = relevance.astype(np.float64).sum(axis=1).reshape(len(relevance), -1)
    ranks = np.argsort(np.argsort(pixels, axis=1, kind="stable"), axis=1, kind="stable").astype(np.float64)
    ranks -= ranks.mean(axis=1, keepdims=True)
    scaled: np.ndarray = ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-300)
    return scaled


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two heatmaps' pixels, for each sample of (n, channels, ...)."""
    correlations: np.ndarray = np.sum(_ranks(first) * _ranks(second), axis=1)
    return correlations


def summary(trace: Trace) -> str:
    """Describe the size of a trace's relevance at the input: 'median 0.6, largest 1.1'."""
    size: Sequence[float] = trace.health.abs_sum.tolist()
    return f"median {np.median(size):.3g}, largest {max(size):.3g}"
