"""Run a compiled bundle: numpy arrays in, relevance out.

This module and `lrpc.bundle` import numpy, onnx and onnxruntime only.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from lrpc.bundle import load_manifest
from lrpc.health import Health, HealthWarning, health
from lrpc.session import open_session
from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc.compiler import Compiled

Target = int | Sequence[int] | np.ndarray | None


@dataclass(frozen=True)
class Explanation:
    """What an explainer returns.

    output: the model's own, (n, classes).  relevance: shaped as the input.  health: see `Health`.
    alarms: for each sample why its explanation is not to be trusted, "" if it is.
    """

    output: np.ndarray
    relevance: np.ndarray
    health: Health
    alarms: list[str] = field(default_factory=list)


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

    def __call__(
        self, x: np.ndarray, target: Target = None, tunables: Mapping[str, float] | None = None
    ) -> Explanation:
        """Explain a batch.

        x: float32 (n, *input shape).  target: a class for all, (n,) classes, None for the class with
        the largest output, or a float seed shaped as the output, which the relevance is linear in.
        tunables: values for inputs of a tunable bundle, by name; `self.tunables` has them with their defaults.
        Warns (HealthWarning) of explanations that are not to be trusted, and of inputs outside ZBox's range.
        Raises LrpcError for a wrong shape, a class out of range, and a tunable that there is not.
        """
        x = self.checked_input(x)
        extra = self._checked_tunables(tunables or {})
        if self.fused and not (_is_seed(target) and self.manifest["seed"] == "target"):
            result = self._run_fused(x, self.seed_feeds(x, target) | extra)
        else:
            self._check_pair(needed=True)
            result = self._run_pair(x, self._seed(x, target), extra)
        alarms = result.health.alarms(self.manifest["thresholds"])
        for message in (*self.outside_box(x), *_summary(alarms)):
            warnings.warn(message, HealthWarning, stacklevel=2)
        return replace(result, alarms=alarms)

    @property
    def tunables(self) -> dict[str, float]:
        """The numbers that a tunable bundle takes, by name, with their defaults; empty for any other bundle."""
        return {entry["name"]: entry["default"] for entry in self.manifest.get("tunables", [])}

    def seed_feeds(self, x: np.ndarray, target: Target) -> dict[str, np.ndarray]:
        """Return what explain.onnx takes beside x: `target`, or `seed`."""
        if self.manifest["seed"] == "seed":
            return {"seed": self._seed(x, target)}
        return {"target": self._checked_target(target, len(x))}

    def outside_box(self, x: np.ndarray) -> list[str]:
        """Return a sentence if values of x are outside the range that ZBox was given, nothing if none is."""
        box = self.manifest.get("box")
        if box is None:
            return []
        channel = (-1, *[1] * (x.ndim - 2))
        low, high = (np.reshape(np.asarray(box[key], np.float32), channel) for key in ("low", "high"))
        slack = 1e-4 * (high - low)  # pictures are normalised in float32
        count = int(((x < low - slack) | (x > high + slack)).sum())
        if not count:
            return []
        return [
            f"{count} of {x.size} input values are outside the low and high of z_box, where nothing bounds it; "
            "give the input's true range with --low and --high."
        ]

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

    def _seed(self, x: np.ndarray, target: Target) -> np.ndarray:
        """Return the seed (n, *output shape) for a target: itself if it is one, else a one-hot."""
        if not _is_seed(target):
            targets = self._checked_target(target, len(x))
            return self._one_hot(targets, self.forward(x))
        seed = np.asarray(target, np.float32)
        expected = (len(x), *self.manifest["output"]["shape"])
        if seed.shape != expected:
            raise LrpcError(f"The seed has shape {seed.shape}; the model's output has {expected}.")
        return seed

    def _checked_tunables(self, given: Mapping[str, float]) -> dict[str, np.ndarray]:
        known = self.tunables
        if unknown := sorted(set(given) - set(known)):
            there = f"it has {', '.join(known)}" if known else "it was compiled without --tunable"
            raise LrpcError(f"{self.path} has no tunable {', '.join(unknown)}: {there}.")
        bad = [name for name, value in given.items() if not (np.isfinite(value) and value >= 0)]
        if bad:
            raise LrpcError(f"{', '.join(bad)} must be a number of at least 0.")
        return {name: np.asarray(value, np.float32) for name, value in given.items()}

    def _run_pair(self, x: np.ndarray, seed: np.ndarray, extra: dict[str, np.ndarray]) -> Explanation:
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
        output = values[self.manifest["output"]["name"]].numpy()
        if extra:  # ONNX Runtime binds no inputs that have defaults
            taps = {key: value.numpy() for key, value in values.items()} | {name: x, "seed": seed}
            feeds = {value.name: taps[value.name] for value in self._relevance.get_inputs()}
            (relevance,) = self._relevance.run(["relevance"], feeds | extra)
            return Explanation(output, relevance, health(relevance, seed))
        backward = self._relevance.io_binding()
        for value in self._relevance.get_inputs():
            if value.name in values:
                backward.bind_ortvalue_input(value.name, values[value.name])
            else:
                backward.bind_cpu_input(value.name, {name: x, "seed": seed}[value.name])
        backward.bind_output("relevance", "cpu")
        self._relevance.run_with_iobinding(backward)
        relevance = backward.get_outputs()[0].numpy()
        return Explanation(output, relevance, health(relevance, seed))

    def _check_pair(self, needed: bool) -> None:
        if needed and self.path.is_file():
            raise LrpcError(
                f"{self.path} is a single file; a float seed and the separate graphs need a bundle folder.",
                hint="Compile without --single-file, or with --seed-input.",
            )

    def checked_input(self, x: np.ndarray) -> np.ndarray:
        """Return a batch as the graphs take it. Raises LrpcError for a wrong shape."""
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


def _is_seed(target: Target) -> bool:
    return isinstance(target, np.ndarray) and bool(np.issubdtype(target.dtype, np.floating))


def _summary(alarms: list[str]) -> list[str]:
    """Return one sentence for all samples: how many explanations are bad, and the first of them."""
    bad = [(i, alarm) for i, alarm in enumerate(alarms) if alarm]
    if not bad:
        return []
    i, alarm = bad[0]
    return [f"{len(bad)} of {len(alarms)} explanations are not to be trusted; sample {i}: {alarm}"]
