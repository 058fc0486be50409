"""The same explanation for every combination of a few parameters, resumable: a study of gamma and epsilon.

The model is compiled once, with its parameters as graph inputs; every point of the grid is stored as soon
as it is there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrpc.compiler import Compiled
from lrpc.rules.values import at_least_zero
from lrpc.runtime.explainer import Explainer, Target
from lrpc.runtime.health import HealthWarning
from passes.errors import LrpcError

INDEX = "sweep.json"

Grid = Mapping[str, Sequence[float]]
Others = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Point:
    """One combination. values: by parameter.  relevance: (n, *input shape).  abs_sum: per unit of seed, (n,).

    alarms: for each sample why its explanation is not to be trusted, "" if it is.
    """

    values: dict[str, float]
    relevance: np.ndarray
    abs_sum: np.ndarray
    alarms: list[str]

    @property
    def label(self) -> str:
        """The combination in words: 'gamma 0.25, epsilon 1e-06'."""
        return ", ".join(f"{key} {value:g}" for key, value in self.values.items())


def parse_grid(text: str) -> dict[str, list[float]]:
    """Read 'gamma=0,0.25,1,epsilon=1e-6,1e-3': a name starts a parameter, numbers follow. Raises ValueError."""
    grid: dict[str, list[float]] = {}
    name = ""
    for part in text.split(","):
        key, equals, value = part.rpartition("=")
        if equals:
            name = key.strip()
            if not name or name in grid:
                raise ValueError(f"{text!r} names no parameter, or one twice, before {part!r}")
            grid[name] = []
        if not name:
            raise ValueError(f"{text!r} does not begin with a parameter, as in gamma=0,0.25,1")
        grid[name].append(_number(value, text))
    return grid


def _number(text: str, grid: str) -> float:
    try:
        return at_least_zero("a value", float(text))
    except ValueError as error:
        raise ValueError(f"{text!r} in {grid!r} cannot be swept: {error}") from error


def sweep(
    compiled: Compiled, x: np.ndarray, classes: Target, grid: Grid, folder: Path, others: Others | None = None
) -> Iterator[Point]:
    """Explain a batch at every point of a grid, taking from `folder` what an earlier run stored there.

    grid: values by parameter. `gamma` and `epsilon` mean those of all rules, `norm.epsilon` that of one rule.
    others: the inputs beside the first, as for `Explainer`.
    Raises LrpcError for a parameter that no rule has, and for a folder that holds another sweep.
    """
    tunable = compiled.variant(tunable=True)
    names = _tunable_names(tunable, grid)
    _claim(folder, compiled, x, classes, grid, others or {})
    explainer = Explainer(tunable)
    for number, combination in enumerate(itertools.product(*grid.values())):
        values = dict(zip(grid, combination, strict=True))
        file = folder / f"point{number:04d}.npz"
        if not file.exists():
            tuned = {name: value for key, value in values.items() for name in names[key]}
            _store(file, explainer, x, classes, tuned, others or {})
        with np.load(file) as stored:
            yield Point(values, stored["relevance"], stored["abs_sum"], [str(alarm) for alarm in stored["alarms"]])


def _tunable_names(compiled: Compiled, grid: Grid) -> dict[str, list[str]]:
    known = [tunable.name for tunable in compiled.bundle.manifest.tunables]
    names = {key: [name for name in known if name == key or name.endswith(f".{key}")] for key in grid}
    if missing := [key for key, found in names.items() if not found]:
        raise LrpcError(f"No rule of the plan has {', '.join(missing)}.", hint=f"There are {', '.join(known)}.")
    return names


def _claim(folder: Path, compiled: Compiled, x: np.ndarray, classes: Target, grid: Grid, others: Others) -> None:
    """Write what the folder's sweep is of, or check that it is this one."""
    digest = hashlib.sha256(x.tobytes())
    for name, value in sorted(others.items()):
        digest.update(name.encode() + value.tobytes())
    digest.update(repr(None if classes is None else np.asarray(classes).tolist()).encode())
    digest.update(compiled.plan.to_json().encode())
    for tensor in compiled.plan.graph.body.tensors().values():
        values = getattr(tensor, "values", None)
        if isinstance(values, np.ndarray):
            digest.update(values.tobytes())
    index: dict[str, Any] = {"of": digest.hexdigest(), "grid": {key: list(values) for key, values in grid.items()}}
    file = folder / INDEX
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != index:
            raise LrpcError(f"{folder} holds another sweep.", hint="Choose another folder with -o, or remove it.")
        return
    if folder.exists() and any(folder.iterdir()):
        raise LrpcError(f"{folder} is not empty, and holds no sweep.", hint="Choose another folder with -o.")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(index) + "\n", encoding="utf-8")


def _store(
    file: Path, explainer: Explainer, x: np.ndarray, classes: Target, tuned: dict[str, float], others: Others
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HealthWarning)
        result = explainer(x, classes, tuned, others)
    draft = file.with_suffix(".part.npz")
    np.savez(
        draft, relevance=result.relevance, abs_sum=result.health.abs_sum, alarms=np.asarray(result.alarms, dtype=str)
    )
    os.replace(draft, file)
