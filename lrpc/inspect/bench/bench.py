"""Time explanations beside the forward pass, the gradient and zennit, all in one run.

The contestants take turns, so that what slows the machine down for a while slows all of them, and each is
judged by its best turn. Ratios are taken within one composite and batch, whose contestants took turns with
each other.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

import lrpc
from lrpc.bundle.store import write_graphs
from lrpc.compiler import chosen_composite
from lrpc.composites.choice import Choice
from lrpc.composites.composite import Composite
from lrpc.inspect.bench.contestants import (
    PROVIDERS,
    Contestant,
    Explanation,
    Forward,
    Gradient,
    Graph,
    Libraries,
    Machine,
    Run,
    Torch,
    Zennit,
    footprint,
)
from lrpc.inspect.bench.machine import describe
from lrpc.inspect.bench.op_profile import profile
from lrpc.inspect.bench.process import in_own_process
from lrpc.inspect.bench.result import Bench, Compilation, Result, Timing
from lrpc.inspect.bench.work import convolution_work
from lrpc.inspect.inputs import validation_input
from lrpc.plan.inputs import others_in
from lrpc.plan.plan import Overrides
from lrpc.reference import require_torch
from lrpc.runtime.session import check_provider
from passes.errors import LrpcError
from passes.graph.write import to_proto, weights_of
from passes.loading.load import load
from passes.loading.select import select

LEVELS = (0, 1)
"""The levels of optimization that are compared."""
_PAUSE = 0.01
"""Seconds between two turns, in which the threads of the one before go to sleep."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """A composite to bench; None is the model's default.

    rules: overrides.  zennit: whether zennit may know it: by name, where there are no overrides.
    input, output: as for `lrpc.compile`.
    """

    composite: Composite | Choice | None = None
    rules: Overrides = ()
    zennit: bool = True
    input: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class Setting:
    """How to bench. torch: the model for gradient and zennit, None leaves both out.

    batches: sizes of a batch.  rounds: how many turns each contestant gets, after one to warm up.
    memory: whether each also runs in a process of its own, to see its peak memory.
    profile: whether ONNX Runtime's profiler looks at the graphs, with the first batch.
    """

    machine: Machine
    torch: Torch | None = None
    batches: Sequence[int] = (4,)
    rounds: int = 5
    levels: Sequence[int] = LEVELS
    memory: bool = False
    profile: bool = False

    def __post_init__(self) -> None:
        """Raise LrpcError for numbers that make no sense, and a provider that is not there."""
        counts = {"batch size": self.batches, "number of rounds": [self.rounds],
                  "number of threads": [self.machine.threads]}  # fmt: skip
        for what, values in counts.items():
            if not values or min(values) < 1:
                raise LrpcError(f"A {what} is at least 1, not {', '.join(map(str, values)) or 'nothing'}.")
        if not self.levels or set(self.levels) - set(LEVELS):
            given = ", ".join(map(str, self.levels)) or "nothing"
            raise LrpcError(f"The levels are {' and '.join(map(str, LEVELS))}, not {given}.")
        if self.machine.provider != "cpu":
            check_provider(PROVIDERS[self.machine.provider])
        if self.torch is not None:
            require_torch()


def bench(model: Path, cases: Sequence[Case], setting: Setting, report: Report = lambda line: None) -> Bench:
    """Bench a model file with one or several composites.

    report: called with one line per step.  Raises LrpcError for a model that cannot be compiled, torch's
    or zennit's that cannot be built, and settings that make no sense.
    """
    machine = describe(setting.machine.provider) | {"threads": setting.machine.threads}
    with TemporaryDirectory(prefix="lrpc-") as folder:
        results = [_result(model, case, setting, Path(folder) / str(i), report) for i, case in enumerate(cases)]
    libraries = _libraries(setting) if setting.memory else {}
    return Bench(model.stem, _size(model), machine, setting.rounds, results, libraries)


def _result(model: Path, case: Case, setting: Setting, folder: Path, report: Report) -> Result:
    folder.mkdir()
    plan = lrpc.plan_model(model, composite=case.composite, rules=case.rules, input=case.input, output=case.output)
    others = others_in(plan.graph)
    if others and setting.torch is not None:
        raise LrpcError("Gradient and zennit take models of one input.", hint="Leave --torch out.")
    case = replace(case, composite=chosen_composite(case.composite, plan.graph))
    x, _ = validation_input(plan)
    entry, name = plan.graph.inputs[0].name, plan.composite
    graphs: list[Graph] = [Forward(_forward(model, case, folder), entry, others=others)]
    contestants: list[Contestant] = [*graphs]
    notes = []
    if setting.torch is None:
        notes.append("no PyTorch model was given (--torch): no gradient and no zennit to compare with")
    else:
        contestants.append(Gradient(setting.torch))
        zennit, note = _zennit(case, setting.torch, setting.machine, x.shape[1:])
        contestants += [zennit] if zennit else []
        notes += [note] if note else []
    compiled = []
    for level in setting.levels:
        report(f"{name}: compiling -O{level}")
        compiled.append(_compile(model, case, level, folder / f"{level}.lrp"))
        graphs.append(Explanation(folder / f"{level}.lrp", entry, level, others))
    contestants += graphs[1:]
    timings = _timings(contestants, x, setting, lambda line: report(f"{name}: {line}"))
    batch = np.repeat(x, setting.batches[0], axis=0)
    profiles = {graph.name: profile(graph, setting.machine, batch) for graph in graphs if setting.profile}
    return Result(name, compiled, timings, notes, profiles)


def _forward(model: Path, case: Case, folder: Path) -> Path:
    """Return the model file, or what of it leads to the chosen output from inputs that the output depends on."""
    if case.input is case.output is None:
        return model
    graph = select(load(model), case.input, case.output)
    write_graphs(folder, {"forward": to_proto(graph)}, weights_of(graph))
    return folder / "forward.onnx"


def _compile(model: Path, case: Case, level: int, path: Path) -> Compilation:
    started = time.perf_counter()
    compiled = lrpc.compile(
        model, composite=case.composite, rules=case.rules, optimize=level, input=case.input, output=case.output
    )
    compiled.save(path)
    seconds = time.perf_counter() - started
    explain = onnx.load(path / "explain.onnx", load_external_data=False)
    return Compilation(level, seconds, _size(path), convolution_work(explain))


def _zennit(case: Case, torch: Torch, machine: Machine, shape: tuple[int, ...]) -> tuple[Zennit | None, str]:
    """Return zennit as a contestant, or None and why it is none."""
    if not case.zennit or case.rules:
        return None, "zennit knows its own composites only, without rules for single layers: it is left out"
    assert isinstance(case.composite, Composite)
    zennit = Zennit(torch, case.composite.name, case.composite.parameters, shape)
    try:
        zennit.start(machine)
    except LrpcError as error:
        return None, f"zennit is left out: {error.headline}"
    return zennit, ""


def _timings(contestants: list[Contestant], x: np.ndarray, setting: Setting, report: Report) -> list[Timing]:
    timings = []
    for size in setting.batches:
        # Started afresh, since a session keeps the most memory that a batch ever took.
        with _start_all(contestants, setting.machine) as runs:
            seconds = _turns(runs, np.repeat(x, size, axis=0), setting.rounds, report)
        timings.append(Timing(size, seconds))
    if setting.memory:
        timings = [_weigh(timing, contestants, x, setting.machine, report) for timing in timings]
    return timings


def _turns(runs: Mapping[str, Run], batch: np.ndarray, rounds: int, report: Report) -> dict[str, float]:
    """Return the seconds of each one's best turn, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(1 + rounds):
        report(f"batch {len(batch)}, " + (f"round {turn} of {rounds}" if turn else "warming up"))
        for name, run in runs.items():
            seconds[name].append(_seconds(run, batch))
    return {name: min(turns[1:]) for name, turns in seconds.items()}


