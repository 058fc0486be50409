"""A bundle in memory is the bundle on disk: what it explains, what it traces, and what it writes."""

from __future__ import annotations

import tempfile

import numpy as np
import onnx
import pytest

import lrpc
from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import EXPLAIN, FORWARD, OWN, SEPARATE
from lrpc.bundle.store import METADATA_KEY
from lrpc.inspect.diagnose.trace import Tracer
from tests.graphs import picture, small_resnet

SETTINGS = {"fused": {}, "apart": {"fused": False}, "in parts": {"max_batch": 1}}
VARIANTS = {
    "plain": {},
    "a seed": {"seed_input": True},
    "tunable": {"tunable": True},
    "half": {"half_forward": True},
}


@pytest.fixture
def no_files(monkeypatch):
    """Let whoever makes a temporary file or folder fail."""

    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("a temporary file was made")

    for name in ("mkdtemp", "mkstemp", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refused)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_it_explains_as_the_one_on_disk_does(tmp_path, options, settings):
    compiled = lrpc.compile(small_resnet(), **options)
    stored = lrpc.Explainer(compiled.save(tmp_path / "b.lrp"), **settings)(picture(), [1, 3])
    for source in (compiled, compiled.bundle):
        ours = lrpc.Explainer(source, **settings)(picture(), [1, 3])
        np.testing.assert_array_equal(ours.relevance, stored.relevance)
        np.testing.assert_array_equal(ours.output, stored.output)


def test_it_needs_no_file(no_files):
    compiled = lrpc.compile(small_resnet())
    lrpc.Explainer(compiled)(picture(), 1)
    lrpc.Explainer(compiled, fused=False)(picture(), 1)
    Tracer(compiled)(picture(), 1)


def test_its_weights_are_there_once():
    bundle = lrpc.compile(small_resnet()).bundle
    assert set(bundle.graphs) == {EXPLAIN, FORWARD, SEPARATE}
    for name, proto in bundle.graphs.items():
        held = {t.name for t in proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
        assert held <= set(bundle.weights)
        assert all(len(t.raw_data) < 1024 for t in proto.graph.initializer), name
    assert "block.conv1.weight" in bundle.weights


def test_a_copy_of_a_graph_is_the_callers_own():
    bundle = lrpc.compile(small_resnet()).bundle
    before = bundle.source(EXPLAIN)
    bundle.model(EXPLAIN).graph.node.pop()
    assert bundle.source(EXPLAIN) == before


def test_it_is_written_twice_the_same(tmp_path):
    bundle = lrpc.compile(small_resnet()).bundle
    first, again = bundle.save(tmp_path / "a.lrp"), bundle.save(tmp_path / "b.lrp")
    single = bundle.save(tmp_path / "c.onnx", single_file=True)
    third = bundle.save(tmp_path / "d.lrp")
    files = sorted(file.name for file in first.iterdir())
    assert files == ["explain.onnx", "forward.onnx", "manifest.json", "relevance.onnx", "weights.bin"]
    for other in (again, third):
        assert [(other / name).read_bytes() for name in files] == [(first / name).read_bytes() for name in files]
    onnx.checker.check_model(onnx.load(single), full_check=True)


def test_the_names_of_the_contract():
    assert (EXPLAIN, FORWARD, SEPARATE, METADATA_KEY) == ("explain", "forward", "relevance", "lrpc.manifest")
    assert frozenset({"seed", "target", "relevance", "health"}) == OWN


CANNOT = {
    "the output is no (n, classes)": ({"output": "a"}, "Compile it with --seed-input"),
    "there is no such picture": ({"preprocess": "crop"}, "There are: size, any"),
    "no picture at all": ({"preprocess": ""}, "There are: size, any"),
}


@pytest.mark.parametrize(("options", "message"), CANNOT.values(), ids=CANNOT)
def test_what_cannot_be_lowered_fails_when_it_is_compiled(options, message):
    with pytest.raises(lrpc.LrpcError, match=message):
        lrpc.compile(small_resnet(), **options)


def test_pictures_have_no_folder(tmp_path):
    compiled = lrpc.compile(small_resnet(), heatmap=True)
    assert isinstance(compiled.bundle, Bundle)
    assert set(compiled.bundle.graphs) == {EXPLAIN}
    with pytest.raises(lrpc.LrpcError, match="add --single-file"):
        compiled.save(tmp_path / "b.lrp")
    assert list(tmp_path.iterdir()) == []


def test_stages_are_timed():
    timings = lrpc.compile(small_resnet()).timings
    assert list(timings) == ["load", "canonize", "plan", "simplify", "lower"]
    assert all(seconds >= 0 for seconds in timings.values())
