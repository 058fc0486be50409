"""The inputs of a model that relevance does not go to: what they are, what may be given for them, and values to try.

They stay inputs of forward.onnx and explain.onnx, under their own names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from passes.errors import LrpcError

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Other:
    """One input. type: numpy's name of it.  shape: with its first axis; None for every axis without a fixed size."""

    name: str
    type: str
    shape: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if not hasattr(np, self.type) or np.dtype(self.type).kind not in "biuf":
            raise ValueError(f"`type` must be a numpy type of numbers, not {self.type[:20]!r}")
        if any(size is not None and not 0 <= size < 2**31 for size in self.shape):
            raise ValueError("`shape` must have sizes of at least 0")

    @property
    def batched(self) -> bool:
        """Whether it has a row for each sample: its first axis has no fixed size. Else it is given whole."""
        return self.shape[:1] == (None,)

    def __str__(self) -> str:
        sizes = ["n" if axis == 0 and size is None else "?" if size is None else size for axis, size in self._axes]
        return f"{self.name} {self.type} ({', '.join(map(str, sizes))})"

    @property
    def _axes(self) -> list[tuple[int, int | None]]:
        return list(enumerate(self.shape))

    def takes(self, shape: Sequence[int], count: int) -> bool:
        """Whether an array of this shape goes with a batch of `count` samples."""
        wanted = (count, *self.shape[1:]) if self.batched else self.shape
        return len(shape) == len(wanted) and all(w in (None, n) for w, n in zip(wanted, shape, strict=True))


def checked_others(given: Mapping[str, Any], wanted: Sequence[Other], count: int) -> Arrays:
    """Return what is given for each of the inputs, in the graphs' types.

    count: samples in the batch.  Raises LrpcError where one is missing, unknown, of another shape, or of a type whose
    values the input's cannot hold.
    """
    known = {other.name: other for other in wanted}
    there = f"beside it the model takes {_listed(wanted)}" if known else "relevance goes to its only input"
    if unknown := sorted(set(given) - set(known)):
        raise LrpcError(f"There is no other input {', '.join(unknown)}: {there}.")
    if missing := [other for other in wanted if other.name not in given]:
        raise LrpcError(
            f"The model takes {_listed(missing)} too, and nothing is given for it.",
            hint='Give it: --feed NAME=FILE.npy, or others={"NAME": array} in Python.',
        )
    return {name: _checked(other, given[name], count) for name, other in known.items()}


def part_of(others: Mapping[str, np.ndarray], wanted: Sequence[Other], rows: slice) -> Arrays:
    """Return what goes with a part of a batch: the rows of what has one for each sample, the rest whole."""
    batched = {other.name: other.batched for other in wanted}
    return {name: np.ascontiguousarray(v[rows]) if batched[name] else v for name, v in others.items()}


def repeated(one: Mapping[str, np.ndarray], wanted: Sequence[Other], count: int) -> Arrays:
    """Return what is given for one sample, for each of `count`."""
    batched = {other.name: other.batched for other in wanted}
    return {name: np.repeat(value, count, axis=0) if batched[name] else value for name, value in one.items()}


@cache
def drawn(wanted: tuple[Other, ...], count: int) -> Arrays:
    """Return values to try a model on: from -2 to 2 for floats, 0 and 1 for others, with seed 0, the same in every row.

    Raises LrpcError for an input of unknown size.
    """
    rng = np.random.default_rng(0)
    return repeated({other.name: _drawn(other, rng) for other in wanted}, wanted, count)


def _drawn(other: Other, rng: np.random.Generator) -> np.ndarray:
    """Draw one sample."""
    sizes = [size for size in other.shape[other.batched :] if size is not None]
    if len(sizes) != len(other.shape) - other.batched:
        raise LrpcError(f"The input {other} has an unknown size.", hint="Export the model with a fixed size.")
    values = rng.random(sizes)
    kind = np.dtype(other.type)
    sample = (4 * values - 2 if kind.kind == "f" else values.round()).astype(kind)
    return sample[None] if other.batched else sample


def _checked(other: Other, value: Any, count: int) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise LrpcError(f"What is given for {other.name} is no array of numbers; the model takes {other}.") from error
    if not np.can_cast(array.dtype, other.type, "same_kind"):
        raise LrpcError(f"What is given for {other.name} is {array.dtype}; the model takes {other}.")
    if not other.takes(array.shape, count):
        samples = f", with n = {count} as in the batch" if other.batched else ""
        raise LrpcError(f"What is given for {other.name} has shape {array.shape}; the model takes {other}{samples}.")
    return np.asarray(array, other.type, order="C")


def _listed(others: Iterable[Other]) -> str:
    return ", ".join(map(str, others))


def values_a_sample(wanted: Iterable[Other]) -> int:
    """Return how many values one sample has of all that come in rows; unknown sizes count as 1."""
    return sum(math.prod(size or 1 for size in other.shape[1:]) for other in wanted if other.batched)
