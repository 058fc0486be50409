"""compile(): load, canonize, plan, lower, bundle. Data goes one way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx

import lrpc
from lrpc import composites
from lrpc.bundle.manifest import FORMAT, Box, Input, Manifest, Model, PlanRow, Tensor, Thresholds, Where
from lrpc.bundle.store import save_bundle, save_single_file
from lrpc.composites.composite import Composite
from lrpc.emit.check import check_supported
from lrpc.emit.targets import TARGETS, Target, target_of
from lrpc.lower import explain_graph, forward_graph, relevance_graph
from lrpc.lower.tunable import tunables
from lrpc.ops import OPS
from lrpc.plan.inputs import input_spec, others_in
from lrpc.plan.plan import Overrides, Plan, assign
from lrpc.plan.rule_signs import box_of
from lrpc.variants.half_forward import half_forward as to_half
from lrpc.variants.pictures import Pictures
from passes.errors import LrpcError, Problem
from passes.graph import Graph, static_shape
from passes.graph.write import left_out, weights_of
from passes.loading.batch_axis import batch_problems
from passes.loading.check import problems
from passes.loading.file_errors import file_errors
from passes.loading.load import load
from passes.loading.select import select
from passes.pipeline import canonize

if TYPE_CHECKING:
    import torch

Source = "str | Path | onnx.ModelProto | torch.nn.Module"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Compiled:
    """A compiled model. plan: which rule each layer got.  target: what it is optimised for, None for the definitions.

    timings: seconds by stage.
    """

    plan: Plan
    timings: dict[str, float] = field(default_factory=dict, compare=False)
    target: Target | None = TARGETS["cpu"]

    def save(
        self,
        path: str | Path,
        *,
        force: bool = False,
        single_file: bool = False,
        seed_input: bool = False,
        tunable: bool = False,
        half_forward: bool = False,
        preprocess: str | None = None,
        heatmap: bool = False,
    ) -> Path:
        """Write the bundle folder, or with `single_file` one self-contained explain.onnx.

        seed_input: explain.onnx takes the input `seed` instead of `target`.  tunable: the graphs take each
        rule's epsilon and gamma as inputs with defaults.  half_forward: the forward pass runs in float16, the
        relevance pass in float32.  force: replace an existing bundle.
        preprocess: the single file takes pictures, `image` uint8 (n, h, w, 3), of the model's "size" or of "any".
        heatmap: the single file returns `heatmap` uint8 (n, h, w, 3) too.
        Raises LrpcError where `path` is taken, the output is no (n, classes), the model takes no pictures, or the
        target lacks an operator.
        """
        with file_errors(path, "written"):
            return self._save(
                Path(path), Pictures(preprocess, heatmap), force, single_file, seed_input, tunable, half_forward
            )

    def _save(
        self,
        path: Path,
        pictures: Pictures,
        force: bool,
        single_file: bool,
        seed_input: bool,
        tunable: bool,
        half_forward: bool,
    ) -> Path:
        pictures.check(self.plan.graph, single_file)
        if not seed_input:
            _check_classes(self.plan.graph)
        explain, where = explain_graph(self.plan, seed_input, tunable, self.target)
        manifest = replace(
            self._manifest("seed" if seed_input else "target", where),
            tunables=tuple(tunables(self.plan)) if tunable else (),
            half_forward=half_forward,
        )
        if single_file or half_forward:
            _check_self_contained(explain, "--single-file" if single_file else "--half-forward")
        halved = to_half if half_forward else _unchanged
        explain = halved(explain)
        if single_file:
            manifest = pictures.write(explain, self.plan.graph, manifest)
            self._check(explain)
            save_single_file(path, explain, manifest, force=force)
            return path
        relevance, taps = relevance_graph(self.plan, tunable=tunable, target=self.target)
        graphs = {"forward": halved(forward_graph(self.plan, taps)), "relevance": relevance, "explain": explain}
        for proto in graphs.values():
            self._check(proto)
        manifest = replace(manifest, taps=tuple(taps))
        save_bundle(path, graphs, manifest, force=force, outside=weights_of(self.plan.graph))
        return path

    def _check(self, proto: onnx.ModelProto) -> None:
        if self.target is not None:
            check_supported(proto, self.target.name)

    def _manifest(self, seed: Literal["target", "seed"], trace: Sequence[Where]) -> Manifest:
        graph, spec = self.plan.graph, input_spec(self.plan.graph)
        entry, output = graph.inputs[0], graph.outputs[0]
        told = {key: _numbers(getattr(spec, key, None)) for key in ("mean", "std", "low", "high")}
        return Manifest(
            format=FORMAT,
            versions={"lrpc": lrpc.__version__, "onnx": onnx.__version__},
            model=Model(graph.name, graph.metadata.get("lrpc.source", ""), graph.opset),
            input=Input(entry.name, _per_sample(entry), **told),
            output=Tensor(output.name, _per_sample(output)),
            classes=tuple(spec.classes) if spec and spec.classes is not None else None,
            composite=self.plan.composite,
            optimize=0 if self.target is None else 1,
            target=self.target.name if self.target is not None else None,
            seed=seed,
            plan=tuple(PlanRow(**row) for row in self.plan.to_rows()),
            thresholds=Thresholds(),
            box=_box(self.plan),
            others=others_in(graph),
            trace=tuple(trace),
        )


def _check_self_contained(explain: onnx.ModelProto, option: str) -> None:
    if left_out(explain):
        raise LrpcError(
            f"{explain.graph.name} has more than 2 GB of weights, the most that one ONNX file can hold: no {option}.",
            hint="Compile a bundle, whose weights are in a file of their own.",
        )


def compile(
    source: str | Path | onnx.ModelProto | torch.nn.Module,
    *,
    composite: Composite | None = None,
    rules: Overrides = (),
    optimize: int = 1,
    target: str = "auto",
    input: str | None = None,
    output: str | None = None,
    example_input: torch.Tensor | None = None,
    report: Report | None = None,
) -> Compiled:
    """Compile a model; the argument is never changed.

    source: an .onnx path, a ModelProto, or a torch module together with `example_input`.
    composite: None takes epsilon_gamma_box where the input's range is known, else epsilon_plus_flat.
    rules: (pattern, rule) pairs that win over the composite.  optimize: 0, the definitions, term by term;
    1 (default), what facts leave of them, in the forms that are cheapest on `target`: "cpu", "cuda", "web", "openvino",
    "tensorrt", "tract", "portable" (what all of these have), or "auto", which is "cpu".
    input, output: which input relevance goes to and which output is explained, by name, where the model has several;
    the other inputs stay inputs of the graphs, and what flows to them is left out. `output` may be an inner tensor,
    such as the scores before a softmax.
    report: called with one line per canonization step.
    Raises LrpcError with every problem of the model.
    """
    chosen = target_of(optimize, target)
    watch = time.perf_counter()
    plan = plan_model(
        source,
        composite=composite,
        rules=rules,
        input=input,
        output=output,
        example_input=example_input,
        report=report,
    )
    return Compiled(plan, {"plan": time.perf_counter() - watch}, chosen)


def plan_model(
    source: str | Path | onnx.ModelProto | torch.nn.Module,
    *,
    composite: Composite | None = None,
    rules: Overrides = (),
    input: str | None = None,
    output: str | None = None,
    example_input: torch.Tensor | None = None,
    report: Report | None = None,
) -> Plan:
    """Load, canonize and plan a model, without lowering it. Parameters and errors are those of `compile`."""
    graph = select(load(_exported(source, example_input)), input, output)
    found = problems(graph)
    canonical = canonize(graph, report=report)
    _check_names(canonical)
    known = {problem.layer for problem in found}
    mixed = [problem for problem in _mixed_samples(canonical) if problem.layer not in known]
    return assign(canonical, composite or default_composite(canonical), rules, [*found, *mixed])


def _mixed_samples(canonical: Graph) -> list[Problem]:
    """Return where a canonized graph mixes samples, or moves them off the first axis: spellings do that, and undo it.

    Where ops have no rule at all, as those of attention, what only moves samples for them is not told beside them.
    """
    mixed, ruled = batch_problems(canonical), all(node.op in OPS for node in canonical.nodes)
    return [problem for problem in mixed if ruled or problem.op not in OPS]


def default_composite(graph: Graph) -> Composite:
    """Return epsilon_gamma_box where the file tells the input's range, else epsilon_plus_flat."""
    spec = input_spec(graph)
    if spec is None or spec.low is None or spec.high is None:
        return composites.epsilon_plus_flat()
    return composites.epsilon_gamma_box(low=spec.low, high=spec.high)


