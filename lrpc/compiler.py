"""compile(): load, canonize, plan, simplify, lower, bundle. Data goes one way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from lrpc.assemble import Variant, assemble
from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import OWN
from lrpc.composites.choice import Choice
from lrpc.composites.composite import Composite
from lrpc.emit.targets import TARGETS, Target, target_of
from lrpc.ops import OPS
from lrpc.plan.inputs import input_spec
from lrpc.plan.plan import Overrides, Plan, assign
from lrpc.plan.simplify import simplify
from passes.errors import LrpcError, Problem
from passes.graph import Graph
from passes.loading.batch_axis import batch_problems
from passes.loading.check import problems
from passes.loading.load import load
from passes.loading.select import select
from passes.pipeline import canonize

if TYPE_CHECKING:
    import torch

Source = "str | Path | onnx.ModelProto | torch.nn.Module"
Report = Callable[[str], None]
PLAIN = Variant()


@dataclass(frozen=True)
class Compiled:
    """A compiled model.

    plan: which rule each layer got.  bundle: the graphs, their weights and the manifest, in memory.
    target: what they are optimised for, None for the definitions.  timings: seconds by stage.
    """

    plan: Plan
    bundle: Bundle
    target: Target | None
    timings: dict[str, float] = field(default_factory=dict, compare=False)

    def save(self, path: str | Path, *, force: bool = False, single_file: bool = False) -> Path:
        """Write the bundle folder, or with `single_file` one self-contained explain.onnx; return its path.

        force: replace what lrpc wrote there before.
        Raises LrpcError where `path` is taken or cannot be written, where a folder is wanted of what takes or returns
        pictures, and where weights exceed what one file can hold.
        """
        return self.bundle.save(path, force=force, single_file=single_file)

    def variant(self, **options: Any) -> Compiled:
        """Compile the same plan for the same target again, with other options of `compile`: see `Variant`."""
        return compile_plan(self.plan, self.target, Variant(**options))


def compile(
    source: str | Path | onnx.ModelProto | torch.nn.Module,
    *,
    composite: Composite | Choice | None = None,
    rules: Overrides = (),
    optimize: int = 1,
    target: str = "auto",
    input: str | None = None,
    output: str | None = None,
    example_input: torch.Tensor | None = None,
    seed_input: bool = False,
    tunable: bool = False,
    half_forward: bool = False,
    preprocess: str | None = None,
    heatmap: bool = False,
    report: Report | None = None,
) -> Compiled:
    """Compile a model; the argument is never changed.

    source: an .onnx path, a ModelProto, or a torch module together with `example_input`.
    composite: None takes epsilon_gamma_box where the file tells the chosen input's range, else epsilon_plus_flat;
    a `Choice` is built with that range.
    rules: (pattern, rule) pairs that win over the composite.  optimize: 0, the definitions, term by term;
    1 (default), what facts leave of them, in the forms that are cheapest on `target`: "cpu", "cuda", "web", "openvino",
    "tensorrt", "tract", "portable" (what all of these have), or "auto", which is "cpu".
    input, output: which input relevance goes to and which output is explained, by name, where the model has several;
    the other inputs stay inputs of the graphs, and what flows to them is left out. `output` may be an inner tensor,
    such as the scores before a softmax.
    seed_input, tunable, half_forward, preprocess, heatmap: what else the graphs take, return and do; see `Variant`.
    report: called with one line per canonization step.
    Raises LrpcError with every problem of the model, and where its target lacks an operator.
    """
    chosen, watch = target_of(optimize, target), Stopwatch()
    variant = Variant(seed_input, tunable, half_forward, preprocess, heatmap)
    graph = select(load(_export(source, example_input)), input, output)
    watch.lap("load")
    canonical = canonize(graph, report=report)
    watch.lap("canonize")
    plan = _assign_rules(graph, canonical, composite, rules)
    watch.lap("plan")
    return compile_plan(plan, chosen, variant, watch)


def compile_plan(
    plan: Plan, target: Target | None = TARGETS["cpu"], variant: Variant = PLAIN, watch: Stopwatch | None = None
) -> Compiled:
    """Compile a plan: the second half of `compile`. target: None emits the definitions.  watch: times it goes on with.

    Raises LrpcError where the model cannot be compiled as `variant` says, or its target lacks an operator.
    """
    watch = watch or Stopwatch()
    simplified = plan if target is None else simplify(plan, tunable=variant.tunable)
    watch.lap("simplify")
    bundle = assemble(plan, simplified, target, variant)
    watch.lap("lower")
    return Compiled(plan, bundle, target, watch.laps)


def plan_model(
    source: str | Path | onnx.ModelProto | torch.nn.Module,
    *,
    composite: Composite | Choice | None = None,
    rules: Overrides = (),
    input: str | None = None,
    output: str | None = None,
    example_input: torch.Tensor | None = None,
    report: Report | None = None,
) -> Plan:
    """Load, canonize and plan a model, without lowering it. Parameters and errors are those of `compile`."""
    graph = select(load(_export(source, example_input)), input, output)
    return _assign_rules(graph, canonize(graph, report=report), composite, rules)


def _assign_rules(graph: Graph, canonical: Graph, composite: Composite | Choice | None, rules: Overrides) -> Plan:
    """Give every layer of a canonized graph its rule, or refuse the model with all that is wrong with it.

    graph: as it was loaded: its problems are told in the words of the file.
    """
    if taken := canonical.tensor_names() & OWN:
        names = ", ".join(sorted(taken))
        raise LrpcError(
            f"{canonical.name} has tensors called {names}, the names of the bundle's own.", hint="Rename them."
        )
    found = problems(graph)
    known = {problem.layer for problem in found}
    mixed = [problem for problem in _mixed_samples(canonical) if problem.layer not in known]
    return assign(canonical, chosen_composite(composite, canonical), rules, [*found, *mixed])


def _mixed_samples(canonical: Graph) -> list[Problem]:
    """Return where a canonized graph mixes samples, or moves them off the first axis: spellings do that, and undo it.

    Where ops have no rule at all, as those of attention, what only moves samples for them is not told beside them.
    """
    mixed, ruled = batch_problems(canonical), all(node.op in OPS for node in canonical.nodes)
    return [problem for problem in mixed if ruled or problem.op not in OPS]


def chosen_composite(wanted: Composite | Choice | None, graph: Graph) -> Composite:
    """Return the composite that is meant for a graph, whose metadata may tell the range of its first input."""
    if isinstance(wanted, Composite):
        return wanted
    spec = input_spec(graph)
    known = None if spec is None or spec.low is None or spec.high is None else (spec.low, spec.high)
    return (wanted or Choice()).composite(known)


def _export(source: Any, example_input: torch.Tensor | None) -> str | Path | onnx.ModelProto:
    if isinstance(source, (str, Path, onnx.ModelProto)):
        return source
    from lrpc.export import module_to_proto

    if example_input is None:
        raise LrpcError("Compiling a torch module needs `example_input`, a batch that the module takes.")
    proto: onnx.ModelProto = module_to_proto(source, example_input)
    return proto


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Say that a stage ended."""
        now = time.perf_counter()
        self.laps[stage], self._last = now - self._last, now
