"""What a session is opened with."""

import pytest

import lrpc
from lrpc.session import CPU, CUDA, RunOptions
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
    assert explainer._explain.get_session_options().intra_op_num_threads == 1
