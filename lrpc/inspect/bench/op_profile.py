"""Where the time of a graph goes, by op, as ONNX Runtime's own profiler has it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lrpc.inspect.bench.contestants import PROVIDERS, Graph, Machine
from lrpc.inspect.bench.process import in_own_process
from lrpc.inspect.bench.result import OpTime
from lrpc.runtime.session import RunOptions, open_session

_ROUNDS = 3


def profile(graph: Graph, machine: Machine, x: np.ndarray) -> list[OpTime]:
    """Return the time of each op type of a graph, the longest first: the mean of three runs after one to warm up.

    x: a batch.  Runs in a process of its own. On CUDA each kernel is waited for, so that all together
    take longer than a run does.  Raises LrpcError where the graph cannot run on the machine.
    """
    waiting = {"CUDA_LAUNCH_BLOCKING": "1"} if machine.provider == "cuda" else {}
    return in_own_process(_profile, graph, machine, x, environment=waiting)


def _profile(graph: Graph, machine: Machine, x: np.ndarray) -> list[OpTime]:
    with TemporaryDirectory(prefix="lrpc-") as folder:
        provider = [PROVIDERS[machine.provider]]
        session = open_session(
            graph.file, provider, run=RunOptions(machine.threads, in_turn=True, profile=Path(folder) / "profile")
        )
        for _ in range(1 + _ROUNDS):
            session.run(None, graph.feeds(x))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")
    found: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        kernel = event["cat"] == "Node" and event["name"].endswith("_kernel_time")
        if kernel and event["ts"] >= starts[1]:
            found[event["args"]["op_name"]].append(event["dur"])
    times = [OpTime(op, len(spans) // _ROUNDS, 1e-6 * sum(spans) / _ROUNDS) for op, spans in found.items()]
    return sorted(times, key=lambda entry: -entry.seconds)
