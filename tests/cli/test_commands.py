"""The command line as a user meets it: output, files and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.files import read_arrays, read_image
from tests.graphs import METADATA, small_resnet


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("export",),
        ("compile",),
        ("plan",),
        ("explain",),
        ("trace",),
        ("doctor",),
        ("validate",),
        ("bench",),
        ("package",),
        ("conformance",),
        ("passes",),
    ],
)
def test_help_teaches_with_an_example(run, command):
    output = run(*command, "--help").output
    assert "lrpc" in output
    assert len(output.splitlines()) > 8


def test_compile_then_explain_needs_no_options(run, tmp_path):
    assert "composite epsilon-gamma-box" in run("compile", "model.onnx").output
    output = run("explain", "model.lrp", "picture.png").output
    assert "sum of |R|" in output
    assert "score" in output
    assert any(name in output for name in ("ant", "bee", "cat", "dog", "elk"))
    picture = read_image(tmp_path / "picture.heatmap.png")
    assert picture.size[0] > 3 * 224


def test_compile_prints_a_line_for_each_pass(run):
    output = run("compile", "model.onnx", "-v").output
    assert "fold_batchnorm" in output
    assert "split_residuals" in output


def test_without_metadata_the_composite_is_epsilon_plus_flat(run):
    onnx.save(small_resnet(metadata=None), "bare.onnx")
    assert "composite epsilon-plus-flat" in run("compile", "bare.onnx").output


def test_compile_refuses_to_replace_and_replaces_with_force(run):
    run("compile", "model.onnx")
    assert "--force" in run("compile", "model.onnx", code=2).output
    run("compile", "model.onnx", "--force")


@pytest.mark.parametrize(
    ("arguments", "level", "target"),
    [((), 1, "cpu"), (("-O", "0"), 0, None), (("--target", "portable"), 1, "portable")],
    ids=str,
)
def test_the_manifest_tells_level_and_target(run, arguments, level, target):
    run("compile", "model.onnx", "-o", "level.lrp", "--force", *arguments)
    manifest = json.loads(Path("level.lrp/manifest.json").read_text())
    assert (manifest["optimize"], manifest["target"]) == (level, target)


def test_plan_tells_facts_and_what_they_leave(run):
    rows = {row["layer"]: row for row in json.loads(run("plan", "model.onnx", "--facts", "--json").stdout)}
    between = {
        "layer": "block.conv1",
        "rule": "gamma(0.25)",
        "known": "x >= 0, R only where > 0",
        "maps": 9,
        "left": 3,
        "formula": "x J_{w + 0.25 w+}[R / (f(x; w + 0.25 w+, b + 0.25 b+) + 1e-06)]",
    }
    assert rows["block.conv1"] == between
    assert (rows["block.conv2"]["known"], rows["block.conv2"]["left"]) == ("x >= 0, R only where not 0", 4)
    printed = run("plan", "model.onnx", "--facts").output
    assert between["formula"] in printed
    assert "are left" in printed


def test_a_level_that_there_is_not_is_a_usage_error(run):
    assert "0<=x<=1" in run("compile", "model.onnx", "-O", "2", code=2).output


def test_a_single_file_is_explained_too(run):
    run("compile", "model.onnx", "--single-file", "-o", "one.onnx")
    assert "sum of |R|" in run("explain", "one.onnx", "picture.png").output


def test_plan_prints_rules_and_reasons_and_json(run):
    output = run("plan", "model.onnx", "--rule", "block.*=epsilon(0.1)").output
    assert "epsilon(0.1)" in output
    assert "--rule block.*" in output
    rows = json.loads(run("plan", "model.onnx", "--json").output)["layers"]
    assert {"layer", "op", "kind", "rule", "why"} == set(rows[0])
    assert rows[0]["rule"].startswith("z_box(")


def test_plan_options_reach_the_rules(run):
    options = ("--gamma", "0.5", "--epsilon", "0.1", "--stabilizer", "eps=1e-3,clip", "--zero-bias")
    rules = {
        row["layer"]: row["rule"] for row in json.loads(run("plan", "model.onnx", "--json", *options).output)["layers"]
    }
    assert rules["fc"] == "epsilon(0.1, zero_params='bias')"
    assert rules["block.conv1"] == "gamma(0.5, stabilizer='eps=0.001,clip', zero_params='bias')"
    assert rules["block.add"] == "norm(stabilizer='eps=0.001,clip')"


def test_a_composite_comes_from_a_file(run, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'base = "epsilon-plus"\n[[rule]]\nlayer = "block.*"\nkind = "convolution"\nrule = "gamma(0.1)"\n'
    )
    output = run("plan", "model.onnx", "--composite", "mine.toml").output
    assert "gamma(0.1)" in output
    assert "composite mine" in output


def test_explain_several_pictures_as_json_and_npz(run, tmp_path):
    run("compile", "model.onnx")
    Image.new("RGB", (8, 8), "red").save("red.png")
    output = run(
        "explain", "model.lrp", "picture.png", "red.png", "-o", "map.png", "--npz", "r.npz", "--json", "--class", "cat"
    ).output
    reports = [json.loads(line) for line in output.splitlines()]
    assert [report["name"] for report in reports] == ["cat", "cat"]
    assert (tmp_path / "map-picture.png").exists()
    stored = read_arrays(tmp_path / "r-red.npz")
    assert stored["relevance"].shape == (1, 3, 8, 8)
    np.testing.assert_allclose(stored["health_sum"], stored["relevance"].sum(), rtol=1e-4)


def test_explain_in_parts_is_explain(run, tmp_path):
    run("compile", "model.onnx")
    np.save(tmp_path / "five.npy", np.random.default_rng(0).uniform(-2, 2, (5, 3, 8, 8)).astype(np.float32))
    for name, options in {"whole": (), "parts": ("--max-batch", "2")}.items():
        run("explain", "model.lrp", "five.npy", "--npz", f"{name}.npz", "--class", "1", *options)
    whole, parts = (read_arrays(tmp_path / f"{name}.npz")["relevance"] for name in ("whole", "parts"))
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)


def test_strict_exits_with_1_on_an_explanation_that_cannot_be_trusted(run, tmp_path):
    run("compile", "model.onnx")
    np.save(tmp_path / "broken.npy", np.full((3, 8, 8), np.nan, np.float32))
    assert "NaN or infinite" in run("explain", "model.lrp", "broken.npy").output
    run("explain", "model.lrp", "broken.npy", "--strict", code=1)
    run("explain", "model.lrp", "picture.png", "--strict")


def test_validate_passes_and_prints_every_layer(run):
    output = run("validate", "model.onnx", "--reference", "oracle", "--image", "picture.png").output
    assert "passed: 8 layers against oracle" in output
    result = json.loads(run("validate", "model.onnx", "--reference", "oracle", "--json").output)
    assert result["passed"]
    assert len(result["layers"]) == 8


def test_validate_exits_with_1_when_the_graph_is_wrong(run, monkeypatch):
    from lrpc.behaviours.linear import quotient

    monkeypatch.setattr(quotient, "divide", lambda emit, relevance, stabilized, can_vanish: relevance)
    run("validate", "model.onnx", "--reference", "oracle", code=1)


@pytest.mark.parametrize(
    "arguments", [("validate", "model.onnx", "--reference", "oracle"), ("export", "torchvision:resnet18")]
)
def test_without_torch_the_way_to_install_it_is_told(run, monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'lrpc[torch]'" in run(*arguments, code=2).output


def test_passes_lists_the_pipeline_in_order(run):
    names = [entry["name"] for entry in json.loads(run("passes", "--json").output)]
    assert names[0] == "fold_constants"
    assert names[-1] == "split_residuals"
    assert "Declines" in run("passes", "--details").output


def test_metadata_of_the_model_reaches_the_bundle(run, tmp_path):
    run("compile", "model.onnx")
    manifest = json.loads((tmp_path / "model.lrp" / "manifest.json").read_text())
    told = json.loads(METADATA["lrpc.input"])
    assert manifest["input"] == {"name": "x", **told, "low": [-2.0] * 3, "high": [2.0] * 3}
    assert manifest["classes"] == json.loads(METADATA["lrpc.classes"])


def test_plan_certifies(run):
    output = run("plan", "model.onnx").output
    assert "<= 9" in output
    assert "unbounded (sum |x| / 1e-06)" in output
    assert output.rstrip().splitlines()[-1] == "unbounded at 2 layers: block.add, fc"
    assert "bounded: sum |R_in| <= 1 x sum |R_out|" in run("plan", "model.onnx", "--composite", "bounded").output
    table = json.loads(run("plan", "model.onnx", "--json").output)
    assert table["bound"] is None
    assert table["bounds"]["block.conv1"]["limit"] == 9
    assert table["layers"][0]["layer"] == "conv1"


def test_stabilizers_and_biases_from_the_command_line(run):
    options = ("--stabilizer", "eps=1e-3,scale=rms,clip", "--sum-stabilizer", "0.1", "--share-bias")
    output = run("plan", "model.onnx", "--composite", "epsilon-plus", *options).output
    assert "z_plus(stabilizer='eps=0.001,scale=rms,clip', share_bias=True)" in output
    assert "norm(stabilizer=0.1)" in output
    wrong = ("--zero-bias", "--share-bias")
    assert "either zeroed" in run("plan", "model.onnx", "--composite", "epsilon-plus", *wrong, code=2).output


def test_a_tunable_bundle_is_tuned(run):
    assert "gamma.gamma=0.25" in run("compile", "model.onnx", "--tunable").output
    before = run("explain", "model.lrp", "picture.png", "--json").output
    after = run("explain", "model.lrp", "picture.png", "--json", "--tune", "gamma.gamma=4").output
    assert json.loads(before)["health"] != json.loads(after)["health"]
    assert "no tunable gama" in run("explain", "model.lrp", "picture.png", "--tune", "gama=4", code=2).output
    assert "NAME=NUMBER" in run("explain", "model.lrp", "picture.png", "--tune", "gamma.gamma", code=2).output


def test_trace_prints_draws_and_stores(run, tmp_path):
    run("compile", "model.onnx")
    stored = ("--layer", "block.add", "--npz", "hidden.npz", "--graph", "model.lrp/trace.onnx")
    output = run("trace", "model.lrp", "picture.png", "--plot", "t.png", *stored).output
    assert "amplification" in output
    assert "no layer goes wrong" in output
    assert read_image(tmp_path / "t.png").size[0] > 300
    with np.load("hidden.npz") as arrays:
        assert arrays["block.add"].shape == (1, 8, 4, 4)
        assert arrays["input"].shape == (1, 3, 8, 8)
    onnx.checker.check_model("model.lrp/trace.onnx")
    table = json.loads(run("trace", "model.lrp", "picture.png", "--json").output)
    assert table["layers"][0]["layer"] == "fc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layer", "block.add"), "--layer needs --npz"),
        (("--layer", "nothing", "--npz", "n.npz"), "no layer nothing"),
        (("--graph", "elsewhere.onnx"), "beside the weights"),
        (("--plot", "t.nonsense"), "cannot be written"),
        (("--class", "99"), "out of range"),
    ],
    ids=str,
)
def test_a_wrong_trace_is_refused(run, options, message):
    run("compile", "model.onnx")
    assert message in run("trace", "model.lrp", "picture.png", *options, code=2).output


def test_doctor_finds_nothing_in_what_is_healthy(run, tmp_path):
    output = run("doctor", "model.onnx", "picture.png", "--composite", "epsilon-plus").output
    assert "nothing to change" in output
    assert not (tmp_path / "model.cured.toml").exists()


PLAIN = ("--rule", "*.conv?=gamma-plain", "--rule", "*downsample.0=gamma-plain")


def test_doctor_cures_and_compile_takes_the_cure(run):
    """On the trained network, which explodes by itself."""
    from models.shapes.localisation import MODEL

    sample = MODEL.parent / "samples/heart.png"
    onnx.save(onnx.load(MODEL), "shapes.onnx")
    pictures = ("--picture", "before.png", "--plot", "trace.png")
    output = run("doctor", "shapes.onnx", sample, *PLAIN, *pictures).output
    assert "layers changed" in output
    assert "gamma_plain(0.25)" in output
    assert "wrote shapes.cured.toml" in output
    assert read_image("before.png").size[0] > 300
    assert read_image("trace.png").size[0] > 300
    assert "--force" in run("doctor", "shapes.onnx", sample, *PLAIN, code=2).output
    run("compile", "shapes.onnx", "--composite", "shapes.cured.toml")
    run("explain", "shapes.lrp", sample, "--strict")
    report = json.loads(run("doctor", "shapes.onnx", sample, *PLAIN, "--force", "--json").stdout)
    assert report["cured"]
    assert report["abs_sum"]["before"][0] > 10 > report["abs_sum"]["after"][0]


def test_strict_and_trace_agree_on_an_explosion(run):
    from models.shapes.localisation import MODEL

    sample = MODEL.parent / "samples/heart.png"
    run("compile", MODEL, "-o", "ill.lrp", *PLAIN)
    output = run("explain", "ill.lrp", sample, "--strict", code=1).output
    assert output.count("Warning:") == 1
    assert "explodes" in output
    assert "the first layer to go wrong is" in run("trace", "ill.lrp", sample).output


def test_a_grid_is_swept_into_a_sheet(run, tmp_path):
    arguments = ("doctor", "model.onnx", "picture.png", "--grid")
    output = run(*arguments, "gamma=0,1,epsilon=1e-6,0.1").output
    assert "gamma 1, epsilon 0.1" in output
    assert read_image(tmp_path / "model.sweep/sheet.png").size[1] > 100
    run(*arguments, "gamma=0,1,epsilon=1e-6,0.1")
    assert "another sweep" in run(*arguments, "gamma=0,2", code=2).output
    assert "No rule of the plan has alpha" in run(*arguments, "alpha=1", "-o", "s", code=2).output
    assert "does not begin with a parameter" in run(*arguments, "1,2", code=2).output
