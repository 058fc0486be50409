"""What a session is opened with."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

import lrpc
from lrpc.runtime.session import CPU, CUDA, RunOptions, assigned_elsewhere, check_provider, open_session
from tests.graphs import picture, small_resnet


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return lrpc.compile(small_resnet()).save(tmp_path_factory.mktemp("bundle") / "model.lrp")


def test_cuda_is_exact_unless_told_otherwise():
    plain = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "enable_cuda_graph": "0"}
    assert RunOptions().for_cuda() == plain
    assert RunOptions(tf32=True).for_cuda() == plain | {"use_tf32": "1"}
    assert RunOptions(cuda_graph=True).for_cuda() == plain | {"enable_cuda_graph": "1"}


def test_options_of_cuda_fit_cuda():
    RunOptions(threads=1, tf32=True, cuda_graph=True).check(CUDA)
    RunOptions(threads=1).check(CPU)


WRONG = {
    "tf32 on the CPU": ({"tf32": True}, "tf32 needs CUDAExecutionProvider; this runs on CPUExecutionProvider"),
    "a CUDA graph on the CPU": ({"cuda_graph": True}, "cuda_graph needs CUDAExecutionProvider"),
    "both on the CPU": ({"tf32": True, "cuda_graph": True}, "tf32 and cuda_graph need CUDAExecutionProvider"),
    "a CUDA graph of a pair": (
        {"providers": [CUDA], "cuda_graph": True, "fused": False},
        "cannot run the separate graphs",
    ),
    "no batch": ({"max_batch": 0}, "max_batch=0 must be at least 1"),
    "no threads": ({"threads": 0}, "threads=0 must be at least 1"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_options_that_cannot_be_are_refused_before_anything_is_read(bundle, options, message):
    with pytest.raises(lrpc.LrpcError, match=message):
        lrpc.Explainer(bundle, **options)


def test_the_number_of_threads_reaches_the_session(bundle):
    explainer = lrpc.Explainer(bundle, threads=1)
    explainer(picture(), 1)
    assert explainer.engine.explain_session.get_session_options().intra_op_num_threads == 1


def test_a_session_is_quiet_and_optimised_unless_it_runs_once_only(bundle):
    def options(**given):
        return open_session(bundle / "explain.onnx", [CPU], **given).get_session_options()

    plain, once = options(), options(once=True)
    assert plain.log_severity_level == once.log_severity_level == 3  # errors, no warnings
    assert plain.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert plain.enable_mem_reuse
    assert once.graph_optimization_level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert not once.enable_mem_reuse
    assert not plain.enable_profiling
    assert plain.intra_op_num_threads == 0


def test_threads_sleep_between_runs_in_turn(bundle):
    turns = open_session(bundle / "explain.onnx", [CPU], run=RunOptions(in_turn=True)).get_session_options()
    assert turns.get_session_config_entry("session.force_spinning_stop") == "1"
    plain = open_session(bundle / "explain.onnx", [CPU]).get_session_options()
    with pytest.raises(RuntimeError):
        plain.get_session_config_entry("session.force_spinning_stop")


def test_a_profile_goes_where_it_is_asked_for(bundle, tmp_path):
    session = open_session(bundle / "explain.onnx", [CPU], run=RunOptions(profile=tmp_path / "profile"))
    assert session.get_session_options().enable_profiling
    assert Path(session.end_profiling()).parent == tmp_path


def test_a_serialised_model_finds_its_weights_in_a_folder(bundle):
    session = open_session((bundle / "explain.onnx").read_bytes(), [CPU], bundle)
    x = picture()
    expected = open_session(bundle / "explain.onnx", [CPU]).run(["relevance"], {"x": x, "target": np.array([1, 2])})
    np.testing.assert_array_equal(session.run(["relevance"], {"x": x, "target": np.array([1, 2])})[0], expected[0])


def test_a_logger_is_as_loud_afterwards_as_before(monkeypatch):
    loudness = []
    monkeypatch.setattr(ort, "set_default_logger_severity", loudness.append)
    with pytest.raises(lrpc.LrpcError, match="was built without it"):
        check_provider("MoonExecutionProvider")
    assert loudness == [4, 2]


def test_a_provider_that_is_listed_but_does_not_start_is_an_error(monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA])
    monkeypatch.setattr("lrpc.runtime.session._started", lambda wanted: [CPU])
    with pytest.raises(lrpc.LrpcError, match="its libraries or a device are missing"):
        check_provider(CUDA)


class Subgraph:
    def __init__(self, provider, *nodes):
        self.ep_name, self._nodes = provider, nodes

    def get_nodes(self):
        return [SimpleNamespace(name=name, op_type=op) for name, op in self._nodes]


def test_nodes_on_another_provider_are_listed_with_their_op():
    assignment = [Subgraph(CUDA, ("a", "Conv")), Subgraph(CPU, ("b", "MaxPool"), ("c", "Cast"))]
    assert assigned_elsewhere(assignment, CUDA) == [f"b (MaxPool) on {CPU}", f"c (Cast) on {CPU}"]
    assert assigned_elsewhere(assignment, CPU) == [f"a (Conv) on {CUDA}"]
