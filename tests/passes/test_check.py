"""What makes a model unusable is told layer by layer, in the words below."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from passes.graph.write import to_proto
from passes.loading.check import problems
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model, small_resnet

HEADER = '<ir_version: 8, opset_import: ["" : 18, "acme": 1]>\n'
STANDARD = "Export the model with standard operators only."
FLOAT32_MODEL = "Compile the float32 model that it was made from."
EVAL = "Call model.eval() before you export it."
FLOAT32_INPUT = "Export the model with a float32 input."

# graph, then (layer, op, reason, hint) of every problem
BAD = {
    "control flow": (
        """g (float[b,4] x) => (float[b,4] y) <bool cond = {1}> {
            h = Relu(x)
            k = Identity(h)
            y = If (cond) <
                then_branch = t () => (float[b,4] p) { p = Neg(k) },
                else_branch = e () => (float[b,4] q) { q = Identity(h) }>
        }""",
        [("y", "If", "control flow: its branches depend on the data", "Export a model without loops and conditions.")],
    ),
    "custom ops": (
        "g (float[b,4] x) => (float[b,4] y) { a = acme.Identity(x) y = acme.Conv(a) }",
        [
            ("a", "Identity", "an op of acme, not of standard ONNX", STANDARD),
            ("y", "Conv", "an op of acme, not of standard ONNX", STANDARD),
        ],
    ),
    "quantised": (
        """g (float[b,4] x) => (float[b,4] y) <float s = {0.1}, uint8 z = {3}> {
            q = QuantizeLinear(x, s, z)
            y = DequantizeLinear(q, s, z)
        }""",
        [
            ("q", "QuantizeLinear", "quantised arithmetic", FLOAT32_MODEL),
            ("y", "DequantizeLinear", "quantised arithmetic", FLOAT32_MODEL),
        ],
    ),
    "int8 weights": (
        """g (float[b,2] x) => (float[b,2] y) <int8[2,2] w = {1,2,3,4}> {
            f = Cast<to = 1>(w)
            y = MatMul(x, f)
        }""",
        [("f", "Cast", "its weight w is quantised to int8", FLOAT32_MODEL)],
    ),
    "BatchNormalization that trains": (
        """g (float[b,2,3] x) => (float[b,2,3] y) <float[2] w = {1,2}> {
            y, m, v = BatchNormalization<training_mode = 1>(x, w, w, w, w)
        }""",
        [("y", "BatchNormalization", "in training mode: it normalises by the batch", EVAL)],
    ),
    "Dropout that trains": (
        """g (float[b,4] x) => (float[b,4] y) <float r = {0.5}> {
            t = Constant<value = bool {1}>()
            y = Dropout(x, r, t)
        }""",
        [("y", "Dropout", "in training mode: it drops values at random", EVAL)],
    ),
    "float64": (
        "g (double[b,2] x) => (double[b,2] y) <double[2,2] w = {1,2,3,4}> { y = MatMul(x, w) }",
        [
            ("y", "MatMul", "its weight w is float64, lrpc compiles float32", "Export the model in float32."),
            ("x", "input", "the input is float64, relevance needs a float32 input", FLOAT32_INPUT),
        ],
    ),
    "bfloat16": (
        "g (bfloat16[b,2] x) => (bfloat16[b,2] y) { y = Relu(x) }",
        [("x", "input", "the input is bfloat16, relevance needs a float32 input", FLOAT32_INPUT)],
    ),
    "an output that nothing explains": (
        "g (float[b,4] x) => (float[4] y) <float[4] w = {1,2,3,4}> { y = Relu(w) }",
        [
            (
                "y", "output", "it does not depend on the input, so nothing explains it",
                "Choose an output that is computed from the input.",
            )
        ],
    ),
}  # fmt: skip


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEADER + text)


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_every_problem_is_told_and_canonization_survives_it(text, expected):
    graph = load(parsed(text))
    assert [(p.layer, p.op, p.reason, p.hint) for p in problems(graph)] == expected
    canonical = canonize(graph)
    assert canonize(canonical) is canonical
    to_proto(canonical)


def test_custom_ops_are_not_mistaken_for_standard_ones():
    text = "g (float[b,4] x) => (float[b,4] y) { a = Relu(x) b = acme.Identity(a) y = Neg(b) }"
    assert [node.op for node in canonize(load(parsed(text))).nodes] == ["Relu", "Identity", "Neg"]


def test_what_only_a_branch_reads_is_kept():
    graph = canonize(load(parsed(BAD["control flow"][0])))
    assert [node.op for node in graph.nodes] == ["Relu", "If"]
    onnx.checker.check_model(to_proto(graph))


@pytest.mark.parametrize("name", ["conv1.weight", "bn1.var", "fc.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_names_its_layer(name, value):
    proto = small_resnet()
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor).copy()
            array.flat[1] = value
            tensor.CopyFrom(numpy_helper.from_array(array, name))
    (problem,) = problems(load(proto))
    assert problem.layer == name.partition(".")[0]
    assert problem.reason.startswith("1 of ")
    assert problem.reason.endswith(f" values of its weight {name} are NaN or infinite")


def test_an_infinite_bound_or_mask_is_no_problem_and_a_nan_is():
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["a"], name="clip"),
        helper.make_node("Add", ["a", "mask"], ["y"], name="add"),
    ]
    weights = {"low": np.float32(0), "high": np.float32(np.inf), "mask": np.float32([0, -np.inf])}
    for nan in (False, True):
        weights["mask"] = np.float32([0, np.nan]) if nan else weights["mask"]
        found = problems(load(model(nodes, weights, {"x": ["b", 2]}, {"y": ["b", 2]})))
        assert [(p.layer, p.reason) for p in found] == nan * [("add", "1 of 2 values of its weight mask are NaN")]


def test_a_good_model_has_no_problem():
    assert problems(load(small_resnet())) == []
