"""Lower a plan into the graphs of a bundle, vary them as asked for, and hold them against their target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx

from lrpc.assemble.describe import describe
from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import EXPLAIN, FORWARD, SEPARATE
from lrpc.emit.check import check_supported
from lrpc.emit.targets import Target
from lrpc.lower import explain_graph, forward_graph, relevance_graph
from lrpc.plan.plan import Plan
from lrpc.variants.half_forward import half_forward
from lrpc.variants.pictures import Pictures
from passes.errors import LrpcError
from passes.graph import Graph, static_shape
from passes.graph.write import left_out, weights_of


@dataclass(frozen=True)
class Variant:
    """What else the graphs of a bundle take, return and do.

    seed_input: explain.onnx takes the input `seed` instead of `target`.
    tunable: the graphs take each rule's epsilon and gamma as inputs with defaults.
    half_forward: the forward pass runs in float16, the relevance pass in float32.
    preprocess: explain.onnx takes pictures, `image` uint8 (n, h, w, 3), of the model's "size" or of "any"; such a
    bundle has no separate graphs, and is saved as a single file.
    heatmap: explain.onnx returns `heatmap` uint8 (n, h, w, 3) too, likewise.
    """

    seed_input: bool = False
    tunable: bool = False
    half_forward: bool = False
    preprocess: str | None = None
    heatmap: bool = False

    @property
    def pictures(self) -> Pictures:
        """What explain.onnx does with pictures."""
        return Pictures(self.preprocess, self.heatmap)

    def check(self, graph: Graph) -> None:
        """Raise LrpcError where a canonized model cannot be compiled so."""
        self.pictures.check(graph)
        shape = static_shape(graph.outputs[0])
        if not self.seed_input and (shape is None or len(shape) != 2 or shape[1] is None):
            raise LrpcError(
                f"The output of {graph.name} has shape {graph.outputs[0].shape}, not (n, classes): "
                "a class alone is no target.",
                hint="Compile it with --seed-input, and give a seed shaped as the output.",
            )


def assemble(plan: Plan, simplified: Plan, target: Target | None, variant: Variant) -> Bundle:
    """Return the bundle of a plan.

    simplified: what facts leave of it; the plan itself where `target` is None.  target: what the graphs are for.
    Raises LrpcError where the model cannot be compiled as `variant` says, or its target lacks an operator.
    """
    graph, pictures = plan.graph, variant.pictures
    variant.check(graph)
    explain, where = explain_graph(simplified, variant.seed_input, variant.tunable, target)
    manifest = describe(plan, target, variant.seed_input, variant.tunable, where)
    manifest = replace(manifest, half_forward=variant.half_forward)
    halve = _halver(explain) if variant.half_forward else _keep
    graphs = {EXPLAIN: halve(explain)}
    if pictures:
        manifest = pictures.write(explain, graph, manifest)
    else:
        relevance, taps = relevance_graph(simplified, tunable=variant.tunable, target=target)
        graphs = {FORWARD: halve(forward_graph(plan, taps)), SEPARATE: relevance, **graphs}
        manifest = replace(manifest, taps=tuple(taps))
    if target is not None:
        for proto in graphs.values():
            check_supported(proto, target.name)
    return Bundle.of(manifest, graphs, weights_of(graph))


def _halver(explain: onnx.ModelProto) -> Callable[[onnx.ModelProto], onnx.ModelProto]:
    if left_out(explain):
        raise LrpcError(
            f"{explain.graph.name} has more than 2 GB of weights, the most that one ONNX file can hold: "
            "no --half-forward.",
            hint="Compile a bundle, whose weights are in a file of their own.",
        )
    return half_forward


def _keep(proto: onnx.ModelProto) -> onnx.ModelProto:
    return proto
