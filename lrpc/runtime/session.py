"""Open ONNX Runtime sessions on the provider that was asked for, and on no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

from passes.errors import LrpcError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_QUIET, _DEFAULT = 4, 2
_FAILURES = (state.Fail, state.InvalidArgument, state.RuntimeException, state.NotImplemented, state.EPFail)
"""What ONNX Runtime raises when a graph runs."""


@dataclass(frozen=True)
class RunOptions:
    """How a session runs.

    threads: of the CPU, one per core by default.  tf32: let CUDA round the factors of convolutions and matrix
    products to 10 bits of mantissa; off, so that relevance is that of the CPU.
    cuda_graph: let CUDA record the first run and replay it; every input keeps its shape and address.
    in_turn: the threads sleep between runs, so that others can be timed in turn.
    profile: where ONNX Runtime's profile goes, as the beginning of a file name.

    What else a session offers was measured on two idle threads of a CPU, explain.onnx of the trained network and
    of ResNet-50, and is left at its default. As ratios of the time: flushing denormals 1.00, no memory pattern
    0.98 to 1.01, no prepacking 1.03, smaller blocks of work 1.01, no arena 1.02 to 1.21, threads that do not
    spin 1.37, one thread 1.42.
    """

    threads: int | None = None
    tf32: bool = False
    cuda_graph: bool = False
    in_turn: bool = False
    profile: Path | None = None

    def check(self, provider: str) -> None:
        """Raise LrpcError where the options make no sense, or need CUDA and `provider` is another."""
        if self.threads is not None and self.threads < 1:
            raise LrpcError(f"threads={self.threads} must be at least 1.")
        wanted = [name for name in ("tf32", "cuda_graph") if getattr(self, name)]
        if wanted and provider != CUDA:
            raise LrpcError(
                f"{' and '.join(wanted)} {'need' if wanted[1:] else 'needs'} {CUDA}; this runs on {provider}.",
                hint=f"Add --provider cuda (in Python providers=[{CUDA!r}]), or leave it out.",
            )

    def for_cuda(self) -> dict[str, str]:
        """Return the options of the CUDA provider."""
        return {
            "use_tf32": str(int(self.tf32)),
            # DEFAULT takes slow algorithms, EXHAUSTIVE a second for every new shape.
            "cudnn_conv_algo_search": "HEURISTIC",
            "enable_cuda_graph": str(int(self.cuda_graph)),
        }


_PLAIN = RunOptions()


def open_session(
    model: Path | bytes,
    providers: Sequence[str],
    folder: Path | None = None,
    *,
    run: RunOptions = _PLAIN,
    once: bool = False,
    weights: Mapping[str, np.ndarray] | None = None,
) -> ort.InferenceSession:
    """Open a session whose every node runs on the first provider.

    model: a file, or a serialised model whose weights are in `folder`, or in memory: `weights`, by name.  These must
    live as long as the session, which reads them where they are.  run: see `RunOptions`.
    once: it will run a few times only; planning and optimising would take longer than they save.
    Raises LrpcError where the machine lacks the provider, or where nodes would fall back to the CPU:
    it names them.
    """
    wanted = providers[0]
    run.check(wanted)
    settings = _settings(run, once)
    place = {} if folder is None else {"session.model_external_initializers_file_folder_path": str(folder)}
    if run.in_turn:
        place["session.force_spinning_stop"] = "1"
    name = model.name if isinstance(model, Path) else "the graph"
    if wanted == CPU:
        try:
            return _session(model, [CPU], settings, place, weights)
        except Exception as error:
            raise LrpcError(f"ONNX Runtime cannot open {name}: {_shortened(error)}") from error
    check_provider(wanted)
    options = [(wanted, run.for_cuda() if wanted == CUDA else {})]
    try:
        return _session(model, options, settings, place | {"session.disable_cpu_ep_fallback": "1"}, weights)
    except Exception as error:
        raise LrpcError(
            f"{name} cannot run on {wanted} alone; these nodes would run elsewhere: "
            f"{', '.join(_elsewhere(model, options, wanted, place, weights)) or error}",
            hint="Run it with --provider cpu, or compile it with rules that this provider supports.",
        ) from error


def _shortened(error: Exception) -> str:
    """Return the first 300 characters of what ONNX Runtime says, in one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + " ..."


@contextmanager
def told_by_runtime(what: str) -> Iterator[None]:
    """Tell what ONNX Runtime raises while a graph runs as one LrpcError. what: the graph's name in it."""
    try:
        yield
    except _FAILURES as error:
        raise LrpcError(f"ONNX Runtime cannot run {what}: {_shortened(error)}") from error


def check_provider(wanted: str) -> None:
    """Raise LrpcError unless ONNX Runtime can start a session on this provider here.

    A provider that is listed may still lack its libraries or a device, so a one-node model is tried.
    """
    listed = wanted in ort.get_available_providers()
    with _quiet():
        started = listed and wanted in _started(wanted)
    if not started:
        reason = "its libraries or a device are missing" if listed else "this ONNX Runtime was built without it"
        raise LrpcError(
            f"{wanted} is not available on this machine: {reason}.",
            hint="Install onnxruntime-gpu with CUDA and cuDNN, or use --provider cpu.",
        )


def assigned_elsewhere(assignment: Iterable[Any], wanted: str) -> list[str]:
    """Return 'name (op) on provider' for each node that ONNX Runtime assigned to another provider."""
    return [
        f"{node.name} ({node.op_type}) on {subgraph.ep_name}"
        for subgraph in assignment
        if subgraph.ep_name != wanted
        for node in subgraph.get_nodes()
    ]


def _elsewhere(
    model: Path | bytes,
    options: Sequence[object],
    wanted: str,
    place: dict[str, str],
    weights: Mapping[str, np.ndarray] | None,
) -> list[str]:
    config = place | {"session.record_ep_graph_assignment_info": "1"}
    try:
        session = _session(model, [*options, CPU], _settings(), config, weights)
        return assigned_elsewhere(session.get_provider_graph_assignment_info(), wanted)
    except Exception:  # the diagnosis must not hide the failure that it explains
        return []


def _session(
    model: Path | bytes,
    providers: Sequence[object],
    options: ort.SessionOptions,
    config: dict[str, str] | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
) -> ort.InferenceSession:
    if weights:
        options.add_external_initializers(list(weights), list(map(ort.OrtValue.ortvalue_from_numpy, weights.values())))
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=list(providers))


def _settings(run: RunOptions = _PLAIN, once: bool = False) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if run.threads is not None:
        options.intra_op_num_threads = run.threads
    if run.profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(run.profile)
    if once:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_mem_reuse = False
    return options


def _started(wanted: str) -> list[str]:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    try:
        return list(_session(onnx.ModelProto.SerializeToString(proto), [wanted, CPU], _settings()).get_providers())
    except Exception:
        return []


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime from logging an error that is reported here as one sentence."""
    ort.set_default_logger_severity(_QUIET)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_DEFAULT)
