"""Run the tests of one mutant in a process of its own, forked from one that has imported what is slow to import."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.mutation.cover import Test
from studies.mutation.mutations import Mutation

_SLOW_TO_IMPORT = (
    "click.testing", "hypothesis", "matplotlib.pyplot", "numpy", "onnx", "onnx_graphsurgeon", "onnxruntime",
    "PIL.Image", "pytest", "rich", "torch", "torchvision", "zennit",
)  # fmt: skip
_OWN = ("lrpc", "passes", "models", "studies", "benchmarks", "tests")

KILLED, SURVIVED, HUNG, NO_TEST = "killed", "survived", "hung", "no test"


@dataclass(frozen=True)
class Outcome:
    """end: one of the four above.  by: the test that failed.  ran: how many tests, of the `covering` that there are."""

    end: str
    by: str = ""
    ran: int = 0
    covering: int = 0


def warm() -> None:
    """Import what every test imports, once; nothing of the project itself."""
    for name in _SLOW_TO_IMPORT:
        importlib.import_module(name)


@dataclass
class Trial:
    """One mutant under test in its copy of the tree."""

    mutation: Mutation
    tests: Sequence[Test]
    covering: int
    tree: Path
    pid: int = 0
    until: float = 0.0

    def start(self) -> None:
        """Change the copy and fork; tests have ten times as long as they took, and two minutes."""
        self._path = self.tree / self.mutation.file
        self._original = self._path.read_bytes()
        _put(self._path, self.mutation.applied(self._original))
        self._log = self.tree.with_suffix(".log")
        self.until = time.monotonic() + 120 + 10 * sum(test.seconds for test in self.tests)
        self.pid = os.fork()
        if self.pid == 0:
            _child(self.tree, self._log, [test.name for test in self.tests])

    def poll(self) -> Outcome | None:
        """Return how it ended, None while it runs."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        if not done and time.monotonic() < self.until:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not done:
            os.waitpid(self.pid, 0)
        _put(self._path, self._original)
        if not done:
            return Outcome(HUNG, "", len(self.tests), self.covering)
        if os.waitstatus_to_exitcode(status) == 0:
            return Outcome(SURVIVED, "", len(self.tests), self.covering)
        return Outcome(KILLED, _failed(self._log), len(self.tests), self.covering)

    def stop(self) -> None:
        """End what still runs."""
        self.until = 0.0
        while self.poll() is None:
            pass


_CLOCK = [time.time()]


def _put(path: Path, content: bytes) -> None:
    """Write a file so that Python compiles it anew: two versions within a second may have one size."""
    path.write_bytes(content)
    _CLOCK[0] = max(_CLOCK[0] + 2, time.time())
    os.utime(path, (_CLOCK[0], _CLOCK[0]))


def _child(tree: Path, log: Path, names: Iterable[str]) -> None:
    code = 3
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(tree)
        for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
            del sys.modules[name]
        sys.path[:] = [
            str(tree),
            *(entry for entry in sys.path if not (Path(entry or ".") / "studies/mutation").exists()),
        ]
        os.environ["PYTHONPATH"] = str(tree)
        import pytest

        options = [
            "-x",
            "-q",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            "--hypothesis-seed=0",
            "-W",
            "ignore::pytest.PytestWarning",
        ]
        code = int(pytest.main([*names, *options]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _failed(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [line.split(" ", 1)[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return found[0].split(" - ")[0] if found else "crashed"
