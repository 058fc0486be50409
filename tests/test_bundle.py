"""The bundle on disk: complete, shared weights, replaced only when told to, refused when damaged."""

import hashlib
import json

import numpy as np
import onnx
import pytest

import lrpc
from lrpc.bundle.store import load_manifest
from tests.graphs import picture, small_resnet

FILES = {"forward.onnx", "relevance.onnx", "explain.onnx", "weights.bin", "manifest.json"}


@pytest.fixture(scope="module")
def compiled():
    return lrpc.compile(small_resnet())


@pytest.fixture
def bundle(compiled, tmp_path):
    return compiled.save(tmp_path / "model.lrp")


def test_a_bundle_holds_the_five_files_and_their_checksums(bundle):
    assert {file.name for file in bundle.iterdir()} == FILES
    files = load_manifest(bundle).files
    assert set(files) == FILES - {"manifest.json"}
    for name, fingerprint in files.items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == fingerprint.sha256


@pytest.mark.parametrize("name", ["forward", "relevance", "explain"])
def test_every_graph_is_valid_plain_onnx(bundle, name):
    onnx.checker.check_model(bundle / f"{name}.onnx", full_check=True)
    proto = onnx.load(bundle / f"{name}.onnx")
    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    assert proto.ir_version == 8


def test_large_weights_are_on_disk_once(bundle):
    graphs = [onnx.load(bundle / f"{n}.onnx", load_external_data=False) for n in ("forward", "relevance")]
    places = [
        {
            tensor.name: {entry.key: entry.value for entry in tensor.external_data}["offset"]
            for tensor in proto.graph.initializer
            if tensor.data_location == onnx.TensorProto.EXTERNAL
        }
        for proto in graphs
    ]
    shared = places[0].keys() & places[1].keys()
    assert {"block.conv1.weight", "block.conv2.weight"} <= shared
    assert all(places[0][name] == places[1][name] for name in shared)


@pytest.mark.parametrize(
    ("optimize", "epsilons"),
    [
        (0, {"block.conv1/share0": 1e-6, "block.conv1/share1": 1e-6, "block.conv2/share0": 1e-6}),
        (1, {"block.conv1": 1e-6, "block.conv2": 1e-6 / 1.125}),  # gamma's two shares in one, divided by 1 + gamma / 2
    ],
)
def test_epsilon_and_gamma_are_named_initializers(optimize, epsilons, tmp_path):
    proto = onnx.load(lrpc.compile(small_resnet(), optimize=optimize).save(tmp_path / "b.lrp") / "relevance.onnx")
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for place, epsilon in epsilons.items():
        assert values[f"{place}/stabilize/epsilon"] == np.float32(epsilon)
    assert any(name.endswith("/gamma") and value == np.float32(0.25) for name, value in values.items())


def test_nodes_tell_their_layer_and_rule(bundle):
    proto = onnx.load(bundle / "relevance.onnx")
    notes = [{entry.key: entry.value for entry in node.metadata_props} for node in proto.graph.node]
    rules = {note["lrpc.layer"]: note["lrpc.rule"] for note in notes if "lrpc.rule" in note}
    assert rules["fc"] == "epsilon(1e-06)"
    assert rules["block.conv2"] == "gamma(0.25)"


def test_an_existing_bundle_is_replaced_only_with_force(compiled, bundle):
    before = (bundle / "manifest.json").read_text()
    with pytest.raises(lrpc.LrpcError, match="exists already"):
        compiled.save(bundle)
    assert (bundle / "manifest.json").read_text() == before
    compiled.save(bundle, force=True)
    assert {file.name for file in bundle.iterdir()} == FILES


def test_a_folder_that_is_no_bundle_is_left_alone(compiled, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(lrpc.LrpcError, match="is no bundle"):
        compiled.save(tmp_path, force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_failed_save_leaves_nothing_behind(compiled, tmp_path, monkeypatch):
    monkeypatch.setattr("lrpc.bundle.store._fingerprint", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compiled.save(tmp_path / "model.lrp")
    assert list(tmp_path.iterdir()) == []


def _truncate(bundle):
    with (bundle / "weights.bin").open("r+b") as file:
        file.truncate(10)


def _newer(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))


DAMAGE = {
    "no manifest": (lambda b: (b / "manifest.json").unlink(), "is not a bundle"),
    "bad manifest": (lambda b: (b / "manifest.json").write_text("{"), "is no JSON that lrpc wrote"),
    "graph missing": (lambda b: (b / "relevance.onnx").unlink(), "relevance.onnx is missing"),
    "weights cut": (_truncate, "weights.bin is missing or has the wrong size"),
    "newer format": (_newer, "bundle format 99"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_bundle_is_refused(bundle, damage, message):
    damage(bundle)
    with pytest.raises(lrpc.LrpcError, match=message):
        lrpc.Explainer(bundle)


def test_a_single_file_explains_as_the_bundle_does(compiled, bundle, tmp_path):
    single = compiled.save(tmp_path / "explain.onnx", single_file=True)
    x = picture()
    expected, actual = lrpc.Explainer(bundle)(x), lrpc.Explainer(single)(x)
    np.testing.assert_array_equal(actual.relevance, expected.relevance)
    np.testing.assert_array_equal(actual.health.abs_sum, expected.health.abs_sum)
    with pytest.raises(lrpc.LrpcError, match="is a single file"):
        lrpc.Explainer(single)(x, target=np.ones((2, 5), np.float32))


def test_a_model_is_no_single_file_bundle(tmp_path):
    onnx.save(small_resnet(), tmp_path / "model.onnx")
    with pytest.raises(lrpc.LrpcError, match="not an explanation graph"):
        lrpc.Explainer(tmp_path / "model.onnx")


def test_compile_leaves_the_callers_model_as_it_was():
    proto = small_resnet()
    before = proto.SerializeToString(deterministic=True)
    lrpc.compile(proto)
    assert proto.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("opset", [9, 13, 18, 20, 21, 22])
def test_models_of_any_opset_are_explained_alike(tmp_path, compiled, opset):
    path = lrpc.compile(small_resnet(opset=opset)).save(tmp_path / "model.lrp")
    for name, expected in (("relevance", 18), ("explain", max(opset, 18))):
        proto = onnx.load(path / f"{name}.onnx")
        assert [entry.version for entry in proto.opset_import] == [expected]
        onnx.checker.check_model(path / f"{name}.onnx", full_check=True)
    for fused in (True, False):
        actual = lrpc.Explainer(path, fused=fused)(picture()).relevance
        np.testing.assert_allclose(actual, lrpc.Explainer(compiled)(picture()).relevance, rtol=1e-4, atol=1e-6)
