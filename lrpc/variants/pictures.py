"""What a single file does with pictures itself: normalise what comes in, colour what goes out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from lrpc.bundle.manifest import Manifest, Picture, Where
from lrpc.bundle.names import HEATMAP, IMAGE, RELEVANCE
from lrpc.plan.inputs import input_spec
from lrpc.variants.heatmap_out import heatmap_out
from lrpc.variants.picture_in import picture_in
from passes.errors import LrpcError
from passes.graph import Graph, sizes_of, static_shape

PREPROCESS = ("size", "any")
"""Pictures of the model's size, or of any size."""


@dataclass(frozen=True)
class Pictures:
    """preprocess: "size" or "any", None for the model's own input.  heatmap: whether one is returned."""

    preprocess: str | None = None
    heatmap: bool = False

    def __bool__(self) -> bool:
        return self.preprocess is not None or self.heatmap

    def check(self, graph: Graph) -> None:
        """Raise LrpcError where a model cannot be compiled so."""
        if not self:
            return
        wanted = [f"--{name}" for name in ("preprocess", "heatmap") if getattr(self, name)]
        if self.preprocess not in (None, *PREPROCESS):
            raise LrpcError(f"There is no preprocess={self.preprocess!r}.", hint=f"There are: {', '.join(PREPROCESS)}.")
        shape = (static_shape(graph.inputs[0]) or ())[1:]
        if len(shape) != 3 or None in shape[1:] or (self.preprocess and shape[0] not in (1, 3)):
            raise LrpcError(f"{graph.name} takes samples of shape {shape}; {' and '.join(wanted)} need pictures.")
        if self.preprocess:
            _normalisation(graph)
        _check_names(graph, {name for name, used in ((IMAGE, self.preprocess), (HEATMAP, self.heatmap)) if used})

    def write(self, explain: onnx.ModelProto, graph: Graph, manifest: Manifest) -> Manifest:
        """Change explain.onnx in place, and return a manifest that tells of it."""
        entry = graph.inputs[0]
        size = sizes_of(entry, 2)
        if self.heatmap:
            from lrpc.images.colour import colour_table

            heatmap_out(explain, RELEVANCE, colour_table())
            manifest = replace(manifest, heatmap=Picture(HEATMAP, (*size, 3)))
        if self.preprocess:
            mean, std = _normalisation(graph)
            inside = picture_in(explain, mean, std, self.preprocess == "any")
            sides = [None, None] if self.preprocess == "any" else size
            trace = tuple(_renamed(where, entry.name, inside) for where in manifest.trace or ())
            manifest = replace(manifest, picture=Picture(IMAGE, (*sides, 3)), trace=trace)
        return manifest


def _normalisation(graph: Graph) -> tuple[list[float], list[float]]:
    spec = input_spec(graph)
    if spec is None or spec.mean is None or spec.std is None:
        raise LrpcError(
            f"{graph.name} does not tell how pictures are normalised (mean and std), so --preprocess cannot.",
            hint="Export it with `lrpc export ... --mean M --std S`.",
        )
    return spec.mean, spec.std


def _check_names(graph: Graph, wanted: set[str]) -> None:
    taken = (graph.tensor_names() - {graph.inputs[0].name} | {node.name for node in graph.nodes}) & wanted
    if taken:
        raise LrpcError(
            f"{graph.name} has tensors called {', '.join(sorted(taken))}, the names of the picture and the heatmap.",
            hint="Rename them.",
        )


def _renamed(where: Where, old: str, new: str) -> Where:
    """Rename a tensor in the names that a trace goes by; a layer of that name keeps it."""

    def told(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    divisions = tuple((told((d,))[0], told((s,))[0]) for d, s in where.divisions)
    return replace(where, arriving=told(where.arriving), handed=tuple(map(told, where.handed)), divisions=divisions)
