"""What to explain: a class per sample, the largest output, or a seed shaped as the output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from passes.errors import LrpcError

Target = int | Sequence[int] | np.ndarray | None


def is_seed(target: Target) -> bool:
    """Whether a target is a float seed, which relevance is linear in."""
    return isinstance(target, np.ndarray) and bool(np.issubdtype(target.dtype, np.floating))


def checked(target: Target, count: int, output: Sequence[int | None]) -> np.ndarray:
    """Return a target as one array over the batch: int64 (n,) with -1 for the top class, or a float32 seed.

    count: n.  output: the shape of the model's output, per sample.
    Raises LrpcError for another number of targets, a class out of range, and a seed of another shape.
    """
    if is_seed(target):
        return _checked_seed(np.asarray(target, np.float32), (count, *output))
    if target is None:
        return np.full(count, -1, np.int64)
    targets = np.asarray(target)
    if not np.issubdtype(targets.dtype, np.integer) or targets.shape not in ((), (count,)):
        raise LrpcError(f"A target is one class or {count} of them (integers), or a float seed.")
    classes = output[0] if output and output[0] is not None else 0
    outside = targets[(targets < 0) | (targets >= classes)]
    if outside.size:
        raise LrpcError(f"Class {outside.flat[0]} is out of range: the model has classes 0 to {classes - 1}.")
    return np.broadcast_to(targets.astype(np.int64), (count,)).copy()


def one_hot(targets: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Return the seed (n, classes) of checked classes (n,); output (n, classes) tells the top class."""
    chosen = np.where(targets < 0, output.argmax(axis=1), targets)
    return np.eye(output.shape[1], dtype=np.float32)[chosen]


def _checked_seed(seed: np.ndarray, expected: tuple[int | None, ...]) -> np.ndarray:
    if seed.ndim != len(expected) or any(d not in (None, n) for d, n in zip(expected, seed.shape, strict=True)):
        raise LrpcError(f"The seed has shape {seed.shape}; the model's output has {expected}.")
    return seed
