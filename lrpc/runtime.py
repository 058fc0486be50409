"""Run a compiled bundle: numpy arrays in, relevance out.

This module and `lrpc.bundle` import numpy, onnx and onnxruntime only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from lrpc.bundle import load_manifest
from lrpc.session import open_session
from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc.compiler import Compiled

_REMEDY = "compile with --composite epsilon-plus, or give the first layers general gamma without --zero-bias."

Target = int | Sequence[int] | np.ndarray | None


@dataclass(frozen=True)
class Health:
    """Four numbers per sample, each of shape (n,); the first three are relative to sum |seed|.

    sum: of the relevance at the input.  abs_sum: of its magnitudes.  range: its max - min.
    nonfinite: how many of its values are NaN or infinite.
    """

    sum: np.ndarray
    abs_sum: np.ndarray
    range: np.ndarray
    nonfinite: np.ndarray

    def alarms(self, thresholds: dict[str, Any]) -> list[list[str]]:
        """Return, for each sample, why its explanation is not to be trusted; nothing if it is.

        thresholds: those of a bundle's manifest.
        """
        low, high = thresholds["abs_sum"]
        return [self._alarms(i, low, high) for i in range(len(self.sum))]

    def _alarms(self, i: int, low: float, high: float) -> list[str]:
        if self.nonfinite[i] > 0:
            return [f"{self.nonfinite[i]:.0f} relevance values are NaN or infinite; {_REMEDY}"]
        if not low <= self.abs_sum[i] <= high and self.abs_sum[i] != 0:
            what = "explodes" if self.abs_sum[i] > high else "vanishes"
            return [
                f"the relevance {what}: its magnitudes sum to {self.abs_sum[i]:.2g} per unit of seed, "
                f"{low:g} to {high:g} can be trusted; {_REMEDY}"
            ]
        return []


@dataclass(frozen=True)
class Explanation:
    """What an explainer returns.

    output: the model's own, (n, classes).  relevance: shaped as the input.  health: see `Health`.
    """

    output: np.ndarray
    relevance: np.ndarray
    health: Health


class Explainer:
    """Explain a model's outputs with a compiled bundle.

    source: a bundle folder, a single-file explain.onnx, or what `lrpc.compile` returned.
    providers: ONNX Runtime execution providers, CPU by default. Asking for CUDA where the machine, or
    any single node, cannot run there raises LrpcError; nothing falls back silently.
    fused: run explain.onnx (default), or the separate pair forward.onnx and relevance.onnx, whose
    activations stay on the device.
    """

    def __init__(
        self,
        source: str | Path | Compiled,
        providers: Sequence[str] | None = None,
        *,
        fused: bool = True,
    ) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if not isinstance(source, (str, Path)):
            self._folder = tempfile.TemporaryDirectory(prefix="lrpc-")
            compiled, source = source, Path(self._folder.name) / "model.lrp"
            compiled.save(source)
        self.path = Path(source)
        self.manifest: dict[str, Any] = load_manifest(self.path)
        self.providers = list(providers or ["CPUExecutionProvider"])
        self.fused = fused
        self._check_pair(needed=not fused)

    def __call__(self, x: np.ndarray, target: Target = None) -> Explanation:
        """Explain a batch.

        x: float32 (n, *input shape).  target: a class for all, (n,) classes, None for the class with
        the largest output, or a float seed shaped as the output, which the relevance is linear in.
        Raises LrpcError for a wrong shape and for a class out of range.
        """
        x = self._checked_input(x)
        if isinstance(target, np.ndarray) and np.issubdtype(target.dtype, np.floating):
            return self._with_seed(x, target.astype(np.float32))
        if self.fused and self.manifest["seed"] == "target":
            return self._run_fused(x, {"target": self._checked_target(target, len(x))})
        output = self.forward(x)
        return self._with_seed(x, self._one_hot(self._checked_target(target, len(x)), output))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the model's own output for a batch."""
        names = [self.manifest["output"]["name"]]
        if self.path.is_file():
            feeds = {self.manifest["input"]["name"]: x, "target": np.full(len(x), -1, np.int64)}
            return np.asarray(self._explain.run(names, feeds)[0])
        return np.asarray(self._forward.run(names, {self.manifest["input"]["name"]: x})[0])

    @cached_property
    def _explain(self) -> ort.InferenceSession:
        path = self.path if self.path.is_file() else self.path / "explain.onnx"
        return open_session(path, self.providers)

    @cached_property
    def _forward(self) -> ort.InferenceSession:
        return open_session(self.path / "forward.onnx", self.providers)

    @cached_property
    def _relevance(self) -> ort.InferenceSession:
        return open_session(self.path / "relevance.onnx", self.providers)

    def _run_fused(self, x: np.ndarray, extra: dict[str, np.ndarray]) -> Explanation:
        names = [self.manifest["output"]["name"], "relevance", "health"]
        feeds = {self.manifest["input"]["name"]: x, **extra}
        output, relevance, health = self._explain.run(names, feeds)
        return Explanation(output, relevance, Health(*np.asarray(health).T))

    def _with_seed(self, x: np.ndarray, seed: np.ndarray) -> Explanation:
        expected = (len(x), *self.manifest["output"]["shape"])
        if seed.shape != expected:
            raise LrpcError(f"The seed has shape {seed.shape}; the model's output has {expected}.")
        if self.fused and self.manifest["seed"] == "seed":
            return self._run_fused(x, {"seed": seed})
        self._check_pair(needed=True)
        return self._run_pair(x, seed)

    def _run_pair(self, x: np.ndarray, seed: np.ndarray) -> Explanation:
        """Run both graphs by I/O binding, so that activations never leave the device."""
        device = "cuda" if self.providers[0].startswith("CUDA") else "cpu"
        name = self.manifest["input"]["name"]
        forward = self._forward.io_binding()
        forward.bind_cpu_input(name, x)
        outputs = [value.name for value in self._forward.get_outputs()]
        for output in outputs:
            forward.bind_output(output, device)
        self._forward.run_with_iobinding(forward)
        values = dict(zip(outputs, forward.get_outputs(), strict=True))
        backward = self._relevance.io_binding()
        for value in self._relevance.get_inputs():
            if value.name in values:
                backward.bind_ortvalue_input(value.name, values[value.name])
            else:
                backward.bind_cpu_input(value.name, {name: x, "seed": seed}[value.name])
        backward.bind_output("relevance", "cpu")
        self._relevance.run_with_iobinding(backward)
        relevance = backward.get_outputs()[0].numpy()
        return Explanation(values[self.manifest["output"]["name"]].numpy(), relevance, health(relevance, seed))

    def _check_pair(self, needed: bool) -> None:
        if needed and self.path.is_file():
            raise LrpcError(
                f"{self.path} is a single file; a float seed and the separate graphs need a bundle folder.",
                hint="Compile without --single-file, or with --seed-input.",
            )

    def _checked_input(self, x: np.ndarray) -> np.ndarray:
        shape = tuple(self.manifest["input"]["shape"])
        x = np.asarray(x)
        if x.ndim != len(shape) + 1 or any(d not in (None, n) for d, n in zip(shape, x.shape[1:], strict=True)):
            raise LrpcError(f"The input has shape {x.shape}; the model takes {('n', *shape)}.")
        return np.ascontiguousarray(x, np.float32)

    def _checked_target(self, target: Target, count: int) -> np.ndarray:
        if target is None:
            return np.full(count, -1, np.int64)
        targets = np.asarray(target)
        if not np.issubdtype(targets.dtype, np.integer) or targets.shape not in ((), (count,)):
            raise LrpcError(f"A target is one class or {count} of them (integers), or a float seed.")
        classes = self.manifest["output"]["shape"][0]
        outside = targets[(targets < 0) | (targets >= classes)]
        if outside.size:
            raise LrpcError(f"Class {outside.flat[0]} is out of range: the model has classes 0 to {classes - 1}.")
        return np.broadcast_to(targets.astype(np.int64), (count,)).copy()

    def _one_hot(self, targets: np.ndarray, output: np.ndarray) -> np.ndarray:
        chosen = np.where(targets < 0, output.argmax(axis=1), targets)
        return np.eye(output.shape[1], dtype=np.float32)[chosen]


def health(relevance: np.ndarray, seed: np.ndarray) -> Health:
    """Compute in numpy what explain.onnx returns as `health`."""
    flat = relevance.reshape(len(relevance), -1)
    unit = np.abs(seed).reshape(len(seed), -1).sum(axis=1)
    unit = np.where(unit == 0, 1, unit)
    with np.errstate(invalid="ignore", over="ignore"):
        total, abs_total = flat.sum(axis=1), np.abs(flat).sum(axis=1)
        spread = flat.max(axis=1) - flat.min(axis=1)
    bad = (~np.isfinite(flat)).sum(axis=1).astype(np.float32)
    return Health(total / unit, abs_total / unit, spread / unit, bad)
