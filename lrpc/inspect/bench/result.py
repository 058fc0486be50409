"""What a bench found, as values that can be written as JSON and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_PRODUCTS = ("Conv", "Gemm", "MatMul")
"""Part of the name of each op that multiplies, however the runtime fuses it: FusedConv, ConvTranspose, ..."""


@dataclass(frozen=True)
class Compilation:
    """What compiling took. seconds: to compile and save.  bytes: of the bundle.  work: see `convolution_work`."""

    level: int
    seconds: float
    bytes: int
    work: float


@dataclass(frozen=True)
class Row:
    """One contestant at one batch size.

    milliseconds: per sample.  forwards, gradients: the same in units of those two.  zennit: how many times as fast as
    zennit.  peak: bytes.  None where that was not measured.
    """

    contestant: str
    milliseconds: float
    forwards: float | None
    gradients: float | None
    zennit: float | None
    peak: int | None


@dataclass(frozen=True)
class Timing:
    """The contestants of one batch size. seconds: of each one's best turn.  peak: bytes, where memory was measured."""

    batch: int
    seconds: Mapping[str, float]
    peak: Mapping[str, int] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        """Return one row for each contestant, in the order in which they took turns."""
        return [
            Row(
                name,
                1e3 * seconds / self.batch,
                _ratio(seconds, self.seconds.get("forward")),
                _ratio(seconds, self.seconds.get("gradient")),
                _ratio(self.seconds.get("zennit"), seconds),
                self.peak.get(name),
            )
            for name, seconds in self.seconds.items()
        ]


def _ratio(seconds: float | None, unit: float | None) -> float | None:
    return None if seconds is None or unit is None else seconds / unit


@dataclass(frozen=True)
class OpTime:
    """One op type. count: how many nodes of it run, after the runtime's own optimizations.  seconds: of one run."""

    op: str
    count: int
    seconds: float

    @property
    def multiplies(self) -> bool:
        """Whether it is a convolution or a matrix product, which `convolution_work` counts."""
        return any(name in self.op for name in _PRODUCTS)


def multiplying_share(times: Sequence[OpTime]) -> float:
    """Return the part of the time that goes into convolutions and matrix products."""
    total = sum(entry.seconds for entry in times)
    return sum(entry.seconds for entry in times if entry.multiplies) / total if total else 0.0


@dataclass(frozen=True)
class Result:
    """One composite. notes: what was left out, and why.

    profiles: where the time of one run of the first batch goes, by contestant; empty where that was not asked.
    """

    composite: str
    compiled: Sequence[Compilation]
    timings: Sequence[Timing]
    notes: Sequence[str] = ()
    profiles: Mapping[str, Sequence[OpTime]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """Everything of one run. model: its name and bytes.  machine: processor, versions and threads in words.

    libraries: bytes of a process that has loaded no model, by their names.
    """

    model: str
    bytes: int
    machine: Mapping[str, Any]
    rounds: int
    results: Sequence[Result]
    libraries: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return everything as JSON, ratios included."""
        content = asdict(self)
        for result, written in zip(self.results, content["results"], strict=True):
            for timing, entry in zip(result.timings, written["timings"], strict=True):
                entry["rows"] = [asdict(row) for row in timing.rows()]
            for compilation in written["compiled"]:
                compilation["size_ratio"] = compilation["bytes"] / self.bytes
        return json.dumps(content, indent=1)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Bench:
        """Return what `to_json` wrote, read as JSON."""
        results = [*map(_result, content["results"])]
        own = {key: content[key] for key in ("model", "bytes", "machine", "rounds", "libraries")}
        return cls(results=results, **own)


def _result(entry: Mapping[str, Any]) -> Result:
    compiled, timings = [*map(_compilation, entry["compiled"])], [*map(_timing, entry["timings"])]
    profiles = {name: [OpTime(**time) for time in times] for name, times in entry["profiles"].items()}
    return Result(entry["composite"], compiled, timings, entry["notes"], profiles)


def _compilation(entry: Mapping[str, Any]) -> Compilation:
    return Compilation(entry["level"], entry["seconds"], entry["bytes"], entry["work"])


def _timing(entry: Mapping[str, Any]) -> Timing:
    return Timing(entry["batch"], entry["seconds"], entry["peak"])
