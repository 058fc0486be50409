"""Hold what a plan emits against the oracle: from end to end, layer by layer, and against the plan's own bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import numpy as np
import onnx_graphsurgeon as gs
import torch

from lrpc.behaviours.linear.rule_signs import box_of
from lrpc.composites.composite import Composite
from lrpc.emit.targets import TARGETS, Target
from lrpc.inspect.validate.traced import Traced, run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.ops import OPS
from lrpc.plan.certificate import certify
from lrpc.plan.plan import Plan, assign
from lrpc.reference import run_oracle
from lrpc.reference.oracle import Oracle, ReferenceResult
from lrpc.rules.behaviours import Behaviour, Pass
from lrpc.rules.kinds import Kind
from tests.random_plans import ENTRIES, Case

LEVELS: dict[str, Target | None] = {"-O0": None} | {
    f"-O1 {name}": TARGETS[name] for name in ("cpu", "cuda", "portable")
}
"""The definitions, and targets that together take every form of every step."""
BY_LAYER = ("-O0", "-O1 cpu")
"""Where each layer is looked at by itself too: forms of a step do not change what a layer does."""
YARDSTICKS, COPIES, MORE = 4, 5, 25
"""How many times what rounding does to the oracle an error may be, and on how many roundings that is looked at.

Where a denominator is nearly 0, the worst of a few roundings says little; a case that fails is looked at on more of them.
"""
ULP, FLOOR = 2.0**-23, 16 * 2.0**-23
"""One unit in the last place, and how much of an error is always allowed: a few of them."""
TINY, LARGE = 1e-30, 1e30
"""Relevance beyond these says nothing: float32 ends at 1e-38 and 3e38, and what is on the way lies further out."""

Places = dict[str, np.ndarray]
"""What arrives at each layer's output, by layer, and at the input."""


@dataclass(frozen=True)
class Reference:
    """What the oracle says of a case, and how far rounding moves it, place by place.

    Both sides run on copies of the batch that differ by a rounding: our median counts, and the oracle's worst. A mistake
    in the mathematics is there in every copy, an accident of rounding is not.
    """

    case: Case
    count: int = COPIES

    @property
    def plan(self) -> Plan:
        return self.case.plan

    @cached_property
    def exact(self) -> ReferenceResult:
        return self._run(self.case.x, self.case.seed, "float64")

    @cached_property
    def is_rounded(self) -> bool:
        """Whether float32 rounds anything in the forward pass. Where it does not, a pre-activation of 0 is no accident."""
        single = self._run(self.case.x, self.case.seed, "float32")
        return not all(np.array_equal(single.activations[k], v) for k, v in self.exact.activations.items())

    @cached_property
    def copies(self) -> tuple[np.ndarray, np.ndarray]:
        """Input and seed, several times over. The input's copies differ only where its roundings are no facts."""
        rng = np.random.default_rng(0)
        x = moved(self.case.x, self.count, rng) if self.is_rounded else np.concatenate([self.case.x] * self.count)
        return x, moved(self.case.seed, self.count, rng)

    @cached_property
    def yardsticks(self) -> dict[str, float]:
        """The oracle's own error in float32, the worst of all copies, by place."""
        return errors(places(self._run(*self.copies, "float32")), places(self.exact), max, self.count)

    @cached_property
    def coarseness(self) -> dict[str, float]:
        """How far off the slopes of activations may put what arrives, by place."""
        oracle = Coarse(self.plan.graph, self.plan.behaviours, torch.float64)
        coarse = places(oracle(self.case.x, self.case.seed))
        return {place: relative_error(coarse[place], values) for place, values in places(self.exact).items()}

    def check(self, target: Target | None, by_layer: bool) -> None:
        """Emit a plan for a target, and hold it against the oracle, from end to end and each layer by itself."""
        ours = run_traced(self.plan, *self.copies, target)
        self.check_end_to_end(ours)
        if by_layer:
            self.check_layers(ours)
            self.check_bounds(ours)

    def check_end_to_end(self, ours: Traced) -> None:
        """Every layer's relevance is as near to float64 as the oracle in float32 is."""
        limits = {place: yardstick + self.coarseness[place] for place, yardstick in self.yardsticks.items()}
        compare(errors(places(ours), places(self.exact), median, self.count), limits, "from float64")

    def check_layers(self, ours: Traced) -> None:
        """Each layer hands down what its rule says, given what arrived there: errors of others do not excuse one."""
        local = Local(self.plan, self.copies[0], ours)
        exact, rounded = local.collected(torch.float64), local.collected(torch.float32)
        copies = {place: np.split(values, self.count) for place, values in exact.items()}
        coarse = {place: relative_error(v, exact[place]) for place, v in local.collected(torch.float64, Coarse).items()}
        limits = {
            place: yardstick + coarse[place] for place, yardstick in errors(rounded, copies, max, self.count).items()
        }
        compare(errors(local.arriving, copies, median, self.count), limits, "of what was handed there")

    def check_bounds(self, ours: Traced) -> None:
        """No layer hands down more than the plan promises: not the formula in float64, nor what was emitted."""
        bounds = certify(self.plan).layers
        for layer, (given, taken, emitted) in Local(self.plan, self.copies[0], ours).amplified().items():
            limit = bounds[layer].limit
            if given > TINY:
                assert taken <= limit * given * (1 + 1e-9), (
                    f"{layer}: {taken / given:.6g} of {bounds[layer]}, by formula"
                )
                if emitted is not None:
                    assert emitted <= limit * given * (1 + FLOOR), f"{layer}: {emitted / given:.6g} of {bounds[layer]}"

    def _run(self, x: np.ndarray, seed: np.ndarray, dtype: str) -> ReferenceResult:
        return run_oracle(self.plan.graph, self.plan.behaviours, x, seed, dtype)


