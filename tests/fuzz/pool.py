"""Start workers, hand them cases, and end them at a limit of time or of memory."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.fuzz.case import mutators, rng_of
from tests.fuzz.table import End, judged

ROOT = Path(__file__).parents[2]
SECONDS, MEMORY = 20.0, 2 << 30
_START, _LOOK, _RETIRE = 180.0, 0.05, 1 << 30
"""Seconds that a worker may take to start; seconds between two looks at it; memory kept between cases that ends it."""


@dataclass(frozen=True)
class Task:
    """Case `number` of a kind, from a seed."""

    kind: str
    number: int
    seed: int


class Worker:
    """A process that runs one case at a time; a new one takes its place when it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._baseline = 0

    def run(self, task: Task) -> End:
        """Write a case into a folder of its own, run it, and judge how it ended."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
            folder = Path(place) / "case"
            folder.mkdir()
            case = mutators()[task.kind](rng_of(task.seed, task.kind, task.number), task.number, folder)
            process = self._started()
            began = time.perf_counter()
            told = self._answer(process, json.dumps({"folder": str(folder), "commands": case.commands}))
            seconds = time.perf_counter() - began
        return judged(task.kind, task.number, case.mutation, told, seconds, MEMORY)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or _resident(self._process.pid) > self._baseline + _RETIRE:
            self.close()
            command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.worker"]
            paths = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
            environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
            )
            _line(self._process, time.monotonic() + _START, None)
            self._baseline = _resident(self._process.pid)
        return self._process

    def _answer(self, process: subprocess.Popen[str], task: str) -> dict[str, object]:
        assert process.stdin is not None
        most = _resident(process.pid) + MEMORY
        try:
            process.stdin.write(task + "\n")
            process.stdin.flush()
            line, why = _line(process, time.monotonic() + SECONDS, most)
        except BrokenPipeError:
            line, why = "", "died"
        if not line:
            code = process.poll()
            self.close()
            return {"ended": why, "code": code, "output": "", "error": ""}
        answer: dict[str, object] = json.loads(line)
        return answer


def _line(process: subprocess.Popen[str], until: float, most: int | None) -> tuple[str, str]:
    """Return the next line that a process writes; or "" and why there is none: slow, memory or died."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < until:
            if selector.select(_LOOK):
                line = process.stdout.readline()
                return line, "" if line else "died"
            if most is not None and _resident(process.pid) > most:
                return "", "memory"
    return "", "slow"


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def run_all(tasks: Iterable[Task], jobs: int) -> Iterator[End]:
    """Run cases on `jobs` workers at once; yield how each ended, in their order."""
    free: SimpleQueue[Worker] = SimpleQueue()
    workers = [Worker() for _ in range(jobs)]
    for worker in workers:
        free.put(worker)

    def one(task: Task) -> End:
        worker = free.get()
        try:
            return worker.run(task)
        finally:
            free.put(worker)

    try:
        with ThreadPoolExecutor(jobs) as threads:
            yield from threads.map(one, tasks)
    finally:
        for worker in workers:
            worker.close()
