"""One explanation graph on every runtime that is installed, on the same inputs, beside ONNX Runtime's CPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper

from lrpc.bundle.manifest import Manifest
from lrpc.bundle.names import SEED, TARGET
from lrpc.bundle.store import load_manifest
from lrpc.inspect.conformance.runtimes import RUNTIMES, Runtime
from lrpc.inspect.conformance.runtimes.job import Answer, run_jobs, write_job
from passes.errors import LrpcError

TOLERANCE = 1e-4
COMPARED = ("output", "relevance", "health")
HEATMAP = 0.999
"""The share of a heatmap that must be alike: a value at the bound between two colours falls to either side."""
_SAMPLES, _REPEATS = 2, 3


@dataclass(frozen=True)
class Row:
    """What a runtime gave. errors: relative L2 distance from the reference, by COMPARED.

    heatmap: share of its pixels within 1 of 255, None where the file has none.  seconds: one run of the batch.
    error: why there is no result, "" where there is.  install: the command that installs it, "" where it is there.
    """

    runtime: str
    title: str
    version: str
    errors: dict[str, float]
    heatmap: float | None
    seconds: float
    error: str
    install: str

    def agrees(self, tolerance: float) -> bool:
        """Whether it ran, nothing is further off than the tolerance, and the heatmap is HEATMAP alike."""
        near = all(error <= tolerance for error in self.errors.values())
        return not self.error and near and (self.heatmap is None or self.heatmap >= HEATMAP)


@dataclass(frozen=True)
class Conformance:
    """rows: one for each runtime, the reference first.  batch: samples in each run."""

    file: str
    target: str
    batch: int
    tolerance: float
    rows: list[Row]

    @property
    def passed(self) -> bool:
        """Whether every runtime that is installed agrees with the reference."""
        return all(row.install or row.agrees(self.tolerance) for row in self.rows)

    def to_json(self) -> str:
        """Return everything as JSON; what is not finite is null."""
        return json.dumps(_plain(asdict(self) | {"passed": self.passed}), indent=1)


def conformance(
    path: Path,
    node_modules: Path,
    tolerance: float = TOLERANCE,
    timeout: float = 300.0,
    report: Callable[[str], None] | None = None,
) -> Conformance:
    """Run a bundle's explain.onnx, or a single file, on every runtime, each in a process of its own.

    node_modules: where the JavaScript runtimes are.  timeout: seconds for each runtime.
    report: called with what is being run.  Raises LrpcError for what is no explanation graph, and where ONNX
    Runtime's CPU, the reference, cannot run it.
    """
    manifest = load_manifest(path)
    file = path / "explain.onnx" if path.is_dir() else path
    feeds = example_feeds(file, manifest)
    names = {"output": manifest.output.name}
    rows: list[Row] = []
    reference: Answer | None = None
    with tempfile.TemporaryDirectory(prefix="lrpc-") as folder:
        for runtime in RUNTIMES:
            if (version := runtime.version(node_modules)) is None:
                rows.append(Row(runtime.name, runtime.title, "", {}, None, 0.0, "not installed", runtime.install))
                continue
            if report is not None:
                report(runtime.title)
            job = write_job(Path(folder) / runtime.name, file, feeds, _REPEATS)
            (answer,) = run_jobs(runtime, [job], node_modules, timeout)
            if reference is None:
                reference = answer
                if answer.error:
                    raise LrpcError(f"{runtime.title} cannot run {file}: {answer.error}")
            rows.append(_row(runtime, version, answer, reference, names))
    target = manifest.target or f"-O{manifest.optimize}"
    return Conformance(str(path), str(target), _SAMPLES, tolerance, rows)


def example_feeds(file: Path, manifest: Manifest, samples: int = _SAMPLES) -> dict[str, np.ndarray]:
    """Return an input for each that the graph needs, drawn with a fixed seed; those with defaults keep them.

    Values are within the input's range, or from -2 to 2 where it is unknown, and for other inputs; explained are
    the top class, then class 1, and so on.
    """
    graph = onnx.load(file, load_external_data=False).graph
    given = {tensor.name for tensor in graph.initializer}
    rng = np.random.default_rng(0)
    return {value.name: _draw(value, manifest, samples, rng) for value in graph.input if value.name not in given}


def _draw(value: onnx.ValueInfoProto, manifest: Manifest, samples: int, rng: np.random.Generator) -> np.ndarray:
    tensor = value.type.tensor_type
    model = [size or 1 for size in manifest.input.shape]
    free = {1: model[-2] if len(model) > 1 else 1, 2: model[-1]}  # a picture of any size gets the model's own
    sizes = [
        dim.dim_value or (samples if axis == 0 else free.get(axis, 1)) for axis, dim in enumerate(tensor.shape.dim)
    ]
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if value.name == TARGET:
        classes = np.minimum(np.arange(sizes[0]), (manifest.output.shape[-1] or 1) - 1)
        return np.where(classes == 0, -1, classes).astype(kind)
    if manifest.picture is not None and value.name == manifest.picture.name:
        return _picture(sizes, rng)
    if value.name == SEED:
        return rng.standard_normal(sizes).astype(kind)
    if value.name != manifest.input.name:
        return (4 * rng.random(sizes) - 2).astype(kind)
    channel = (-1, *[1] * (len(sizes) - 2))
    low, high = (
        np.reshape(getattr(manifest.input, key) or [end], channel) for key, end in (("low", -2.0), ("high", 2.0))
    )
    drawn: np.ndarray = low + (high - low) * rng.random(sizes)
    return drawn.astype(kind)


def _picture(sizes: list[int], rng: np.random.Generator) -> np.ndarray:
    """Draw pixels of blocks of 4 x 4, with grain."""
    batch, height, width, channels = sizes
    coarse = rng.integers(0, 224, (batch, -(-height // 4), -(-width // 4), channels))
    blocks = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    picture: np.ndarray = (blocks + rng.integers(0, 32, sizes)).astype(np.uint8)
    return picture


def _row(runtime: Runtime, version: str, answer: Answer, reference: Answer, names: dict[str, str]) -> Row:
    if answer.error:
        return Row(runtime.name, runtime.title, version, {}, None, 0.0, answer.error, "")
    errors = {
        key: distance(answer.outputs[names.get(key, key)], reference.outputs[names.get(key, key)]) for key in COMPARED
    }
    heatmap = None
    if "heatmap" in reference.outputs:
        ours, theirs = (each.outputs["heatmap"].astype(int) for each in (answer, reference))
        heatmap = float((np.abs(ours - theirs) <= 1).all(axis=-1).mean())
    return Row(runtime.name, runtime.title, version, errors, heatmap, answer.seconds, "", "")


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the relative L2 distance; infinite where shapes differ, or values that are not finite."""
    if ours.shape != theirs.shape or not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return float("inf")
    finite = np.isfinite(theirs)
    a, b = ours[finite].astype(np.float64), theirs[finite].astype(np.float64)
    return float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
