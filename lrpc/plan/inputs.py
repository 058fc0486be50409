"""What a selected graph tells of its inputs: the one that relevance goes to, which is the first, and the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx_graphsurgeon as gs

from lrpc.bundle.input_spec import InputSpec
from lrpc.bundle.side_inputs import Other
from passes.graph import Graph, dtype_of, static_shape


def input_spec(graph: Graph) -> InputSpec | None:
    """Return what the file's metadata tell of the first input, None where they tell of nothing.

    They do not name the input that they describe: it is one of the shape that they tell. Of any other, the shape is
    the graph's own, and no picture is known. Likewise the class names are those of an output that has as many classes.
    """
    spec = InputSpec.from_metadata(graph.metadata)
    if spec is None:
        return None
    count = [len(spec.classes or ())]
    spec = replace(spec, classes=spec.classes if _fits(_per_sample(graph.outputs[0]), count) else None)
    shape = _per_sample(graph.inputs[0])
    if _fits(shape, spec.shape):
        return spec
    known = tuple(size for size in shape if size is not None)
    return InputSpec(known if len(known) == len(shape) else (), classes=spec.classes)


def _per_sample(tensor: gs.Tensor) -> tuple[int | None, ...]:
    return (static_shape(tensor) or ())[1:]


def _fits(shape: Sequence[int | None], described: Sequence[int]) -> bool:
    """Whether a sample of this shape, None for an axis without a fixed size, can have the one that is described."""
    return len(shape) == len(described) and all(a in (None, b) for a, b in zip(shape, described, strict=True))


def others_in(graph: Graph) -> tuple[Other, ...]:
    """Return the inputs that relevance does not go to, in order."""
    return tuple(
        Other(tensor.name, dtype_of(tensor).name, tuple(static_shape(tensor) or ())) for tensor in graph.inputs[1:]
    )