class Coarse(Oracle):
    """An oracle whose activations have slopes that are off by a unit in the last place of 1.

    A slope is computed from values of about 1, such as tanh(x), and in ONNX Runtime's Sigmoid as one: however small it is
    itself, where the function is nearly flat, it is no nearer to the truth.
    """

    def handed(self, node, values, relevance):
        parts = super().handed(node, values, relevance)
        if OPS[node.op].kind is not Kind.ACTIVATION or self.behaviours[node.name] == Pass():
            return parts
        return [(name, part + ULP * relevance) for name, part in parts]


@dataclass(frozen=True)
class Local:
    """One emitted run, whose layers are looked at each by itself."""

    plan: Plan
    x: np.ndarray
    ours: Traced | ReferenceResult

    @property
    def arriving(self) -> Places:
        """What arrives, by tensor."""
        return self._by_tensor(self.ours.arriving, self.ours.relevance)

    def collected(self, dtype: torch.dtype, oracle: type[Oracle] = Oracle) -> Places:
        """What the rules say that arrives at each tensor, given what arrived at the layers that read it."""
        found: dict[str, torch.Tensor] = {}
        for _, _, parts in self.handed(dtype, oracle):
            for name, part in parts:
                found[name] = found[name] + part if name in found else part
        return {name: tensor.numpy() for name, tensor in found.items()}

    def handed(
        self, dtype: torch.dtype, kind: type[Oracle] = Oracle
    ) -> Iterator[tuple[gs.Node, torch.Tensor, list[tuple[str, torch.Tensor]]]]:
        """Ask an oracle, layer by layer, for what they hand down of what was emitted to arrive at them."""
        oracle = kind(self.plan.graph, self.plan.behaviours, dtype)
        by_tensor = self._by_tensor(self.ours.activations, self.x)
        values = {name: torch.tensor(array, dtype=dtype) for name, array in by_tensor.items()}
        for node in self.plan.graph.nodes:
            relevance = torch.tensor(self.ours.arriving[node.name], dtype=dtype)
            yield node, relevance, oracle.handed(node, values, relevance)

    def amplified(self) -> dict[str, tuple[float, float, float | None]]:
        """By layer: sum |R| that arrives, that is handed down by the rule in float64, and by what was emitted.

        None for the last where others hand relevance to the same tensors. Layers outside their box are left out.
        """
        arriving, readers = self.arriving, Counter(t.name for node in self.plan.graph.nodes for t in node.inputs)
        inputs, found = self._by_tensor(self.ours.activations, self.x), {}
        for node, relevance, parts in self.handed(torch.float64):
            if within_box(self.plan.behaviours[node.name], inputs.get(node.inputs[0].name)):
                computed = [(name, part) for name, part in parts if name in arriving]
                alone = all(readers[name] == 1 for name, _ in computed)
                emitted = sum(total(arriving[name]) for name, _ in computed) if alone else None
                found[node.name] = (total(relevance.numpy()), sum(total(p.numpy()) for _, p in computed), emitted)
        return found

    def _by_tensor(self, layers: Mapping[str, np.ndarray], entry: np.ndarray) -> Places:
        graph = self.plan.graph
        return {node.outputs[0].name: layers[node.name] for node in graph.nodes} | {graph.inputs[0].name: entry}


