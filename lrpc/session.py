"""Open ONNX Runtime sessions on the provider that was asked for, and on no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from passes.errors import LrpcError

CPU = "CPUExecutionProvider"
_QUIET, _DEFAULT = 4, 2
_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def open_session(
    model: Path | bytes,
    providers: Sequence[str],
    folder: Path | None = None,
    *,
    once: bool = False,
    threads: int = 0,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """Open a session whose every node runs on the first provider.

    model: a file, or a serialised model whose weights are in `folder`.
    once: it will run a few times only; planning and optimising would take longer than they save.
    threads: how many CPU threads one operator uses; 0 leaves that to ONNX Runtime. Given, they sleep between runs, so
    that others can be timed in turn.  profile: where its profile goes, as the beginning of a file name.
    Raises LrpcError where the machine lacks the provider, or where nodes would fall back to the CPU:
    it names them.
    """
    wanted = providers[0]
    place = {} if folder is None else {"session.model_external_initializers_file_folder_path": str(folder)}
    if threads:
        place["session.force_spinning_stop"] = "1"

    def start(providers: Sequence[object], config: dict[str, str]) -> ort.InferenceSession:
        return _session(model, providers, config, once=once, threads=threads, profile=profile)

    if wanted == CPU:
        return start([CPU], place)
    check_provider(wanted)
    options = [(wanted, _CUDA_OPTIONS if wanted.startswith("CUDA") else {})]
    try:
        return start(options, place | {"session.disable_cpu_ep_fallback": "1"})
    except Exception as error:
        name = model.name if isinstance(model, Path) else "the graph"
        raise LrpcError(
            f"{name} cannot run on {wanted} alone; these nodes would run elsewhere: "
            f"{', '.join(_elsewhere(model, options, wanted, place)) or error}",
            hint="Run it with --provider cpu, or compile it with rules that this provider supports.",
        ) from error


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


def _elsewhere(model: Path | bytes, options: Sequence[object], wanted: str, place: dict[str, str]) -> list[str]:
    config = place | {"session.record_ep_graph_assignment_info": "1"}
    try:
        session = _session(model, [*options, CPU], config)
        return assigned_elsewhere(session.get_provider_graph_assignment_info(), wanted)
    except Exception:  # the diagnosis must not hide the failure that it explains
        return []


def _session(
    model: Path | bytes,
    providers: Sequence[object],
    config: dict[str, str] | None = None,
    *,
    once: bool = False,
    threads: int = 0,
    profile: Path | None = None,
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if once:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_mem_reuse = False
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=list(providers))


def _started(wanted: str) -> list[str]:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    try:
        return list(_session(onnx.ModelProto.SerializeToString(proto), [wanted, CPU]).get_providers())
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