def _exported(source: Any, example_input: torch.Tensor | None) -> str | Path | onnx.ModelProto:
    if isinstance(source, (str, Path, onnx.ModelProto)):
        return source
    from lrpc.export import module_to_proto

    if example_input is None:
        raise LrpcError("Compiling a torch module needs `example_input`, a batch that the module takes.")
    proto: onnx.ModelProto = module_to_proto(source, example_input)
    return proto


def _check_names(graph: Graph) -> None:
    taken = graph.tensor_names() & {"seed", "target", "relevance", "health"}
    if taken:
        names = ", ".join(sorted(taken))
        raise LrpcError(f"{graph.name} has tensors called {names}, the names of the bundle's own.", hint="Rename them.")


def _check_classes(graph: Graph) -> None:
    shape = static_shape(graph.outputs[0])
    if shape is None or len(shape) != 2 or shape[1] is None:
        raise LrpcError(
            f"The output of {graph.name} has shape {graph.outputs[0].shape}, not (n, classes): "
            "a class alone is no target.",
            hint="Compile it with --seed-input, and give a seed shaped as the output.",
        )


def _box(plan: Plan) -> Box | None:
    """Return the range that ZBox takes the model's input to lie in, None where no such rule reads it."""
    entry = plan.graph.inputs[0]
    for node, row in zip(plan.graph.nodes, plan.rows, strict=True):
        box = box_of(row.rule)
        if box is not None and node.inputs[0] is entry:
            low, high = (tuple(end) if isinstance(end, list) else end for end in box)
            return Box(low, high)
    return None


def _unchanged(proto: onnx.ModelProto) -> onnx.ModelProto:
    return proto


def _per_sample(tensor: Any) -> tuple[int | None, ...]:
    return tuple((static_shape(tensor) or ())[1:])


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))