def check_emitted(case: Case, levels: Mapping[str, Target | None] = LEVELS) -> None:
    """Run every level and hold it against the oracle."""
    few, more = Reference(case), Reference(case, MORE)
    for name, target in levels.items():
        try:
            few.check(target, name in BY_LAYER)
        except AssertionError:
            try:
                more.check(target, name in BY_LAYER)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}\n{case}") from None


def complaint(case: Case) -> str:
    """What is wrong with a case, "" if nothing is."""
    try:
        check_emitted(case)
    except Exception as error:
        return f"{type(error).__name__} {error}"
    return ""


def shrunk(case: Case) -> Case:
    """Give each layer a plain rule, one after the other, as long as the case stays wrong."""
    rules = case.plan.behaviours
    for layer in list(rules):
        fewer = {name: rule for name, rule in rules.items() if name != layer}
        plan = assign(case.plan.graph, Composite("random", ENTRIES), list(fewer.items()))
        if complaint(replace(case, plan=plan)):
            case, rules = replace(case, plan=plan), fewer
    return case


def explains(case: Case) -> bool:
    """Whether a case says anything: its relevance is finite in float64, and float32 can hold it."""
    found = places(Reference(case).exact)
    return all(np.isfinite(v).all() and (np.abs(v) < LARGE).all() for v in found.values())


def places(result: Traced | ReferenceResult) -> Places:
    return {"the input": result.relevance, **result.arriving}


Summary = Callable[[Iterable[float]], float]


def errors(
    copies: Places, exact: Mapping[str, np.ndarray | list[np.ndarray]], summary: Summary, count: int
) -> dict[str, float]:
    """The relative errors of the copies of a batch, summed up by place. exact: what is right, of all copies or of each.

    Places where next to nothing arrives are left out.
    """
    found = {}
    for place, values in copies.items():
        if place in exact and np.abs(np.asarray(exact[place])).sum() > TINY:
            wanted = exact[place] if isinstance(exact[place], list) else [exact[place]] * count
            found[place] = summary(
                [relative_error(*pair) for pair in zip(np.split(values, count), wanted, strict=True)]
            )
    return found


def compare(ours: Mapping[str, float], yardsticks: Mapping[str, float], what: str) -> None:
    """Complain of the first error beyond its limit, from the output down."""
    for place, error in ours.items():
        limit = max(FLOOR, YARDSTICKS * yardsticks[place])
        assert error <= limit, f"{place}: off by {error:.1e} {what}, allowed are {limit:.1e}"


def moved(values: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Copies of a batch, the first as it is, the others off by at most one unit in the last place."""
    steps = rng.integers(-1, 2, (count, *values.shape)).astype(np.float32)
    steps[0] = 0
    return (values * (1 + steps * np.float32(ULP))).astype(np.float32).reshape(-1, *values.shape[1:])


def within_box(rule: Behaviour, x: np.ndarray | None) -> bool:
    """Whether a layer's input is where its bounds say, if it has any."""
    box = box_of(rule)
    if box is None or x is None:
        return True
    low, high = (np.reshape(end, (1, -1, *[1] * (x.ndim - 2))) for end in box)
    return bool(((x >= low) & (x <= high)).all())


def total(values: np.ndarray) -> float:
    return float(np.abs(values.astype(np.float64)).sum())
