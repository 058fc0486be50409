"""Models, files and options that are refused: what is told, exit codes, and that nothing is written."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import lrpc
from lrpc.cli import main
from tests.graphs import model, small_resnet


def changed(edit) -> onnx.ModelProto:
    proto = small_resnet()
    edit(proto)
    return proto


def poison(proto):
    for tensor in proto.graph.initializer:
        if tensor.name in ("fc.weight", "block.conv2.weight"):
            values = numpy_helper.to_array(tensor).copy()
            values.flat[0] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def softmax_and_neg() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"], name="flip"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Softmax", ["b"], ["y"], name="head"),
    ]
    return model(nodes, {}, {"x": ["batch", 4]}, {"y": ["batch", 4]})


def control_flow() -> onnx.ModelProto:
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "branch", [], [value])
    nodes = [helper.make_node("If", ["yes"], ["y"], name="choice", then_branch=branch, else_branch=branch)]
    return model(nodes, {"yes": np.array(True)}, {"x": ["batch", 4]}, {"y": ["batch", 4]})


def quantised() -> onnx.ModelProto:
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale"], ["w"], name="dequantize"),
        helper.make_node("Gemm", ["x", "w"], ["y"], name="dense"),
    ]
    weights = {"w8": np.arange(12, dtype=np.int8).reshape(4, 3), "scale": np.float32(0.1)}
    return model(nodes, weights, {"x": ["batch", 4]}, {"y": ["batch", 3]})


def training_mode(proto):
    for node in proto.graph.node:
        if node.op_type == "BatchNormalization" and node.output[0] == "bn1.out":
            node.attribute.append(helper.make_attribute("training_mode", 1))
            node.output.extend(["running_mean", "running_var"])


BAD_MODELS = {
    "nan weights": (lambda: changed(poison), ["block.conv2", "fc", "2 of", "NaN"]),
    "unsupported ops": (softmax_and_neg, ["flip", "head", "Softmax", "2 of 3 layers"]),
    "control flow": (control_flow, ["choice", "control flow"]),
    "int8 weights": (quantised, ["quantis", "float32"]),
    "training mode": (lambda: changed(training_mode), ["bn1", "training mode", "model.eval()"]),
}


@pytest.mark.parametrize(("build", "words"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_model_that_cannot_be_explained_is_refused_with_every_problem(run, tmp_path, build, words):
    onnx.save(build(), "bad.onnx")
    before = sorted(tmp_path.iterdir())
    output = run("compile", "bad.onnx", code=2).output
    for word in words:
        assert word in output
    assert sorted(tmp_path.iterdir()) == before


def truncated(path):
    data = (path / "model.onnx").read_bytes()
    (path / "bad.onnx").write_bytes(data[: len(data) // 2])


BAD_FILES = {
    "missing": (lambda path: None, "does not exist"),
    "truncated": (truncated, "truncated"),
    "text": (lambda path: (path / "bad.onnx").write_text("I am no model.\n" * 30), "not an ONNX"),
    "empty": (lambda path: (path / "bad.onnx").write_bytes(b""), "not an ONNX"),
    "folder": (lambda path: (path / "bad.onnx").mkdir(), "is a folder"),
}


@pytest.mark.parametrize("command", ["compile", "plan", "validate"])
@pytest.mark.parametrize(("build", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_model_is_one_clear_sentence(run, tmp_path, command, build, message):
    build(tmp_path)
    options = ("--reference", "oracle") if command == "validate" else ()
    output = run(command, "bad.onnx", *options, code=2).output
    assert message in output
    assert "bad.onnx" in output
    assert not (tmp_path / "bad.lrp").exists()


USAGE = {
    "pattern matches nothing": (("plan", "model.onnx", "--rule", "blocc.*=gamma"), ["'blocc.*' matches no layer", "lrpc plan"]),
    "rule fits none": (("plan", "model.onnx", "--rule", "*relu*=gamma"), ["3 layers", "fits none"]),
    "unknown rule": (("plan", "model.onnx", "--rule", "fc=gama"), ["did you mean 'gamma'"]),
    "not PATTERN=RULE": (("plan", "model.onnx", "--rule", "fc"), ["PATTERN=RULE"]),
    "rule does not fit": (("plan", "model.onnx", "--rule", "maxpool=gamma"), ["maxpool", "not a linear layer"]),
    "unknown composite": (("plan", "model.onnx", "--composite", "epsilon-minus"), ["no composite", "epsilon-plus"]),
    "composite takes no gamma": (("plan", "model.onnx", "--composite", "epsilon-plus", "--gamma", "1"), ["takes no --gamma"]),
    "low above 0": (("plan", "model.onnx", "--low", "0.5", "--high", "1"), ["low <= 0 <= high"]),
    "bounds for 2 of 3 channels": (("plan", "model.onnx", "--low", "-1,-1", "--high", "1,1"), ["2 channels", "has 3"]),
    "bounds that are no numbers": (("plan", "model.onnx", "--low", "dark", "--high", "1"), ["--low", "'dark'"]),
    "pictures in a folder": (("compile", "model.onnx", "--heatmap"), ["--heatmap makes one file of all: add --single-file"]),
    "pictures both ways in a folder": (
        ("compile", "model.onnx", "--preprocess", "--heatmap"), ["--preprocess and --heatmap make one file of all"],
    ),
    "bad stabilizer": (("plan", "model.onnx", "--stabilizer", "eps=1,colour=red"), ["colour"]),
    "missing toml": (("plan", "model.onnx", "--composite", "no.toml"), ["no.toml cannot be read"]),
    "zennit without torch model": (("validate", "model.onnx", "--reference", "zennit"), ["--torch"]),
    "no such bundle": (("explain", "no.lrp", "picture.png"), ["no.lrp does not exist"]),
    "model instead of bundle": (("explain", "model.onnx", "picture.png"), ["lrpc compile"]),
    "unknown torchvision model": (("export", "torchvision:resnet51"), ["no model 'resnet51'"]),
    "not a model spec": (("export", "resnet50", "-o", "new.onnx"), ["torchvision:resnet50"]),
    "module that does not exist": (("export", "no.such:net"), ["cannot be imported"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE)
def test_wrong_usage_is_exit_code_2_and_names_the_way_out(run, arguments, words):
    output = run(*arguments, code=2).output
    for word in words:
        assert word in output


EXPLAIN = {
    "class out of range": (("picture.png", "--class", "5"), "classes 0 to 4"),
    "unknown class name": (("picture.png", "--class", "fox"), "no 'fox'"),
    "wrong size": (("picture.png", "--fit", "exact"), "14 x 10 pixels; the model takes 8 x 8"),
    "missing picture": (("no.png",), "no.png does not exist"),
    "not a picture": (("model.onnx",), "not a picture"),
    "wrong array": (("wrong.npy",), "the model takes ('n', 3, 8, 8)"),
    "no part": (("picture.png", "--max-batch", "0"), "not in the range x>=1"),
    "tf32 on the CPU": (("picture.png", "--tf32"), "tf32 needs CUDAExecutionProvider; this runs on CPUExecutionProvider"),
    "no cuda": (("picture.png", "--provider", "cuda"), "CUDAExecutionProvider is not available"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), EXPLAIN.values(), ids=EXPLAIN)
def test_explain_refuses_bad_input(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr("lrpc.runtime.session._started", lambda wanted: [])
    run("compile", "model.onnx")
    np.save(tmp_path / "wrong.npy", np.zeros((3, 9, 9), np.float32))
    assert message in run("explain", "model.lrp", *arguments, code=2).output
    assert not list(tmp_path.glob("*.heatmap.png"))


def test_all_problems_of_a_model_are_listed_in_a_table(run):
    onnx.save(softmax_and_neg(), "bad.onnx")
    assert run("compile", "bad.onnx", code=2).output == (
        "Error: 2 of 3 layers of bad cannot be explained.\n"
        "\n"
        "  layer  op       why\n"
        "  flip   Neg      there is no rule for this op\n"
        "  head   Softmax  not piecewise linear; explain the scores before it\n"
        "\n"
        "`lrpc plan --help` lists the rules; the ops that have one are in docs/ops.md.\n"
        "Explain the scores: --output b.\n"
    )


def test_a_last_softmax_is_left_out_as_its_error_says(run):
    nodes = "scores = Gemm(x, w, v) y = Softmax(scores)"
    weights = "<float[2,3] w = {1,2,3,4,5,6}, float[3] v = {0,1,2}>"
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[b,2] x) => (float[b,3] y) {weights} {{ {nodes} }}'
    onnx.save(onnx.parser.parse_model(text), "ended.onnx")
    told = run("compile", "ended.onnx", code=2).output.splitlines()[-1]
    assert told == "Explain the scores: --output scores."
    run("compile", "ended.onnx", *told.rstrip(".").split(" ")[-2:])
    assert lrpc.Explainer("ended.lrp")(np.ones((1, 2), np.float32)).output.tolist() == [[5, 8, 11]]


def test_an_internal_error_is_one_line_and_debug_shows_the_traceback(run, monkeypatch):
    monkeypatch.setattr("lrpc.plan.plan.assign", lambda *a, **k: 1 / 0)
    monkeypatch.setattr("lrpc.compiler.assign", lambda *a, **k: 1 / 0)
    assert "--debug" in run("plan", "model.onnx", code=2).output
    result = CliRunner().invoke(main, ["--debug", "plan", "model.onnx"])
    assert isinstance(result.exception, ZeroDivisionError)
