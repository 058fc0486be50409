"""Run a compiled bundle: numpy arrays in, relevance out.

This module and `lrpc.bundle.store` import numpy, onnx and onnxruntime only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import EXPLAIN, FORWARD, HEALTH, RELEVANCE, SEED, SEPARATE, TARGET
from lrpc.bundle.side_inputs import Arrays, Other, checked_others, part_of
from lrpc.bundle.store import Stored, load_bundle
from lrpc.runtime.agreement import check_explain, check_pair
from lrpc.runtime.buffers import Binding, device_of
from lrpc.runtime.health import Health, HealthWarning, health
from lrpc.runtime.seeds import Target, checked, is_seed, one_hot
from lrpc.runtime.separate import run_pair
from lrpc.runtime.session import CPU, RunOptions, open_session, told_by_runtime
from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc.compiler import Compiled

__all__ = ["Explainer", "Explanation", "Target"]


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
        self.bundle = _opened(source, verify)
        self.name, self.manifest = self.bundle.name, self.bundle.manifest
        self.fused = fused
        self._check_pair(needed=not fused)

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
            result = _joined([self._run(x[p], part_of(beside, self.others, p), targets[p], extra) for p in parts])
        alarms = result.health.alarms(*self.manifest.thresholds.abs_sum)
        for message in (*self.outside_box(x), *_summary(alarms)):
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
        return (self.manifest.picture or self.manifest.input).name

    def seed_feeds(self, x: np.ndarray, target: Target, others: Arrays) -> Arrays:
        """Return what explain.onnx takes beside the model's own inputs: `target`, or `seed`. others: checked ones."""
        targets = checked(target, len(x), self.manifest.output.shape)
        return {SEED: self._seed(x, others, targets)} if self.manifest.seed == SEED else {TARGET: targets}

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
            return np.concatenate([self._forward_part(x[p], part_of(beside, self.others, p)) for p in parts])

    def _forward_part(self, x: np.ndarray, others: Arrays) -> np.ndarray:
        if not self.bundle.separate:
            return self._run_fused(x, others, self._any_aim(len(x)), {}).output
        names = [self.manifest.output.name]
        return np.asarray(self._forward.run(names, {self.manifest.input.name: x, **others})[0])

    def _any_aim(self, count: int) -> Arrays:
        """Return what explain.onnx is given where its relevance is not asked for."""
        if self.manifest.seed == TARGET:
            return {TARGET: np.full(count, -1, np.int64)}
        if None in self.manifest.output.shape:
            raise LrpcError(
                f"{self.name} is a single file that takes a seed, and its output has no fixed shape: "
                "its output cannot be told beforehand.",
                hint="Give a seed shaped as the output, or compile without --single-file.",
            )
        return {SEED: np.zeros((count, *_fixed(self.manifest.output.shape)), np.float32)}

    def _parts(self, count: int) -> Iterator[slice]:
        """Yield the samples of each part of a batch; an empty batch is one part."""
        size = self.max_batch or max(count, 1)
        return (slice(start, start + size) for start in range(0, max(count, 1), size))

    @cached_property
    def _explain(self) -> ort.InferenceSession:
        session = self._open(EXPLAIN, self.options)
        check_explain(session, self.manifest, f"explain.onnx in {self.name}" if self.bundle.separate else self.name)
        return session

    @cached_property
    def _forward(self) -> ort.InferenceSession:
        return self._open(FORWARD, replace(self.options, cuda_graph=False))

    @cached_property
    def _relevance(self) -> ort.InferenceSession:
        session = self._open(SEPARATE, replace(self.options, cuda_graph=False))
        check_pair(self._forward, session, self.manifest, self.name)
        return session

    def _open(self, graph: str, run: RunOptions) -> ort.InferenceSession:
        return open_session(self.bundle.source(graph), self.providers, run=run, weights=self.bundle.weights)

    @cached_property
    def _bound(self) -> Binding:
        return Binding(self._explain, device_of(self.providers[0]), fixed=self.options.cuda_graph)

    def _run(self, x: np.ndarray, others: Arrays, targets: np.ndarray, extra: Arrays) -> Explanation:
        """Explain one part of a batch; others and targets are checked ones."""
        if not len(x):
            return self._nothing(x)
        takes_seed = self.manifest.seed == SEED
        if self.fused and (takes_seed or not is_seed(targets)):
            aim: Arrays = {SEED: self._seed(x, others, targets)} if takes_seed else {TARGET: targets}
            return self._run_fused(x, others, aim, extra)
        self._check_pair(needed=True)
        if self.options.cuda_graph:
            raise LrpcError(
                "cuda_graph replays explain.onnx, which takes classes; a float seed runs the separate graphs.",
                hint="Compile with --seed-input, or leave cuda_graph out.",
            )
        return self._run_pair(x, others, self._seed(x, others, targets), extra)

    def _nothing(self, x: np.ndarray) -> Explanation:
        """Explain an empty batch; ONNX Runtime's blocked layout refuses one."""
        output, health = ((0, *_fixed(self.manifest.output.shape)), (len(fields(Health)), 0))
        nothing = np.zeros((0, *self._relevance_shape(x)), np.float32)
        return Explanation(np.zeros(output, np.float32), nothing, Health(*np.zeros(health, np.float32)))

    def _relevance_shape(self, x: np.ndarray) -> tuple[int, ...]:
        """Return the shape of one sample's relevance: that of the model's own input."""
        return _fixed(self.manifest.input.shape) if self.manifest.picture else x.shape[1:]

    def _run_fused(self, x: np.ndarray, others: Arrays, aim: Arrays, extra: Arrays) -> Explanation:
        names = [self.manifest.output.name, RELEVANCE, HEALTH]
        feeds = {self.input_name: x, **others, **aim}
        shapes = (self.manifest.output.shape, self._relevance_shape(x), (len(fields(Health)),))
        sizes = [(len(x), *_fixed(shape)) for shape in shapes]
        if extra and self.options.cuda_graph:
            raise LrpcError(
                "cuda_graph replays the graph with the tunables' defaults; other values need a run of its own."
            )
        if (
            extra or None in self.manifest.output.shape
        ):  # ONNX Runtime binds no inputs that have defaults, and no unknown shapes
            output, relevance, found = self._explain.run(names, feeds | extra)
        else:
            output, relevance, found = self._bound(feeds, dict(zip(names, sizes, strict=True)))
        return Explanation(output, relevance, Health(*np.asarray(found).T))

    def _seed(self, x: np.ndarray, others: Arrays, targets: np.ndarray) -> np.ndarray:
        """Return the seed (n, *output shape) for checked targets: themselves if they are one, else a one-hot."""
        return targets if is_seed(targets) else one_hot(targets, self.forward(x, others))

    def _checked_tunables(self, given: Mapping[str, float]) -> Arrays:
        known = self.tunables
        if unknown := sorted(set(given) - set(known)):
            there = f"it has {', '.join(known)}" if known else "it was compiled without --tunable"
            raise LrpcError(f"{self.name} has no tunable {', '.join(unknown)}: {there}.")
        bad = [name for name, value in given.items() if not (np.isfinite(value) and value >= 0)]
        if bad:
            raise LrpcError(f"{', '.join(bad)} must be a number of at least 0.")
        return {name: np.asarray(value, np.float32) for name, value in given.items()}

    def _run_pair(self, x: np.ndarray, others: Arrays, seed: np.ndarray, extra: Arrays) -> Explanation:
        feeds = {self.manifest.input.name: x, **others, SEED: seed}
        device, name = device_of(self.providers[0]), self.manifest.output.name
        output, relevance = run_pair(self._forward, self._relevance, feeds, device, name, extra)
        return Explanation(output, relevance, health(relevance, seed))

    def _check_pair(self, needed: bool) -> None:
        if needed and not self.bundle.separate:
            raise LrpcError(
                f"{self.name} is a single file; a float seed and the separate graphs need a bundle folder.",
                hint="Compile without --single-file, or with --seed-input.",
            )

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


def _opened(source: str | Path | Bundle | Compiled, verify: bool) -> Bundle | Stored:
    if isinstance(source, (str, Path)):
        return load_bundle(Path(source), verify)
    return source if isinstance(source, Bundle) else source.bundle


def _fixed(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return a shape with 0 for every size that is not known."""
    return tuple(size or 0 for size in shape)


def _joined(parts: Sequence[Explanation]) -> Explanation:
    """Join the explanations of the parts of a batch."""
    if len(parts) == 1:
        return parts[0]
    found = [np.concatenate([getattr(part.health, f.name) for part in parts]) for f in fields(Health)]
    output, relevance = (np.concatenate([getattr(p, name) for p in parts]) for name in ("output", "relevance"))
    return Explanation(output, relevance, Health(*found))


def _summary(alarms: list[str]) -> list[str]:
    """Return one sentence for all samples: how many explanations are bad, and the first of them."""
    bad = [(i, alarm) for i, alarm in enumerate(alarms) if alarm]
    if not bad:
        return []
    i, alarm = bad[0]
    return [f"{len(bad)} of {len(alarms)} explanations are not to be trusted; sample {i}: {alarm}"]
