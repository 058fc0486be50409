"""What `lrpc bench` compares: each can be started here to be timed, or in a process of its own to be weighed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lrpc.bundle.names import TARGET
from lrpc.bundle.side_inputs import Other, drawn
from lrpc.inspect.bench.process import peak_memory
from lrpc.runtime.session import RunOptions, open_session

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

Run = Callable[[np.ndarray], object]
"""Take a batch in host memory, and leave the result there."""


@dataclass(frozen=True)
class Machine:
    """Where contestants run. provider: "cpu" or "cuda".  threads: of the CPU, for each of them."""

    provider: str
    threads: int


class Contestant(Protocol):
    """Something to time; it can be pickled."""

    @property
    def name(self) -> str:
        """What it is called in the table."""

    def start(self, machine: Machine) -> Run:
        """Do what is done once, and return what is done for every batch."""


class Graph(Contestant, Protocol):
    """A contestant that ONNX Runtime runs."""

    @property
    def file(self) -> Path:
        """The graph."""

    def feeds(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the graph takes, for a batch."""


@dataclass(frozen=True)
class Forward:
    """The forward pass of a model file, whose input has a name.  others: further inputs; they get random values."""

    file: Path
    input: str
    name: str = "forward"
    others: tuple[Other, ...] = ()

    def feeds(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the batch, and what goes with it."""
        return {self.input: x, **drawn(self.others, len(x))}

    def start(self, machine: Machine) -> Run:
        """Open the session."""
        return _open(self, machine)


@dataclass(frozen=True)
class Explanation:
    """lrpc's explanation of class 0 by a bundle, whose input has a name.

    level: of optimization.  others: further inputs; they get random values.
    """

    bundle: Path
    input: str
    level: int
    others: tuple[Other, ...] = ()

    @property
    def name(self) -> str:
        """The level tells one from the other."""
        return f"lrpc -O{self.level}"

    @property
    def file(self) -> Path:
        """Both passes in one."""
        return self.bundle / "explain.onnx"

    def feeds(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the batch, what goes with it, and class 0 for every sample."""
        return {self.input: x, **drawn(self.others, len(x)), TARGET: np.zeros(len(x), np.int64)}

    def start(self, machine: Machine) -> Run:
        """Open the session."""
        return _open(self, machine)


def _open(graph: Graph, machine: Machine) -> Run:
    session = open_session(graph.file, [PROVIDERS[machine.provider]], run=RunOptions(machine.threads, in_turn=True))
    return lambda x: session.run(None, graph.feeds(x))


@dataclass(frozen=True)
class Torch:
    """A PyTorch model. source: as `lrpc export` takes it.  weights: none, DEFAULT or a file."""

    source: str
    weights: str = "none"


@dataclass(frozen=True)
class Gradient:
    """PyTorch's plain gradient."""

    torch: Torch
    name: str = "gradient"

    def start(self, machine: Machine) -> Run:
        """Build the model."""
        from lrpc.reference.timed import gradient_pass

        return gradient_pass(self.torch.source, self.torch.weights, machine.provider, machine.threads)


@dataclass(frozen=True)
class Zennit:
    """zennit's explanation. shape: of one sample."""

    torch: Torch
    composite: str
    parameters: Mapping[str, Any]
    shape: tuple[int, ...]
    name: str = "zennit"

    def start(self, machine: Machine) -> Run:
        """Build the model and register the hooks."""
        from lrpc.reference.timed import zennit_pass

        where = (self.shape, machine.provider, machine.threads)
        return zennit_pass(self.torch.source, self.torch.weights, self.composite, self.parameters, *where)


@dataclass(frozen=True)
class Libraries:
    """Nothing but the libraries: what a process weighs before it has loaded a model."""

    torch: bool
    name: str = "libraries"

    def start(self, machine: Machine) -> Run:
        """Import them."""
        if self.torch:
            from lrpc.reference.timed import libraries

            libraries()
        return lambda x: None


def footprint(contestant: Contestant, machine: Machine, x: np.ndarray) -> int:
    """Return the peak memory of this process, in bytes, after the contestant started and ran twice.

    To be called `in_own_process`: what was there before counts too, the libraries among it.
    """
    run = contestant.start(machine)
    for _ in range(2):
        run(x)
    return peak_memory()
