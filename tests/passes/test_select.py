"""One input and one output of several: chosen by name, and what does not lead there is dropped."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import helper

import lrpc
from lrpc.cli import main
from passes.errors import LrpcError
from passes.loading.load import load
from passes.loading.select import select
from tests.graphs import model, small_resnet


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def two_heads() -> onnx.ModelProto:
    """One head reads x, the other x and z; a softmax follows the first."""
    nodes = [
        helper.make_node("Gemm", ["x", "body.weight"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "first.weight"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["first"], name="softmax"),
        helper.make_node("Add", ["r", "z"], ["both"], name="add"),
        helper.make_node("Gemm", ["both", "second.weight"], ["second"], transB=1),
    ]
    weights = {"body.weight": normal(6, 4), "first.weight": normal(3, 6), "second.weight": normal(2, 6)}
    return model(nodes, weights, {"x": ["n", 4], "z": ["n", 6]}, {"first": ["n", 3], "second": ["n", 2]})


def test_an_inner_tensor_is_explained_and_the_rest_is_dropped(tmp_path):
    compiled = lrpc.compile(two_heads(), output="scores")
    assert [row.layer for row in compiled.plan.rows] == ["body", "relu", "first"]
    result = lrpc.Explainer(compiled.save(tmp_path / "a.lrp"))(x := normal(5, 4), 1)
    proto = two_heads()
    proto.graph.output.append(helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(result.output, session.run(["scores"], {"x": x, "z": normal(5, 6)})[0], rtol=1e-5)
    assert result.relevance.shape == (5, 4)
    assert np.abs(result.relevance).sum() > 0


# input, output, what is said
REFUSED = {
    "several outputs": (
        None, None,
        "model has 2 outputs (first, second); lrpc explains one.\nChoose it: --output NAME, or output= in Python.",
    ),
    "a typing error": (
        None, "secnd",
        "model has no output 'secnd'; did you mean 'second'?. It has: first, second.\n"
        "An inner tensor can be explained too, by its name in the file.",
    ),
    "a weight": (
        None, "first.weight",
        "model has no output 'first.weight'. It has: first, second.\n"
        "An inner tensor can be explained too, by its name in the file.",
    ),
    "an unknown input": ("y", "first", "model has no input 'y'. It has: x, z."),
    "an input that leads elsewhere": (
        "z", "scores", "The output scores of model does not depend on the input z; it depends on: x.",
    ),
    "an output of two inputs": (
        None, "second",
        "The output second of model depends on 2 inputs (x, z); relevance goes to one of them.\n"
        "Choose it: --input NAME, or input= in Python. The others stay inputs of the graphs; what flows to them "
        "is left out.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "output", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_chosen_is_told_with_the_names_that_can(entry, output, message):
    with pytest.raises(LrpcError) as caught:
        lrpc.plan_model(two_heads(), input=entry, output=output)
    assert str(caught.value) == message


def test_an_input_with_a_default_is_a_constant():
    proto = two_heads()
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 6), np.float32), "z"))
    assert [tensor.name for tensor in select(load(proto), "x", "second").inputs] == ["x"]


def test_a_model_of_one_input_and_output_stays_the_same_object():
    graph = load(small_resnet())
    assert select(graph) is graph


@pytest.mark.parametrize("command", ["plan", "validate", "compile"])
def test_the_commands_take_names(command, tmp_path):
    path = tmp_path / "a.onnx"
    onnx.save(two_heads(), path)
    more = ["--reference", "oracle"] if command == "validate" else []
    result = CliRunner().invoke(main, [command, str(path), *more, "--input", "x", "--output", "scores"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["--debug", command, str(path), *more])
    assert isinstance(result.exception, LrpcError | SystemExit)
    assert result.exit_code != 0
