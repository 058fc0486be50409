"""Run a compiled bundle: numpy arrays in, relevance out.

This module and `lrpc.bundle.store` import numpy, onnx and onnxruntime only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import SEED, TARGET
from lrpc.bundle.side_inputs import Arrays, Other, checked_others, part_of
from lrpc.bundle.store import Stored, load_bundle
from lrpc.runtime.engine import Engine
from lrpc.runtime.explanation import Explanation, join, summarize
from lrpc.runtime.health import HealthWarning
from lrpc.runtime.seeds import Target, checked
from lrpc.runtime.session import CPU, RunOptions, told_by_runtime
from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc.compiler import Compiled

__all__ = ["Explainer", "Explanation", "Target"]


class Explainer:
    """Explain a model's outputs with a compiled bundle.

    source: a bundle folder, a single-file explain.onnx, or what `lrpc.compile` returned, which is run as it is, in
    memory.
    providers: ONNX Runtime execution providers, CPU by default. Asking for CUDA where the machine, or
    any single node, cannot run there raises LrpcError; nothing falls back silently.
    fused: run explain.onnx (default), or the separate pair forward.onnx and relevance.onnx, whose
    activations stay on the device.
    max_batch: run larger batches in parts of at most so many samples, for small memory; all at once by default.
    threads: of the CPU; one per core by default.
    tf32: let CUDA round the factors of convolutions to TF32: faster, and relevance agrees with the CPU's to
    about 3 digits; off by default.
    cuda_graph: let CUDA record the first call and replay it: every call has a batch of that size.
    verify: hold the files of a folder against the checksums in its manifest, which reads them once more: 0.3 s for
    100 MB of weights. Their sizes are checked in any case; a single file has no checksum.
    Raises LrpcError for a bundle that is damaged, edited or of another format, for tf32 and cuda_graph without CUDA,
    and for cuda_graph where explain.onnx is not run.

    An explainer may be called by several threads. The arrays that it returns are the caller's own.
    """

    def __init__(
        self,
        source: str | Path | Bundle | Compiled,
        providers: Sequence[str] | None = None,
        *,
        fused: bool = True,
        max_batch: int | None = None,
        threads: int | None = None,
        tf32: bool = False,
        cuda_graph: bool = False,
        verify: bool = True,
    ) -> None:
        self.providers = list(providers or [CPU])
        self.options = RunOptions(threads, tf32, cuda_graph)
        self.options.check(self.providers[0])
        if max_batch is not None and max_batch < 1:
            raise LrpcError(f"max_batch={max_batch} must be at least 1.")
        if cuda_graph and not fused:
            raise LrpcError("cuda_graph replays explain.onnx; it cannot run the separate graphs (fused=False).")
        self.max_batch = max_batch
        self.bundle = _open(source, verify)
        self.name, self.manifest = self.bundle.name, self.bundle.manifest
        self.engine = Engine(self.bundle, self.providers, self.options, fused)

    def __call__(
        self,
        x: np.ndarray,
        target: Target = None,
        tunables: Mapping[str, float] | None = None,
        others: Mapping[str, np.ndarray] | None = None,
    ) -> Explanation:
        """Explain a batch.

        x: float32 (n, *input shape); for a file compiled with --preprocess, pictures uint8 (n, h, w, 3).
        target: a class for all, (n,) classes, None for the class with the largest output, or a float seed
        shaped as the output, which the relevance is linear in.
        tunables: values for inputs of a tunable bundle, by name; `self.tunables` has them with their defaults.
        others: arrays for the inputs that relevance does not go to, by name, where the model has such; `self.others`
        tells what they are. One whose first axis is free has a row for each sample, any other is given whole.
        Warns (HealthWarning) of explanations that are not to be trusted, and of inputs outside ZBox's range.
        Raises LrpcError for a wrong shape or type, a class out of range, an input that is missing or that there is
        not, and a tunable that there is not.
        """
        x = self.checked_input(x)
        beside = checked_others(others or {}, self.others, len(x))
        targets = checked(target, len(x), self.manifest.output.shape)
        extra = self._checked_tunables(tunables or {})
        parts = self._parts(len(x))
        with told_by_runtime(self.name):
            result = join([self.engine.run(x[p], part_of(beside, self.others, p), targets[p], extra) for p in parts])
        alarms = result.health.alarms(*self.manifest.thresholds.abs_sum)
        for message in (*self.outside_box(x), *summarize(alarms)):
            warnings.warn(message, HealthWarning, stacklevel=2)
        return replace(result, alarms=alarms)

    @property
    def tunables(self) -> dict[str, float]:
        """The numbers that a tunable bundle takes, by name, with their defaults; empty for any other bundle."""
        return {entry.name: entry.default for entry in self.manifest.tunables}

    @property
    def others(self) -> tuple[Other, ...]:
        """The inputs beside the one that relevance goes to; empty for a model of one."""
        return self.manifest.others

    @property
    def input_name(self) -> str:
        """What explain.onnx calls the input that relevance goes to: the model's own, or a picture."""
        return self.engine.input_name

    def seed_feeds(self, x: np.ndarray, target: Target, others: Arrays) -> Arrays:
        """Return what explain.onnx takes beside the model's own inputs: `target`, or `seed`. others: checked ones."""
        targets = checked(target, len(x), self.manifest.output.shape)
        return {SEED: self.engine.seed(x, others, targets)} if self.manifest.seed == SEED else {TARGET: targets}

    def outside_box(self, x: np.ndarray) -> list[str]:
        """Return a sentence if values of x are outside the range that ZBox was given, nothing if none is."""
        box = self.manifest.box
        if box is None:
            return []
        if self.manifest.picture:
            x = self._normalised(x)
        channel = (-1, *[1] * (x.ndim - 2))
        low, high = (np.reshape(np.asarray(end, np.float32), channel) for end in (box.low, box.high))
        slack = 1e-4 * (high - low)  # pictures are normalised in float32
        count = int(((x < low - slack) | (x > high + slack)).sum())
        if not count:
            return []
        return [
            f"{count} of {x.size} input values are outside the low and high of z_box, where nothing bounds it; "
            "give the input's true range with --low and --high."
        ]

    def _normalised(self, pictures: np.ndarray) -> np.ndarray:
        """Return pictures as the model sees them, other than in size and in grey."""
        mean, std = (np.asarray(v, np.float32) for v in (self.manifest.input.mean, self.manifest.input.std))
        return np.asarray((pictures.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)

    def forward(self, x: np.ndarray, others: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Return the model's own output for a batch. others: as for a call."""
        beside = checked_others(others or {}, self.others, len(x))
        parts = self._parts(len(x))
        with told_by_runtime(self.name):
            return np.concatenate([self.engine.forward(x[p], part_of(beside, self.others, p)) for p in parts])

    def _parts(self, count: int) -> Iterator[slice]:
        """Yield the samples of each part of a batch; an empty batch is one part."""
        size = self.max_batch or max(count, 1)
        return (slice(start, start + size) for start in range(0, max(count, 1), size))

    def _checked_tunables(self, given: Mapping[str, float]) -> Arrays:
        known = self.tunables
        if unknown := sorted(set(given) - set(known)):
            there = f"it has {', '.join(known)}" if known else "it was compiled without --tunable"
            raise LrpcError(f"{self.name} has no tunable {', '.join(unknown)}: {there}.")
        bad = [name for name, value in given.items() if not (np.isfinite(value) and value >= 0)]
        if bad:
            raise LrpcError(f"{', '.join(bad)} must be a number of at least 0.")
        return {name: np.asarray(value, np.float32) for name, value in given.items()}

    def checked_input(self, x: np.ndarray) -> np.ndarray:
        """Return a batch as the graphs take it. Raises LrpcError for a wrong shape, or for pictures of another type."""
        picture = self.manifest.picture
        shape = (picture or self.manifest.input).shape
        x = np.asarray(x)
        if x.ndim != len(shape) + 1 or any(d not in (None, n) for d, n in zip(shape, x.shape[1:], strict=True)):
            raise LrpcError(f"The input has shape {x.shape}; the model takes {('n', *shape)}.")
        if picture and x.dtype != np.uint8:
            raise LrpcError(f"The input is {x.dtype}; {self.name} takes pictures uint8 {('n', *shape)}, in RGB.")
        return np.ascontiguousarray(x, np.uint8 if picture else np.float32)


def _open(source: str | Path | Bundle | Compiled, verify: bool) -> Bundle | Stored:
    if isinstance(source, (str, Path)):
        return load_bundle(Path(source), verify)
    return source if isinstance(source, Bundle) else source.bundle