@contextmanager
def _start_all(contestants: Sequence[Contestant], machine: Machine) -> Iterator[dict[str, Run]]:
    """Start all of them; what they hold is let go of afterwards."""
    runs = {contestant.name: contestant.start(machine) for contestant in contestants}
    yield runs
    runs.clear()
    gc.collect()


def _seconds(run: Run, batch: np.ndarray) -> float:
    time.sleep(_PAUSE)
    started = time.perf_counter()
    run(batch)
    return time.perf_counter() - started


def _weigh(
    timing: Timing, contestants: Sequence[Contestant], x: np.ndarray, machine: Machine, report: Report
) -> Timing:
    batch = np.repeat(x, timing.batch, axis=0)
    peak = {}
    for contestant in contestants:
        report(f"batch {timing.batch}, memory of {contestant.name}")
        peak[contestant.name] = in_own_process(footprint, contestant, machine, batch)
    return Timing(timing.batch, timing.seconds, peak)


def _libraries(setting: Setting) -> dict[str, int]:
    kinds = {"ONNX Runtime": False} | ({} if setting.torch is None else {"PyTorch and zennit": True})
    nothing = np.zeros(0, np.float32)
    return {
        name: in_own_process(footprint, Libraries(torch), setting.machine, nothing) for name, torch in kinds.items()
    }


def _size(path: Path) -> int:
    files = [path] if path.is_file() else list(path.iterdir())
    return sum(file.stat().st_size for file in files)
