"""Run the graphs of a bundle on one part of a batch: both in one, or the separate pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import onnxruntime as ort

from lrpc.bundle.manifest import Manifest
from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import EXPLAIN, FORWARD, HEALTH, RELEVANCE, SEED, SEPARATE, TARGET
from lrpc.bundle.side_inputs import Arrays
from lrpc.bundle.store import Stored
from lrpc.runtime.agreement import check_explain, check_pair
from lrpc.runtime.buffers import Binding, device_of
from lrpc.runtime.explanation import Explanation
from lrpc.runtime.health import Health, health
from lrpc.runtime.seeds import is_seed, one_hot
from lrpc.runtime.separate import run_pair
from lrpc.runtime.session import RunOptions, open_session
from passes.errors import LrpcError


@dataclass(frozen=True, eq=False)
class Engine:
    """The sessions of a bundle, each opened when it is first needed.

    Every array that an engine is given was checked.  providers, options, fused: as for `Explainer`.
    """

    bundle: Bundle | Stored
    providers: Sequence[str]
    options: RunOptions
    fused: bool

    def __post_init__(self) -> None:
        if not self.fused:
            self.check_pair()

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def input_name(self) -> str:
        """What explain.onnx calls the input that relevance goes to: the model's own, or a picture."""
        return (self.manifest.picture or self.manifest.input).name

    def run(self, x: np.ndarray, others: Arrays, targets: np.ndarray, tunables: Arrays) -> Explanation:
        """Explain one part of a batch. targets: a class for each sample, or a float seed."""
        if not len(x):
            return self._nothing(x)
        takes_seed = self.manifest.seed == SEED
        if self.fused and (takes_seed or not is_seed(targets)):
            aim: Arrays = {SEED: self.seed(x, others, targets)} if takes_seed else {TARGET: targets}
            return self.run_fused(x, others, aim, tunables)
        self.check_pair()
        if self.options.cuda_graph:
            raise LrpcError(
                "cuda_graph replays explain.onnx, which takes classes; a float seed runs the separate graphs.",
                hint="Compile with --seed-input, or leave cuda_graph out.",
            )
        return self._run_pair(x, others, self.seed(x, others, targets), tunables)

    def forward(self, x: np.ndarray, others: Arrays) -> np.ndarray:
        """Return the model's own output for one part of a batch."""
        if not self.bundle.separate:
            return self.run_fused(x, others, self._any_aim(len(x)), {}).output
        names = [self.manifest.output.name]
        return np.asarray(self.forward_session.run(names, {self.manifest.input.name: x, **others})[0])

    def seed(self, x: np.ndarray, others: Arrays, targets: np.ndarray) -> np.ndarray:
        """Return the seed (n, *output shape) for targets: themselves if they are one, else a one-hot."""
        return targets if is_seed(targets) else one_hot(targets, self.forward(x, others))

    def run_fused(self, x: np.ndarray, others: Arrays, aim: Arrays, tunables: Arrays) -> Explanation:
        """Run explain.onnx. aim: what it takes to say what is explained."""
        names = [self.manifest.output.name, RELEVANCE, HEALTH]
        feeds = {self.input_name: x, **others, **aim}
        shapes = (self.manifest.output.shape, self._relevance_shape(x), (len(fields(Health)),))
        sizes = [(len(x), *_fixed(shape)) for shape in shapes]
        if tunables and self.options.cuda_graph:
            raise LrpcError(
                "cuda_graph replays the graph with the tunables' defaults; other values need a run of its own."
            )
        # ONNX Runtime binds no inputs that have defaults, and no unknown shapes.
        if tunables or None in self.manifest.output.shape:
            output, relevance, found = self.explain_session.run(names, feeds | tunables)
        else:
            output, relevance, found = self._bound(feeds, dict(zip(names, sizes, strict=True)))
        return Explanation(output, relevance, Health(*np.asarray(found).T))

    def check_pair(self) -> None:
        """Raise LrpcError where there are no separate graphs."""
        if not self.bundle.separate:
            raise LrpcError(
                f"{self.bundle.name} is a single file; a float seed and the separate graphs need a bundle folder.",
                hint="Compile without --single-file, or with --seed-input.",
            )

    @cached_property
    def explain_session(self) -> ort.InferenceSession:
        """Model and relevance pass in one."""
        session, bundle = self._open(EXPLAIN, self.options), self.bundle
        check_explain(session, self.manifest, f"explain.onnx in {bundle.name}" if bundle.separate else bundle.name)
        return session

    @cached_property
    def forward_session(self) -> ort.InferenceSession:
        """The model, with the taps that the relevance pass reads."""
        return self._open(FORWARD, replace(self.options, cuda_graph=False))

    @cached_property
    def relevance_session(self) -> ort.InferenceSession:
        """The relevance pass by itself."""
        session = self._open(SEPARATE, replace(self.options, cuda_graph=False))
        check_pair(self.forward_session, session, self.manifest, self.bundle.name)
        return session

    @cached_property
    def _bound(self) -> Binding:
        return Binding(self.explain_session, device_of(self.providers[0]), fixed=self.options.cuda_graph)

    def _open(self, graph: str, run: RunOptions) -> ort.InferenceSession:
        return open_session(self.bundle.source(graph), self.providers, run=run, weights=self.bundle.weights)

    def _run_pair(self, x: np.ndarray, others: Arrays, seed: np.ndarray, tunables: Arrays) -> Explanation:
        feeds = {self.manifest.input.name: x, **others, SEED: seed}
        device, name = device_of(self.providers[0]), self.manifest.output.name
        sessions = self.forward_session, self.relevance_session
        output, relevance = run_pair(*sessions, feeds, device, name, tunables)
        return Explanation(output, relevance, health(relevance, seed))

    def _nothing(self, x: np.ndarray) -> Explanation:
        """Explain an empty batch; ONNX Runtime's blocked layout refuses one."""
        output, found = ((0, *_fixed(self.manifest.output.shape)), (len(fields(Health)), 0))
        nothing = np.zeros((0, *self._relevance_shape(x)), np.float32)
        return Explanation(np.zeros(output, np.float32), nothing, Health(*np.zeros(found, np.float32)))

    def _relevance_shape(self, x: np.ndarray) -> tuple[int, ...]:
        """Return the shape of one sample's relevance: that of the model's own input."""
        return _fixed(self.manifest.input.shape) if self.manifest.picture else x.shape[1:]

    def _any_aim(self, count: int) -> Arrays:
        """Return what explain.onnx is given where its relevance is not asked for."""
        if self.manifest.seed == TARGET:
            return {TARGET: np.full(count, -1, np.int64)}
        if None in self.manifest.output.shape:
            raise LrpcError(
                f"{self.bundle.name} is a single file that takes a seed, and its output has no fixed shape: "
                "its output cannot be told beforehand.",
                hint="Give a seed shaped as the output, or compile without --single-file.",
            )
        return {SEED: np.zeros((count, *_fixed(self.manifest.output.shape)), np.float32)}


def _fixed(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return a shape with 0 for every size that is not known."""
    return tuple(size or 0 for size in shape)
