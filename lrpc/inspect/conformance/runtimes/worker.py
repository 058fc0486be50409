"""Run jobs on a runtime with a Python package: `python -m lrpc.inspect.conformance.runtimes.worker NAME JOB...`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from lrpc.inspect.conformance.runtimes.job import Answer, read_job, write_answer

Feeds = Mapping[str, np.ndarray]
Runner = Callable[[], dict[str, np.ndarray]]
"""Runs a model once on its inputs."""


def _onnxruntime(model: Path, feeds: Feeds, provider: str = "CPUExecutionProvider") -> Runner:
    from lrpc.runtime.session import open_session

    session = open_session(model, [provider])
    names = [value.name for value in session.get_outputs()]
    return lambda: dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _cuda(model: Path, feeds: Feeds) -> Runner:
    return _onnxruntime(model, feeds, "CUDAExecutionProvider")


def _openvino(model: Path, feeds: Feeds) -> Runner:
    """OpenVINO computes in bfloat16 where the processor has it, unless it is told not to."""
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
    compiled = openvino.Core().compile_model(str(model), "CPU", exact)
    names = _output_names(model)

    def run() -> dict[str, np.ndarray]:
        results = compiled(dict(feeds))
        return {name: np.array(results[index]) for index, name in enumerate(names)}

    return run


def _tract(model: Path, feeds: Feeds) -> Runner:
    """tract takes inputs in the graph's order; a batch that the file leaves open, it reads off them."""
    import tract

    runnable = tract.onnx().load(model).into_model().into_runnable()
    inputs = [feeds[name] for name in _input_names(model)]
    names = _output_names(model)
    return lambda: dict(zip(names, (value.to_numpy() for value in runnable.run(inputs)), strict=True))


def _input_names(model: Path) -> list[str]:
    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in weights]


def _output_names(model: Path) -> list[str]:
    """Return the graph's outputs in order, which is also how these runtimes have them; a tensor may have more names."""
    return [value.name for value in onnx.load(model, load_external_data=False).graph.output]


ENGINES: dict[str, Callable[[Path, Feeds], Runner]] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime-cuda": _cuda,
    "openvino": _openvino,
    "tract": _tract,
}


def _answer(name: str, job: Path) -> Answer:
    model, feeds, repeats = read_job(job)
    try:
        run = ENGINES[name](model, feeds)
        outputs, seconds = run(), []
        for _ in range(repeats):
            started = time.perf_counter()
            outputs = run()
            seconds.append(time.perf_counter() - started)
    except Exception as error:  # what a runtime raises is its answer
        return Answer(error=" ".join(str(error).split())[:300] or type(error).__name__)
    return Answer(outputs, min(seconds, default=0.0))


def main() -> None:
    """Run every job that the command line names."""
    name, *jobs = sys.argv[1:]
    for job in map(Path, jobs):
        write_answer(job, _answer(name, job))


if __name__ == "__main__":
    main()
