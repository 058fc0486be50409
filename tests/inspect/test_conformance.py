"""Runtimes side by side: who disagrees, dies, or says nothing is a row of the table, not the end of it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lrpc
from lrpc.cli import main
from lrpc.inspect.conformance import conformance as module
from lrpc.inspect.conformance.conformance import Row, conformance, distance, example_feeds
from lrpc.inspect.conformance.runtimes import REFERENCE, RUNTIMES, Runtime
from passes.errors import LrpcError
from tests.graphs import METADATA, small_resnet

CPU = RUNTIMES[0]
DISTORTS = """
import numpy as np, sys
from pathlib import Path
from lrpc.inspect.conformance.runtimes import worker
from lrpc.inspect.conformance.runtimes.job import Answer, write_answer
for job in map(Path, sys.argv[1:]):
    answer = worker._answer("onnxruntime", job)
    outputs = {name: value * CHANGE if name == "NAME" else value for name, value in answer.outputs.items()}
    write_answer(job, Answer(outputs, answer.seconds))
"""


def python(name, code):
    """A runtime that is a piece of Python."""
    return Runtime(name, name, f"install {name}", lambda folder: "1", lambda folder: [sys.executable, "-c", code])


def distorting(output, change):
    return python("other", DISTORTS.replace("NAME", output).replace("CHANGE", change))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return lrpc.compile(small_resnet(metadata=METADATA)).save(tmp_path_factory.mktemp("bundle") / "small.lrp")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "small.onnx"
    compiled = lrpc.compile(small_resnet(metadata=METADATA))
    return compiled.variant(preprocess="any", heatmap=True).save(path, single_file=True)


@pytest.fixture
def beside(monkeypatch):
    def put(*others):
        monkeypatch.setattr(module, "RUNTIMES", (CPU, *others))

    return put


def row(result):
    return result.rows[-1]


@pytest.mark.parametrize("source", ["bundle", "pictures"])
def test_the_reference_agrees_with_itself(source, beside, request, tmp_path):
    beside(python("again", DISTORTS.replace("NAME", "").replace("CHANGE", "1")))
    result = conformance(request.getfixturevalue(source), tmp_path)
    assert result.passed
    assert [entry.runtime for entry in result.rows] == [REFERENCE, "again"]
    assert all(error == 0 for entry in result.rows for error in entry.errors.values())
    assert {entry.heatmap for entry in result.rows} == ({1.0} if source == "pictures" else {None})
    assert all(entry.seconds > 0 for entry in result.rows)


@pytest.mark.parametrize(
    ("output", "change", "passes"),
    [
        ("relevance", "np.float32(1.001)", False),
        ("relevance", "np.float32(1.00001)", True),
        ("health", "np.float32(1.001)", False),
        ("y", "np.float32(1.001)", False),
        ("relevance", "np.float32('nan')", False),
        ("heatmap", "np.uint8(0)", False),
    ],
)
def test_who_disagrees_is_told(output, change, passes, pictures, beside, tmp_path):
    beside(distorting(output, change))
    result = conformance(pictures, tmp_path)
    assert result.passed is passes
    assert row(result).agrees(1e-4) is passes
    assert row(result).error == ""


@pytest.mark.parametrize(("alike", "agrees"), [(1.0, True), (0.9995, True), (0.998, False), (None, True)])
def test_a_heatmap_may_differ_at_the_bounds_of_its_colours(alike, agrees):
    assert Row("r", "r", "1", {"relevance": 1e-5}, alike, 1.0, "", "").agrees(1e-4) is agrees


def test_the_error_is_the_relative_distance(bundle, beside, tmp_path):
    beside(distorting("relevance", "np.float32(1.5)"))
    assert row(conformance(bundle, tmp_path)).errors["relevance"] == pytest.approx(0.5)
    assert conformance(bundle, tmp_path, tolerance=0.6).passed


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "code -6"),
        ("raise SystemExit('out of luck')", "out of luck"),
        ("import time; time.sleep(60)", "no answer within 5 s"),
    ],
    ids=["dies", "fails", "hangs"],
)
def test_a_runtime_that_gives_nothing_is_a_row(code, said, bundle, beside, tmp_path):
    beside(python("bad", code))
    result = conformance(bundle, tmp_path, timeout=5)
    assert not result.passed
    assert said in row(result).error


def test_a_missing_runtime_is_named_with_its_command_and_fails_nothing(bundle, beside, tmp_path):
    beside(Runtime("absent", "Absent", "pip install absent", lambda folder: None, lambda folder: []))
    result = conformance(bundle, tmp_path)
    assert (row(result).install, result.passed) == ("pip install absent", True)


def test_every_runtime_is_looked_for_where_the_user_says(tmp_path):
    absent = [runtime.name for runtime in RUNTIMES if runtime.version(tmp_path) is None]
    assert {"onnxruntime-node", "onnxruntime-web"} <= set(absent)
    assert REFERENCE not in absent


def test_the_command_prints_a_table_writes_json_and_exits_1(bundle, beside, tmp_path):
    beside(
        distorting("relevance", "2"), Runtime("absent", "Absent", "pip install absent", lambda f: None, lambda f: [])
    )
    file = tmp_path / "table.json"
    result = CliRunner().invoke(main, ["conformance", str(bundle), "--json", str(file)])
    assert result.exit_code == 1
    assert "DISAGREES" in result.output
    assert "not installed: pip install absent" in result.output
    written = json.loads(file.read_text())
    assert (written["passed"], written["target"]) == (False, "cpu")
    assert [entry["runtime"] for entry in written["rows"]] == [REFERENCE, "other", "absent"]


@pytest.mark.parametrize("what", ["model", "nothing", "text"])
def test_what_is_no_explanation_graph_is_refused(what, tmp_path):
    path = tmp_path / "file.onnx"
    if what == "model":
        path.write_bytes(small_resnet().SerializeToString())
    elif what == "text":
        path.write_text("no model")
    with pytest.raises(LrpcError):
        conformance(path, tmp_path)
    result = CliRunner().invoke(main, ["conformance", str(path)])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_inputs_are_drawn_for_what_the_graph_takes(bundle, pictures):
    from lrpc.bundle.store import load_manifest

    feeds = example_feeds(bundle / "explain.onnx", load_manifest(bundle), samples=7)
    assert feeds["x"].shape == (7, 3, 8, 8)
    assert np.abs(feeds["x"]).max() <= 2
    assert feeds["target"].tolist() == [-1, 1, 2, 3, 4, 4, 4]
    image = example_feeds(pictures, load_manifest(pictures))["image"]
    assert (image.shape, image.dtype) == ((2, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([0.0, 0.0], [3.0, 4.0], 1.0),
        ([1.0], [0.0], 1.0),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([np.nan, 1.0], [1.0, 1.0], np.inf),
        ([1.0, 1.0], [1.0], np.inf),
    ],
)
def test_distance(ours, theirs, expected):
    assert distance(np.array(ours), np.array(theirs)) == pytest.approx(expected)


def test_tunables_and_seeds_are_fed_or_left_at_their_defaults(tmp_path, beside):
    beside()
    path = tmp_path / "seed.onnx"
    lrpc.compile(small_resnet(), seed_input=True, tunable=True).save(path, single_file=True)
    assert conformance(path, Path()).passed
