"""Models of several inputs at the command line: a picture, and a file of numbers for what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

import lrpc
from lrpc.bundle.manifest import Input
from lrpc.cli import main
from lrpc.inspect.conformance import conformance as conformance_module
from lrpc.inspect.conformance.conformance import example_feeds
from lrpc.inspect.conformance.runtimes import RUNTIMES
from lrpc.package.triton_config import signature
from tests.files import read_arrays, read_image
from tests.two_inputs import NETS, normal

METADATA = {"lrpc.input": '{"shape": [3, 6, 6], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}',
            "lrpc.classes": '["ant", "bee", "cat"]'}  # fmt: skip
Z = normal(3, 2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run lrpc in a folder with a model of a picture x and two numbers z, pictures, and files of numbers."""
    monkeypatch.chdir(tmp_path)
    onnx.save(NETS["a picture and a table"].proto(METADATA), "model.onnx")
    onnx.save(NETS["two pictures"].proto(METADATA), "pictures.onnx")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8)).save(f"{name}.png")
    for name, array in {"z": Z, "one": Z[0], "wide": normal(3, 3), "words": np.array(["a", "b"])}.items():
        np.save(name, array)
    np.save("pickled", np.array([{}], dtype=object), allow_pickle=True)
    np.savez("several.npz", a=Z)
    Path("broken.npy").write_bytes(b"\x93NUMPY")

    def run(*arguments: object, code: int = 0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def bundle(run):
    run("compile", "model.onnx", "--input", "x")
    return "model.lrp"


def test_compile_and_plan_say_where_relevance_goes(run):
    said = "relevance goes to the input x; what flows to z is left out of `relevance` and `health`"
    assert said in run("compile", "model.onnx", "--input", "x").stderr
    assert said in run("plan", "model.onnx", "--input", "x").stdout
    refused = run("compile", "pictures.onnx", code=2)
    assert "depends on 2 inputs (x, z)" in refused.output
    assert "Choose it: --input NAME" in refused.output
    table = run("plan", "pictures.onnx", "--input", "z").stdout
    assert next(line for line in table.splitlines() if " left " in line).count("no relevance") == 1
    assert "z_box" in next(line for line in table.splitlines() if " right " in line)


def test_explain_gives_each_picture_its_row(run, bundle):
    run("explain", bundle, "a.png", "b.png", "c.png", "--feed", "z=z.npy", "--npz", "out.npz", "--class", "bee")
    explainer = lrpc.Explainer(bundle)
    for name, row in zip("abc", Z, strict=True):
        stored = read_arrays(f"out-{name}.npz")
        result = explainer(stored["input"], 1, others={"z": row[None]})
        np.testing.assert_array_equal(stored["relevance"], result.relevance)
        np.testing.assert_array_equal(stored["output"], result.output)


def test_one_sample_without_a_batch_axis_is_for_all_pictures(run, bundle):
    run("explain", bundle, "a.png", "b.png", "--feed", "z=one.npy", "--npz", "out.npz")
    explainer = lrpc.Explainer(bundle)
    for name in "ab":
        stored = read_arrays(f"out-{name}.npz")
        expected = explainer(stored["input"], others={"z": Z[:1]}).relevance
        np.testing.assert_array_equal(stored["relevance"], expected)


def test_trace_takes_it_too(run, bundle):
    found = json.loads(
        run("trace", bundle, "a.png", "--feed", "z=one.npy", "--json", "--graph", f"{bundle}/t.onnx").stdout
    )
    assert [row["layer"] for row in found["layers"]][:2] == ["head", "join"]
    inputs = [value.name for value in onnx.load(f"{bundle}/t.onnx", load_external_data=False).graph.input]
    assert inputs == ["x", "z", "target"]


# What is given, and what is said
REFUSED = {
    "nothing": ([], "takes z float32 (n, 2) too"),
    "no equals sign": (["z.npy"], "is not NAME=FILE.npy"),
    "no file": (["z="], "is not NAME=FILE.npy"),
    "twice": (["z=z.npy", "z=z.npy"], "given twice"),
    "another name": (["y=z.npy"], "no other input y"),
    "a file that is not there": (["z=nowhere.npy"], "nowhere.npy does not exist"),
    "a folder": (["z=model.lrp"], "model.lrp is no file"),
    "too many rows": (["z=z.npy"], "has shape (3, 2); the model takes z float32 (n, 2), with n = 1"),
    "another size": (["z=wide.npy"], "has shape (3, 3)"),
    "words": (["z=words.npy"], "z is <U1"),
    "a damaged file": (["z=broken.npy"], "is not an .npy array of numbers"),
    "pickled objects": (["z=pickled.npy"], "is not an .npy array of numbers"),
    "several arrays": (["z=several.npz"], "holds several arrays"),
    "a picture": (["z=a.png"], "is not an .npy array of numbers"),
}


@pytest.mark.parametrize(("feeds", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("command", ["explain", "trace"])
def test_what_cannot_be_fed_is_told(run, bundle, command, feeds, message):
    result = run(command, bundle, "a.png", *(part for feed in feeds for part in ("--feed", feed)), code=2)
    assert message in result.output
    assert not list(Path().glob("*.heatmap.png"))


def test_validate_draws_values_and_zennit_is_refused(run):
    arguments = ("validate", "model.onnx", "--input", "x", "--composite", "epsilon-plus")
    result = run(*arguments, "--reference", "oracle")
    assert "z float32 (n, 2): random values (seed 0)" in result.stderr
    given = run(*arguments, "--reference", "oracle", "--feed", "z=one.npy", "--image", "a.png")
    assert "random" not in given.stderr
    assert given.stdout != result.stdout
    refused = run(*arguments, "--reference", "zennit", "--torch", "torchvision:resnet18", code=2)
    assert "zennit reference explains models of one input" in refused.output


def test_the_doctor_says_how_to_compile_what_it_cured(run):
    rule = ("--class", "bee", "--rule", "left=gamma-plain(0.25)", "--rule", "head=epsilon(1e-6)")
    result = run("doctor", "model.onnx", "a.png", "b.png", "c.png", "--input", "x", "--feed", "z=z.npy", *rule)
    assert "lrpc compile model.onnx --input x --composite model.cured.toml" in result.stdout
    run("compile", "model.onnx", "--input", "x", "--composite", "model.cured.toml")


def test_the_doctor_draws_values_or_takes_them(run):
    arguments = ("doctor", "model.onnx", "a.png", "b.png", "--input", "x", "--json")
    run(*arguments, "--feed", "z=one.npy")
    assert "random values" in run(*arguments, "--force").stderr
    run("doctor", "model.onnx", "a.png", "--input", "x", "--grid", "epsilon=1e-6,1e-3", "--feed", "z=one.npy")
    run(
        "doctor", "model.onnx", "a.png", "--input", "x", "--grid", "epsilon=1e-6,1e-3", code=2
    )  # another sweep is there


@pytest.mark.parametrize("extra", [(), ("--output", "f")])
def test_bench_gives_each_contestant_all_inputs(run, extra):
    which = ("--input", "x", *extra)
    result = run("bench", "model.onnx", *which, "--batch", "2", "--rounds", "1", "--threads", "1", "--json")
    timing = json.loads(result.stdout)["results"][0]["timings"][0]
    assert set(timing["seconds"]) == {"forward", "lrpc -O0", "lrpc -O1"}
    if not extra:
        refused = run("bench", "model.onnx", *which, "--torch", "torchvision:alexnet", code=2)
        assert "take models of one input" in refused.output


def test_conformance_draws_every_input(run, bundle, monkeypatch):
    monkeypatch.setattr(conformance_module, "RUNTIMES", RUNTIMES[:1])
    feeds = example_feeds(Path(bundle) / "explain.onnx", lrpc.Explainer(bundle).manifest)
    assert {name: value.shape for name, value in feeds.items()} == {"x": (2, 3, 6, 6), "z": (2, 2), "target": (2,)}
    assert "ok" in run("conformance", bundle).output


def test_a_single_file_normalises_the_chosen_picture(run):
    for entry, other in (("x", "z"), ("z", "x")):
        file = f"{entry}.explain.onnx"
        options = ("--input", entry, "--single-file", "--preprocess", "--heatmap", "--target", "portable")
        run("compile", "pictures.onnx", *options, "-o", file)
        run("compile", "pictures.onnx", "--input", entry, "-o", f"{entry}.lrp")
        assert [value.name for value in onnx.load(file).graph.input] == ["image", other, "target"]
        beside = normal(1, 3, 6, 6)
        np.save("beside", beside)
        run("explain", f"{entry}.lrp", "a.png", "--feed", f"{other}=beside.npy", "--npz", "plain.npz")
        picture = np.asarray(read_image("a.png"))[None]
        explainer = lrpc.Explainer(file)
        found = explainer(picture, others={other: beside})
        np.testing.assert_allclose(found.relevance, read_arrays("plain.npz")["relevance"], rtol=1e-4, atol=1e-5)
        refused = run("package", file, "--web", "page", code=2)
        assert f"takes the inputs {other} too; a page has a picture only" in refused.output


def test_a_triton_model_has_every_input(run, bundle):
    run("package", bundle, "--triton", "repository")
    inputs, _ = signature(onnx.load(f"{bundle}/explain.onnx", load_external_data=False))
    assert [tensor.name for tensor in inputs] == ["x", "z", "target"]
    text = Path("repository/model/config.pbtxt").read_text()
    assert '  name: "z"\n  data_type: TYPE_FP32\n  dims: [2]' in text


def test_metadata_of_another_shape_are_not_those_of_the_chosen_input(run):
    run("compile", "model.onnx", "--input", "z", "-o", "z.lrp", "--composite", "epsilon-plus")
    manifest = lrpc.Explainer("z.lrp").manifest
    assert manifest.input == Input("z", (2,))
    assert manifest.classes == ("ant", "bee", "cat")
    assert "epsilon-plus-flat" in run("plan", "model.onnx", "--input", "z").stdout
    assert "epsilon-gamma-box" in run("plan", "model.onnx", "--input", "x").stdout
