"""What to validate a plan on, where the user gives a picture and where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lrpc.bundle.input_spec import InputSpec
from lrpc.bundle.side_inputs import drawn
from lrpc.images.read import load_images
from lrpc.inspect.validate.traced import run_forward
from lrpc.plan.inputs import input_spec, others_in
from lrpc.plan.plan import Plan
from passes.errors import LrpcError
from passes.graph import static_shape

Others = Callable[[int], Mapping[str, np.ndarray]]
"""What the inputs beside the first are given, by name, for a number of samples."""


def random_others(plan: Plan) -> Others:
    """Return values with a fixed seed, the same for every sample: see `lrpc.bundle.side_inputs.drawn`."""
    wanted = others_in(plan.graph)
    return lambda count: drawn(wanted, count)


def validation_input(
    plan: Plan, image: Path | None = None, seed_class: int | None = None, others: Others | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of one and its seed: a one-hot of `seed_class`, or of the class with the largest output.

    image: a picture or an .npy file; None draws values in the input's range with a fixed seed.
    others: by default random ones.  Raises LrpcError where an input's size is unknown or the class out of range.
    """
    shape = (static_shape(plan.graph.inputs[0]) or ())[1:]
    sizes = tuple(size for size in shape if size is not None)
    if not sizes or len(sizes) != len(shape):
        raise LrpcError(f"{plan.graph.name} has an input of unknown size.", hint="Export it with a fixed size.")
    spec = input_spec(plan.graph) or InputSpec(sizes)
    x = load_images([image], spec)[0] if image else _random(spec)
    output = run_forward(plan, x, (others or random_others(plan))(len(x)))
    if output.ndim != 2:
        raise LrpcError(f"The output of {plan.graph.name} has {output.ndim} axes; validate takes (n, classes).")
    classes = output.shape[1]
    if seed_class is not None and not 0 <= seed_class < classes:
        raise LrpcError(f"Class {seed_class} is out of range: the model has classes 0 to {classes - 1}.")
    chosen = output.argmax(axis=1) if seed_class is None else np.full(len(x), seed_class)
    return x, np.eye(classes, dtype=np.float32)[chosen]


def _random(spec: InputSpec) -> np.ndarray:
    """Draw values uniformly within the input's range, or from -2 to 2 where it is unknown."""
    rng = np.random.default_rng(0)
    channel = (-1, *[1] * (len(spec.shape) - 1))
    low, high = np.reshape(spec.low or [-2.0], channel), np.reshape(spec.high or [2.0], channel)
    values: np.ndarray = low + (high - low) * rng.random((1, *spec.shape))
    return values.astype(np.float32)
