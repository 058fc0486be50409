"""A forward pass in float16 under a relevance pass in float32."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import lrpc
from lrpc import composites
from lrpc.bundle.input_spec import InputSpec
from lrpc.images.read import load_images
from lrpc.inspect.diagnose.trace import Tracer
from lrpc.variants.half_forward import half_forward
from tests.graphs import SHAPES, model, picture, saved, small_resnet
from tests.placement import cpu_bound

EVERY_GRAPH = ("explain", "forward", "relevance")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """The trained network, by whether its forward pass is halved."""
    folder, compiled = tmp_path_factory.mktemp("half"), lrpc.compile(SHAPES)
    return {half: compiled.variant(half_forward=half).save(folder / f"{half}.lrp") for half in (False, True)}


@pytest.fixture(scope="module")
def pictures(bundles):
    spec = InputSpec.from_manifest(lrpc.Explainer(bundles[False]).manifest)
    files = [file for file in sorted(Path("models/shapes/samples").glob("*.png")) if ".mask" not in file.name]
    return load_images(files, spec, "crop")[0]


@pytest.mark.parametrize("fused", [True, False])
def test_relevance_agrees_with_float32(bundles, pictures, fused):
    """Measured: median 3e-3, largest 3.3e-2, where another position wins a pool or a small denominator moves."""
    exact, half = (lrpc.Explainer(bundles[h], fused=fused)(pictures) for h in (False, True))
    apart, size = (
        np.linalg.norm(r.reshape(6, -1), axis=1) for r in (half.relevance - exact.relevance, exact.relevance)
    )
    assert 1e-7 < np.median(apart / size) < 1e-2
    assert (apart / size).max() < 0.1
    np.testing.assert_allclose(half.output, exact.output, rtol=1e-2, atol=1e-2)
    assert not any(half.alarms)
    np.testing.assert_allclose(half.health.abs_sum, exact.health.abs_sum, rtol=2e-2)


def test_weights_are_stored_once_and_as_they_are(bundles):
    assert (bundles[True] / "weights.bin").read_bytes() == (bundles[False] / "weights.bin").read_bytes()
    assert (bundles[True] / "relevance.onnx").read_bytes() == (bundles[False] / "relevance.onnx").read_bytes()


def test_a_halved_bundle_can_be_traced_and_runs_on_cuda(bundles, pictures):
    assert Tracer(bundles[True])(pictures[:1]).first_bad() is None
    for name in EVERY_GRAPH:
        proto = onnx.load(bundles[True] / f"{name}.onnx")
        onnx.checker.check_model(proto, full_check=True)
        assert cpu_bound(proto) == []


def test_every_forward_node_is_float16_and_every_other_float32(bundles):
    proto = onnx.shape_inference.infer_shapes(onnx.load(bundles[True] / "explain.onnx"), strict_mode=True)
    types = {value.name: value.type.tensor_type.elem_type for value in proto.graph.value_info}
    plan = {row.layer for row in lrpc.Explainer(bundles[True]).manifest.plan}
    forward = [node for node in proto.graph.node if node.name in plan]
    assert len(forward) == len(plan)
    assert {types[node.output[0]] for node in forward} == {TensorProto.FLOAT16}
    others = [node for node in proto.graph.node if node.name not in plan and not node.name.endswith("/float16/cast")]
    assert TensorProto.FLOAT16 not in {types.get(name) for node in others for name in node.output}
    assert all(
        value.type.tensor_type.elem_type != TensorProto.FLOAT16 for value in (*proto.graph.input, *proto.graph.output)
    )


def test_values_beyond_float16_raise_the_alarm(tmp_path):
    compiled, x = lrpc.compile(small_resnet(), composite=composites.epsilon_plus()), 1e6 * picture()
    assert lrpc.Explainer(compiled)(x, 1).alarms == ["", ""]
    half = lrpc.Explainer(compiled.variant(half_forward=True).save(tmp_path / "half.lrp"))
    with pytest.warns(lrpc.HealthWarning, match="2 of 2 explanations are not to be trusted"):
        result = half(x, 1)
    assert (result.health.nonfinite > 0).all()
    assert all("NaN or infinite" in alarm for alarm in result.alarms)


FORMS = {"a single file": {"single_file": True}, "with a seed": {"seed_input": True}, "tunable": {"tunable": True}}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_bundle_can_be_halved(tmp_path, form):
    compiled, seed = lrpc.compile(small_resnet()), np.eye(5, dtype=np.float32)[[1, 3]]
    target = seed if "seed_input" in form else [1, 3]
    half = lrpc.Explainer(saved(compiled, tmp_path / "half", half_forward=True, **form))(picture(), target)
    exact = lrpc.Explainer(compiled)(picture(), [1, 3])
    assert np.linalg.norm(half.relevance - exact.relevance) < 0.02 * np.linalg.norm(exact.relevance)


INT = {"shape": np.array([-1, 192]), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "axes": np.array([1])}
FLOAT = {"low": np.float32(-1), "high": np.float32(1), "slope": np.full((3, 1, 1), 0.5, np.float32)}
NODES = {
    "shape": helper.make_node("Reshape", ["x", "shape"], ["y"]),
    "pads without a value": helper.make_node("Pad", ["x", "pads"], ["y"]),
    "pads with a value": helper.make_node("Pad", ["x", "pads", "low"], ["y"]),
    "limits": helper.make_node("Clip", ["x", "low", "high"], ["y"]),
    "an upper limit only": helper.make_node("Clip", ["x", "", "high"], ["y"]),
    "axes": helper.make_node("ReduceMean", ["x", "axes"], ["y"]),
    "slope": helper.make_node("PRelu", ["x", "slope"], ["y"]),
    "its own type": helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_parameters_keep_the_type_that_the_op_wants(node):
    weights = {name: value for name, value in (INT | FLOAT).items() if name in node.input}
    shape = {"Reshape": ["n", 192]}.get(node.op_type, ["a", "b", "c", "d"])
    relu = helper.make_node("Relu", ["y"], ["z"])
    proto = model([node, relu], weights, {"x": ["n", 3, 8, 8]}, {"z": shape})
    (expected,) = ran(proto)
    halved = half_forward(proto)
    onnx.checker.check_model(halved, full_check=True)
    (actual,) = ran(halved)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=2e-3)


def ran(proto):
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": picture()})
