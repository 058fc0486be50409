"""What a bundle says of itself is read in one place: every edit of it ends in a sentence, or changes nothing that matters."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest

import lrpc
from lrpc.bundle.manifest import read_manifest
from lrpc.bundle.store import load_manifest
from lrpc.inspect.diagnose.trace import Tracer
from lrpc.package.triton import package_triton
from tests.edits import file_edits, manifest_edits
from tests.graphs import picture, small_resnet


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return lrpc.compile(small_resnet()).save(tmp_path_factory.mktemp("bundle") / "model.lrp")


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model.lrp")


def test_a_manifest_is_read_as_it_was_written(original):
    text = (original / "manifest.json").read_text()
    assert json.loads(read_manifest(text, "m", "").to_json()) == json.loads(text)


def _told(**changes):
    return lambda manifest: manifest | changes


def _within(key, **changes):
    return lambda manifest: manifest | {key: manifest[key] | changes}


COMPLAINTS = {
    "a field is missing": (lambda m: {k: v for k, v in m.items() if k != "output"}, "object missing required field `output`"),
    "of another type": (_told(composite=7), "composite: expected `str`, got `int`"),
    "within": (_within("input", mean="abc"), r"input.mean: expected `array \| null`, got `str`"),
    "within a list": (_within("input", shape=[3, -8, 8]), r"input.shape\[1\]: expected `int` >= 0"),
    "a wrong number of values": (_within("input", mean=[0.5]), "`mean` has 1 values, and the input 3 channels"),
    "a division by 0": (_within("input", std=[1, 0, 1]), "`std` must not be 0"),
    "a box of another width": (_told(box={"low": [0, 1], "high": 1}), "`box.low` has 2 values, and the input 3 channels"),
    "a target that there is not": (_told(seed="logit"), "seed: invalid enum value 'logit'"),
    "a target of many letters": (_told(seed="x" * 5000), "seed: invalid enum value 'x{100,150}\\.\\.\\."),
    "a trace of an unknown layer": (_told(trace=[{"layer": "x", "arriving": ["y"]}]), "`trace` tells of 'x', which `plan` does not"),
    "a trace of nothing": (_told(trace=[{"layer": "fc", "arriving": []}]), r"trace\[0\].arriving: expected `array` of length >= 1"),
    "another input": (_told(others=[{"name": "z", "type": "float31", "shape": []}]), "`type` must be a numpy type of numbers"),
    "pictures without normalisation": (lambda m: _told(picture={"name": "image", "shape": [8, 8, 3]})(_within("input", mean=None)(m)),
                                       "a file that takes pictures must have `input.mean` and `input.std`"),
    "a list instead of it": (lambda m: [m], "expected `object`, got `array`"),
    "a newer format": (_told(format=2), "has bundle format 2; this lrpc reads format 1"),
    "a file that is not told": (_told(files={}), "it tells nothing of forward.onnx"),
    "a file elsewhere": (lambda m: m | {"files": m["files"] | {"../x": {"bytes": 1, "sha256": ""}}}, "../x is missing or has the wrong size"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "complaint"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_what_is_wrong_is_told_by_field(bundle, change, complaint):
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(change(manifest)))
    with pytest.raises(lrpc.LrpcError, match=complaint) as error:
        load_manifest(bundle)
    assert "manifest.json" in str(error.value) or "is damaged" in str(error.value)
    assert "lrpc compile" in str(error.value)


BYTES = {
    "no JSON": (b"{", "is no JSON that lrpc wrote"),
    "empty": (b"", "is no JSON that lrpc wrote"),
    "other characters": (b'{"format": "\xff"}', "is no JSON that lrpc wrote"),
    "no number": (b'{"format": NaN}', "is no JSON that lrpc wrote"),
    "beyond float": (b'{"format": 1e999}', "number out of range"),
    "nested deeply": (b'{"format": ' + b"[" * 100_000, "is nested too deeply"),
}


@pytest.mark.parametrize(("text", "complaint"), BYTES.values(), ids=BYTES)
def test_what_is_no_json_is_told(bundle, text, complaint):
    (bundle / "manifest.json").write_bytes(text)
    with pytest.raises(lrpc.LrpcError, match=complaint):
        load_manifest(bundle)


FOREIGN = {
    "an input": (_within("input", name="picture"), r"has no input 'picture', which its manifest names"),
    "an output": (_within("output", name="scores"), r"has no output 'scores', which its manifest names"),
    "classes": (_within("output", shape=[6]), r"has no output .* of shape \('n', 6\)"),
    "a size": (_within("input", shape=[3, 8, 9]), r"has no input 'x' of shape \('n', 3, 8, 9\)"),
    "what to explain": (_told(seed="seed"), "has no input 'seed'"),
    "a tunable": (_told(tunables=[{"name": "epsilon", "rule": "", "default": 1, "layers": 1}]), "has no tunable input 'epsilon'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "complaint"), FOREIGN.values(), ids=FOREIGN)
def test_what_the_graph_does_not_have_is_told(bundle, change, complaint):
    manifest = change(json.loads((bundle / "manifest.json").read_text()))
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(lrpc.LrpcError, match=complaint):
        lrpc.Explainer(bundle)(np.zeros((1, *manifest["input"]["shape"]), np.float32))


def test_a_trace_of_tensors_that_the_graph_does_not_have_is_told(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["trace"][0]["arriving"] = ["nothing"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(lrpc.LrpcError, match="has no tensor 'nothing'"):
        Tracer(bundle)(picture(1))


def used(bundle, repository) -> str:
    """Use a bundle in every way; return what lrpc complains of, "" if of nothing. Anything but LrpcError is raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lrpc.HealthWarning)
            x = picture(2)
            lrpc.Explainer(bundle)(x, target=1)
            lrpc.Explainer(bundle, fused=False)(x)
            Tracer(bundle)(x)
            package_triton(bundle, repository, force=True)
    except lrpc.LrpcError as error:
        return str(error)
    return ""


def test_every_tenth_edit_of_a_field_ends_in_a_sentence(bundle, tmp_path):
    manifest = bundle / "manifest.json"
    edits = manifest_edits(json.loads(manifest.read_text()))
    assert len(edits) > 1000
    told = 0
    for text in list(edits.values())[::10]:
        manifest.write_text(text)
        told += bool(used(bundle, tmp_path / "repository"))
    assert told > len(edits) / 20


def test_damaged_files_end_in_a_sentence(original, tmp_path):
    for name, damage in file_edits(count=10).items():
        bundle = shutil.copytree(original, tmp_path / "model.lrp")
        damage(bundle)
        assert used(bundle, tmp_path / "repository"), name
        shutil.rmtree(bundle)
