"""Run a plan with every layer's output and arriving relevance as outputs of the graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from lrpc.bundle.names import RELEVANCE, SEED
from lrpc.emit.targets import TARGETS, Target
from lrpc.lower import forward_graph, relevance_graph
from lrpc.lower.graphs import traced_name
from lrpc.plan.plan import Plan
from lrpc.plan.simplify import simplify
from passes.graph.write import left_out, weights_of


@dataclass(frozen=True)
class Traced:
    """activations: each layer's output.  arriving: the relevance arriving there, where it does.  Both by layer name."""

    output: np.ndarray
    relevance: np.ndarray
    activations: dict[str, np.ndarray]
    arriving: dict[str, np.ndarray]


def run_traced(
    plan: Plan,
    x: np.ndarray,
    seed: np.ndarray,
    target: Target | None = TARGETS["cpu"],
    others: Mapping[str, np.ndarray] | None = None,
) -> Traced:
    """Run the separate graphs of a plan on the CPU in float32.

    x: (n, *input shape).  seed: shaped as the model's output.  target: what they are optimised for; None for -O0.
    others: the inputs beside the first, by name.
    """
    simplified = plan if target is None else simplify(plan)
    relevance_proto, taps = relevance_graph(simplified, trace=True, target=target)
    outputs = {node.name: node.outputs[0].name for node in plan.graph.nodes}
    wanted = list(dict.fromkeys([*taps, *outputs.values()]))
    given = {plan.graph.inputs[0].name: x, **(others or {})}
    tensors = {**given, **_run(plan, forward_graph(plan, wanted), given)}
    feeds = {name: tensors[name] for name in taps} | {SEED: seed}
    relevance = _run(plan, relevance_proto, feeds)
    return Traced(
        output=tensors[plan.graph.outputs[0].name],
        relevance=relevance[RELEVANCE],
        activations={layer: tensors[name] for layer, name in outputs.items()},
        arriving={layer: relevance[traced_name(layer)] for layer in outputs if traced_name(layer) in relevance},
    )


def run_forward(plan: Plan, x: np.ndarray, others: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """Return the canonized model's own output. others: the inputs beside the first, by name."""
    given = {plan.graph.inputs[0].name: x, **(others or {})}
    return _run(plan, forward_graph(plan, []), given)[plan.graph.outputs[0].name]


def _run(plan: Plan, proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if outside := left_out(proto):
        weights = weights_of(plan.graph)
        values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(weights[name])) for name in outside]
        options.add_external_initializers(outside, values)
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
