"""Describe a bundle in its manifest: what it was compiled from, for what, and where everything is."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.rule_signs import box_of
from lrpc.bundle.manifest import FORMAT, Box, Input, Manifest, Model, PlanRow, Tensor, Thresholds, Where
from lrpc.bundle.names import SEED, TARGET
from lrpc.emit.targets import Target
from lrpc.lower.tunable import tunables
from lrpc.plan.inputs import input_spec, others_in
from lrpc.plan.plan import Plan
from lrpc.version import VERSION
from passes.graph import static_shape


def describe(plan: Plan, target: Target | None, seed_input: bool, tunable: bool, trace: Sequence[Where]) -> Manifest:
    """Return what is known of a bundle before it is written. trace: where explain.onnx has each layer's relevance."""
    graph, spec = plan.graph, input_spec(plan.graph)
    entry, output = graph.inputs[0], graph.outputs[0]
    told = {key: _numbers(getattr(spec, key, None)) for key in ("mean", "std", "low", "high")}
    return Manifest(
        format=FORMAT,
        versions={"lrpc": VERSION, "onnx": onnx.__version__},
        model=Model(graph.name, graph.metadata.get("lrpc.source", ""), graph.opset),
        input=Input(entry.name, _per_sample(entry), **told),
        output=Tensor(output.name, _per_sample(output)),
        classes=tuple(spec.classes) if spec and spec.classes is not None else None,
        composite=plan.composite,
        optimize=0 if target is None else 1,
        target=target.name if target is not None else None,
        seed=SEED if seed_input else TARGET,
        plan=tuple(PlanRow(**row) for row in plan.to_rows()),
        thresholds=Thresholds(),
        box=_box(plan),
        others=others_in(graph),
        trace=tuple(trace),
        tunables=tuple(tunables(plan)) if tunable else (),
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


def _per_sample(tensor: gs.Tensor) -> tuple[int | None, ...]:
    return tuple((static_shape(tensor) or ())[1:])


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))
