"""What a selected graph tells of its inputs: the one that relevance goes to, which is the first, and the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lrpc.bundle.input_spec import InputSpec
from lrpc.bundle.side_inputs import Other
from passes.graph import Graph, dtype_of, static_shape


def input_spec(graph: Graph) -> InputSpec | None:
    """Return what the file's metadata tell of the first input, None where they tell of nothing.

    They do not name the input that they describe: where there are several, it is one of the shape that they tell.
    """
    shape = (static_shape(graph.inputs[0]) or ())[1:]
    return spec_for(graph.metadata, shape, len(graph.inputs))


def spec_for(metadata: Mapping[str, str], shape: Sequence[int | None], inputs: int) -> InputSpec | None:
    """Return what metadata tell of an input of a model; shape: of one sample.  inputs: how many the model has."""
    spec = InputSpec.from_metadata(metadata)
    fits = len(shape) == len(spec.shape) if spec else True
    if spec is None or inputs == 1 or (fits and all(w in (None, n) for w, n in zip(shape, spec.shape, strict=True))):
        return spec
    known = tuple(size for size in shape if size is not None)
    return InputSpec(known if len(known) == len(shape) else (), classes=spec.classes)


def others_in(graph: Graph) -> tuple[Other, ...]:
    """Return the inputs that relevance does not go to, in order."""
    return tuple(
        Other(tensor.name, dtype_of(tensor).name, tuple(static_shape(tensor) or ())) for tensor in graph.inputs[1:]
    )
