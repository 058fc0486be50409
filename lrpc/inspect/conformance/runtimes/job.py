"""A job: a folder that tells a runtime's process what to run, and takes what came out.

job.json: {"model": path, "repeats": n, "inputs": [{"name", "file", "type", "shape"}, ..]}; each file holds the bytes of
a tensor. The process writes result.json: {"seconds": best of the repeats, "outputs": [..]} or {"error": a sentence}.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lrpc.inspect.conformance.runtimes.runtime import Runtime

_JOB, _RESULT = "job.json", "result.json"


@dataclass(frozen=True)
class Answer:
    """What a runtime gave. outputs: by name.  seconds: one run, the best of several.  error: "" if it ran."""

    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


def write_job(folder: Path, model: Path, feeds: Mapping[str, np.ndarray], repeats: int = 0) -> Path:
    """Write a job into a new folder. repeats: how many runs to time, after one that is not timed."""
    folder.mkdir(parents=True)
    entries = [_store(folder, name, array, f"input{i}.bin") for i, (name, array) in enumerate(feeds.items())]
    job = {"model": str(model.resolve()), "repeats": repeats, "inputs": entries}
    (folder / _JOB).write_text(json.dumps(job), encoding="utf-8")
    return folder


def read_job(folder: Path) -> tuple[Path, dict[str, np.ndarray], int]:
    """Return model, inputs by name and repeats."""
    job = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    return Path(job["model"]), {entry["name"]: _load(folder, entry) for entry in job["inputs"]}, job["repeats"]


def write_answer(folder: Path, answer: Answer) -> None:
    """Write what came out."""
    outputs = [_store(folder, name, array, f"output{i}.bin") for i, (name, array) in enumerate(answer.outputs.items())]
    result = {"error": answer.error} if answer.error else {"seconds": answer.seconds, "outputs": outputs}
    (folder / _RESULT).write_text(json.dumps(result), encoding="utf-8")


def run_jobs(runtime: Runtime, jobs: Sequence[Path], node_modules: Path, timeout: float) -> list[Answer]:
    """Run jobs on a runtime, in a process of its own; where it dies, the next job gets another one.

    timeout: seconds for each process.
    """
    left = list(jobs)
    while left:
        ended = _run(runtime, left, node_modules, timeout)
        done = [job for job in left if (job / _RESULT).exists()]
        left = left[len(done) :]
        if left:
            write_answer(left.pop(0), Answer(error=ended))
    return [_answer(job) for job in jobs]


def _run(runtime: Runtime, jobs: Sequence[Path], node_modules: Path, timeout: float) -> str:
    """Start the process; return how it ended."""
    command = [*runtime.command(node_modules), *map(str, jobs)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s"
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if "panicked" in line), lines[-1] if lines else "it says nothing")
    return f"the process ended with code {done.returncode}: {said.strip()}"


def _answer(job: Path) -> Answer:
    result = json.loads((job / _RESULT).read_text(encoding="utf-8"))
    if "error" in result:
        return Answer(error=result["error"])
    return Answer({entry["name"]: _load(job, entry) for entry in result["outputs"]}, result["seconds"])


def _store(folder: Path, name: str, array: np.ndarray, file: str) -> dict[str, Any]:
    (folder / file).write_bytes(np.ascontiguousarray(array).tobytes())
    return {"name": name, "file": file, "type": str(array.dtype), "shape": list(array.shape)}


def _load(folder: Path, entry: Mapping[str, Any]) -> np.ndarray:
    array = np.frombuffer((folder / entry["file"]).read_bytes(), entry["type"])
    return np.array(array.reshape(entry["shape"]))  # of its own: OpenVINO takes nothing that is read-only
