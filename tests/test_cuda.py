"""CUDA without a GPU: where nodes are placed, and that buffers and captured graphs are handled as CUDA wants it."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper

import lrpc
from lrpc.composites.builtin import COMPOSITES
from tests import cuda_stub
from tests.composites import composite
from tests.graphs import SHAPES, model, small_resnet
from tests.placement import LEFT_TO_THE_CPU, PLACED_THERE

PROBE = """
from lrpc.runtime.session import CUDA, check_provider
try:
    check_provider(CUDA)
except Exception as error:
    print(error)
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stub")
    reason = cuda_stub.build(folder) or cuda_stub.run(folder, PROBE)
    if reason:
        pytest.skip(f"CUDA's provider does not start on the stub: {reason}")
    return folder


OPEN = """
import json, pathlib, lrpc
said = {}
for path in sorted(pathlib.Path(FOLDER).iterdir()):
    for options in ({}, {"cuda_graph": True}):
        try:
            explainer = lrpc.Explainer(path, ["CUDAExecutionProvider"], **options)
            explainer.engine.explain_session
            if path.is_dir():
                explainer.engine.forward_session, explainer.engine.relevance_session
        except lrpc.LrpcError as error:
            said[path.name] = str(error)
print(json.dumps(said))
"""


def test_every_bundle_opens_with_all_its_nodes_on_the_device(stub, tmp_path):
    for name in COMPOSITES:
        lrpc.compile(small_resnet(), composite=composite(name), tunable=True).save(tmp_path / f"{name}.lrp")
    for half in (False, True):
        lrpc.compile(SHAPES, half_forward=half).save(tmp_path / f"shapes-{half}.lrp")
    assert json.loads(cuda_stub.run(stub, OPEN.replace("FOLDER", repr(str(tmp_path))))) == {}


def test_single_files_with_pictures_do_too(stub, tmp_path):
    for preprocess in ("size", "any"):
        path = tmp_path / f"{preprocess}.onnx"
        lrpc.compile(SHAPES, preprocess=preprocess, heatmap=True).save(path, single_file=True)
    assert json.loads(cuda_stub.run(stub, OPEN.replace("FOLDER", repr(str(tmp_path))))) == {}


PLACE = """
import json, pathlib, onnxruntime as ort
from lrpc.runtime.session import CPU, CUDA, assigned_elsewhere
said = {}
for path in sorted(pathlib.Path(FOLDER).iterdir()):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(path, options, providers=[CUDA, CPU])
    said[path.stem] = assigned_elsewhere(session.get_provider_graph_assignment_info(), CUDA)
print(json.dumps(said))
"""


def test_the_table_says_what_cuda_says(stub, tmp_path):
    left = {name: proto for name, (proto, _) in LEFT_TO_THE_CPU.items()}
    for name, proto in (left | PLACED_THERE).items():
        onnx.save(proto, tmp_path / f"{name}.onnx")
    said = json.loads(cuda_stub.run(stub, PLACE.replace("FOLDER", repr(str(tmp_path)))))
    assert {name for name, lines in said.items() if lines} == set(left)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """Two dense layers: cuDNN, which convolutions need, is not there to run them."""
    rng = np.random.default_rng(0)
    weights = {
        f"{n}.weight": rng.standard_normal(shape).astype(np.float32) for n, shape in {"a": (8, 12), "b": (5, 8)}.items()
    }
    nodes = [
        helper.make_node("Gemm", ["x", "a.weight"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "b.weight"], ["y"], transB=1),
    ]
    proto = model(nodes, weights, {"x": ["batch", 12]}, {"y": ["batch", 5]})
    return lrpc.compile(proto, composite=composite("epsilon_plus")).save(tmp_path_factory.mktemp("dense") / "model.lrp")


def called(stub, bundle, code):
    start = "import lrpc, numpy as np\ndef call(*counts, **options):\n"
    start += f" explainer = lrpc.Explainer({str(bundle)!r}, ['CUDAExecutionProvider'], **options)\n"
    start += " return [explainer(np.zeros((n, 12), np.float32), 1).relevance.shape for n in counts]\n"
    return cuda_stub.run(stub, start + code)


OPTIONS = {
    "plain": "",
    "tf32": "tf32=True",
    "in parts": "max_batch=1",
    "the pair": "fused=False",
    "replayed": "cuda_graph=True",
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_calls_go_through_on_the_device(stub, dense, options):
    assert called(stub, dense, f"print(call(2, 2, 2, {options}))").strip() == str([(2, 12)] * 3)


def test_a_graph_that_is_replayed_keeps_its_batch(stub, dense):
    code = "try:\n call(2, 2, 3, cuda_graph=True)\nexcept lrpc.LrpcError as error:\n print(error)"
    said = called(stub, dense, code)
    assert "replays the first call's batch of 2; this one has 3" in said
    assert "Give batches of 2" in said
