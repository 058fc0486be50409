"""What to validate a plan on, where the user gives a picture and where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lrpc.image import InputSpec, load_images
from lrpc.inspect.traced import run_forward
from lrpc.plan import Plan
from passes.errors import LrpcError
from passes.graph import static_shape


def validation_input(plan: Plan, image: Path | None = None, target: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of one and its seed: a one-hot of `target`, or of the class with the largest output.

    image: a picture or an .npy file; None draws values in the input's range with a fixed seed.
    Raises LrpcError where the input's size is unknown or the class out of range.
    """
    shape = (static_shape(plan.graph.inputs[0]) or ())[1:]
    sizes = tuple(size for size in shape if size is not None)
    if not sizes or len(sizes) != len(shape):
        raise LrpcError(f"{plan.graph.name} has an input of unknown size.", hint="Export it with a fixed size.")
    spec = InputSpec.from_metadata(plan.graph.metadata) or InputSpec(sizes)
    x = load_images([image], spec)[0] if image else _random(spec)
    output = run_forward(plan, x)
    if output.ndim != 2:
        raise LrpcError(f"The output of {plan.graph.name} has {output.ndim} axes; validate takes (n, classes).")
    classes = output.shape[1]
    if target is not None and not 0 <= target < classes:
        raise LrpcError(f"Class {target} is out of range: the model has classes 0 to {classes - 1}.")
    chosen = output.argmax(axis=1) if target is None else np.full(len(x), target)
    return x, np.eye(classes, dtype=np.float32)[chosen]


def _random(spec: InputSpec) -> np.ndarray:
    """Draw values uniformly within the input's range, or from -2 to 2 where it is unknown."""
    rng = np.random.default_rng(0)
    channel = (-1, *[1] * (len(spec.shape) - 1))
    low, high = np.reshape(spec.low or [-2.0], channel), np.reshape(spec.high or [2.0], channel)
    values: np.ndarray = low + (high - low) * rng.random((1, *spec.shape))
    return values.astype(np.float32)
