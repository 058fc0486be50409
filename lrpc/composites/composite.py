"""What a composite is: an ordered list of entries, in which the first match gives a layer its rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from lrpc.rules.behaviours import Behaviour
from lrpc.rules.kinds import Kind

LAST = 1_000_000_000
"""The end of a range of leaves that goes on to the last."""


@dataclass(frozen=True)
class Place:
    """Where a layer stands. index: in the plan.  leaf: see `Entry`.  first: whether it is the entry's first layer."""

    index: int
    leaf: int | None
    first: bool


@dataclass(frozen=True)
class Entry:
    """One line of a composite: all its conditions must hold for the rule to apply.

    kinds: any of these kinds (empty: every kind).  ops: any of these ONNX ops (empty: every op).
    pattern: a case-sensitive glob over the layer's name.
    first: only the first layer of these kinds, in torch's registration order where the model file
    tells it, else in execution order.
    index: first and last place in the plan, inclusive.
    leaf: first and last place among torch's leaf modules in registration order, inclusive; where the file
    does not tell them, among the linear and pooling layers in execution order.
    """

    rule: Behaviour
    kinds: tuple[Kind, ...] = ()
    ops: tuple[str, ...] = ()
    pattern: str = "*"
    first: bool = False
    index: tuple[int, int] | None = None
    leaf: tuple[int, int] | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for conditions that no layer can meet."""
        if self.first and not self.kinds:
            raise ValueError("the first layer needs a kind that it is the first of")
        for name, limits in (("index", self.index), ("leaf", self.leaf)):
            if limits is not None and not 0 <= limits[0] <= limits[1]:
                raise ValueError(f"{name} is a first and a last place, counted from 0, not {list(limits)}")

    def matches(self, layer: str, op: str, kind: Kind, place: Place) -> bool:
        """Whether this entry applies to a layer."""
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.ops or op in self.ops)
            and (not self.first or place.first)
            and _within(place.index, self.index)
            and _within(place.leaf, self.leaf)
            and fnmatchcase(layer, self.pattern)
        )

    @property
    def is_sweeping(self) -> bool:
        """Whether it names layers by a wildcard alone: then it is for those that its rule fits."""
        wild = any(character in self.pattern for character in "*?[")
        placed = self.pattern == "*" and (self.first or self.index is not None or self.leaf is not None)
        return wild and not placed and not self.kinds and not self.ops

    @property
    def why(self) -> str:
        """The conditions in words, for the plan."""
        parts = [("first " if self.first else "") + " or ".join((*self.kinds, *self.ops))]
        parts += [f"layer {self.pattern}"] if self.pattern != "*" else []
        parts += [f"index {_range(self.index)}"] if self.index else []
        parts += [f"leaf {_range(self.leaf)}"] if self.leaf else []
        return self.origin or ", ".join(filter(None, parts)) or "every layer"


@dataclass(frozen=True)
class Composite:
    """A named, ordered list of entries; a layer that none matches is an error, never a default."""

    name: str
    entries: tuple[Entry, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a built-in composite was called with, for a reference that builds its own."""

    def __str__(self) -> str:
        return self.name


def _within(place: int | None, limits: tuple[int, int] | None) -> bool:
    return limits is None or (place is not None and limits[0] <= place <= limits[1])


def _range(limits: tuple[int, int]) -> str:
    first, last = limits
    return f"{first} on" if last == LAST else f"{first}" if first == last else f"{first} to {last}"
