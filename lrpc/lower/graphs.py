"""The three graphs of a bundle, over one canonized model and its plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx.helper
import onnx_graphsurgeon as gs

from lrpc.bundle.manifest import Where
from lrpc.bundle.names import HEALTH, RELEVANCE, SEED, SEPARATE, TARGET
from lrpc.emit.emitter import Emitter
from lrpc.emit.targets import Target
from lrpc.lower.health import emit_health
from lrpc.lower.propagate import Passage, propagate
from lrpc.lower.seed import emit_seed
from lrpc.lower.tunable import group_names
from lrpc.ops import COPIES
from lrpc.plan.plan import Plan
from passes.graph import Graph, Shape, shape_of, tidy
from passes.graph.write import to_proto, weights_of
from passes.loading.upgrade import OPSET


def traced_name(layer: str) -> str:
    """Return what a trace variant calls the relevance arriving at a layer's output."""
    return f"{layer}/traced"


def relevance_graph(
    plan: Plan, trace: bool = False, tunable: bool = False, target: Target | None = None
) -> tuple[onnx.ModelProto, list[str]]:
    """Return the separate backward graph (taps and seed in, relevance out) and the names of its taps.

    trace: also return the relevance arriving at each layer's output, called `traced_name(layer)`.
    tunable: take each rule's epsilon and gamma as inputs with defaults.
    plan: simplified, where there is a target.
    target: emit the forms that suit this runtime; None emits the definitions.
    """
    groups = group_names(plan) if tunable else None
    emit = Emitter(reserved=plan.graph.tensor_names(), groups=groups, target=target, known=plan.graph, copies=COPIES)
    output = plan.graph.outputs[0]
    seed = gs.Variable(SEED, np.float32, output.shape)
    relevance, passages = propagate(emit, plan, seed)
    outputs = [_name_output(emit, relevance, RELEVANCE, plan.graph.inputs[0].shape)]
    if trace:
        outputs += _trace_outputs(emit, plan, passages)
    body = gs.Graph(emit.nodes, [*emit.taps.values(), seed], outputs, name=SEPARATE, opset=OPSET)
    _leave_out(body, plan)
    taps = [name for name, tap in emit.taps.items() if tap.outputs]
    body.inputs = [*(emit.taps[name] for name in taps), seed]
    return _write(body, emit, plan), taps


def forward_graph(plan: Plan, taps: list[str]) -> onnx.ModelProto:
    """Return the canonized model with the taps as further outputs."""
    graph = plan.graph.copy()
    tensors = _computed(graph.body)
    known = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
    graph.body.outputs = [*graph.outputs, *(tensors[name] for name in taps if name not in known)]
    return to_proto(graph)


def explain_graph(
    plan: Plan, seed_input: bool = False, tunable: bool = False, target: Target | None = None
) -> tuple[onnx.ModelProto, list[Where]]:
    """Return model and relevance pass in one graph, and where a trace finds each layer in it.

    Inputs: the model's own, the one that relevance goes to first, then `target` (or `seed`), and where `tunable` each
    rule's epsilon and gamma, which have defaults; outputs: the model's own, `relevance`, `health`.
    target: as for `relevance_graph`.
    """
    graph = plan.graph.copy()
    output = graph.outputs[0]
    groups = group_names(plan) if tunable else None
    emit = Emitter(graph.body, plan.graph.tensor_names(), groups, target, plan.graph, COPIES)
    seed: gs.Tensor
    if seed_input:
        entry = gs.Variable(SEED, np.float32, output.shape)
        graph.body.inputs, seed = [*graph.inputs, entry], entry
    else:
        classes = gs.Variable(TARGET, np.int64, shape_of(output)[:1])
        graph.body.inputs = [*graph.inputs, classes]
        seed = emit_seed(emit, output, classes)
    relevance, passages = propagate(emit, plan, seed)
    explained = _name_output(emit, relevance, RELEVANCE, plan.graph.inputs[0].shape)
    health = emit_health(emit, explained, seed, HEALTH)
    graph.body.outputs = [*graph.outputs, explained, health]
    where = [_where(layer, passage) for layer, passage in passages.items()]
    _leave_out(graph.body, plan, where)
    return _write(graph.body, emit, plan), where


def _where(layer: str, passage: Passage) -> Where:
    return Where(
        layer,
        arriving=passage.arriving.names,
        handed=tuple(relevance.names for relevance in passage.handed),
        divisions=tuple((d.stabilized.name, d.quotient.name) for d in passage.divisions),
    )


def _leave_out(body: gs.Graph, plan: Plan, where: Sequence[Where] = ()) -> None:
    """Drop what was emitted for inputs that relevance does not go to, if there are any; a trace keeps its tensors."""
    if len(plan.graph.inputs) == 1:
        return
    tensors, outputs = _computed(body), body.outputs
    traced = {name for entry in where for name in entry.tensors}
    body.outputs = [*outputs, *(tensors[name] for name in sorted(traced))]
    tidy(Graph(body))
    body.outputs = outputs


def _computed(body: gs.Graph) -> dict[str, gs.Variable]:
    """Return, by name, all tensors that are no constants."""
    return {name: tensor for name, tensor in body.tensors().items() if isinstance(tensor, gs.Variable)}


def _name_output(emit: Emitter, tensor: gs.Tensor, name: str, shape: Shape | None) -> gs.Variable:
    (named,) = emit.ops("Identity", [tensor], [name])
    named.dtype, named.shape = np.float32, shape
    return named


def _trace_outputs(emit: Emitter, plan: Plan, passages: dict[str, Passage]) -> list[gs.Variable]:
    shapes = {node.name: node.outputs[0].shape for node in plan.graph.nodes}
    arriving = {layer: passages[layer].arriving.value(emit, f"{layer}/product") for layer in passages}
    return [_name_output(emit, arriving[layer], traced_name(layer), shapes[layer]) for layer in reversed(passages)]


def _write(body: gs.Graph, emit: Emitter, plan: Plan) -> onnx.ModelProto:
    notes = {
        name: {"lrpc.layer": layer} | ({"lrpc.rule": rule} if rule else {})
        for name, (layer, rule) in emit.provenance.items()
    }
    written = Graph(body, plan.graph.metadata, plan.graph.modules, body.name)
    proto = to_proto(written, notes, weights_of(plan.graph))
    for tunable in emit.tunables.values():  # an initializer that is an input too is the input's default
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tunable.name, onnx.TensorProto.FLOAT, []))
    return proto
