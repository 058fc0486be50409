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
from tests.passes.bad_models import BAD, parsed


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


def test_a_convolution_s_window_may_be_as_large_as_its_weights():
    """A pool's window is a few numbers in a file, and takes a pass over the input for each of its places."""
    size = (1 << 22) + 1
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    weights = {"w": np.zeros((1, 1, size), np.float32)}
    assert problems(load(model(nodes, weights, {"x": ["n", 1, size]}, {"y": ["n", 1, 1]}))) == []
    pool = [helper.make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[size])]
    (problem,) = problems(load(model(pool, {}, {"x": ["n", 1, size]}, {"y": ["n", 1, 1]})))
    assert "has more than 4194304 positions" in problem.reason


def test_a_dropout_by_a_ratio_is_no_problem():
    nodes = [helper.make_node("Dropout", ["x", "r"], ["y"], name="dropout")]
    graph = load(model(nodes, {"r": np.float32(0.5)}, {"x": ["n", 4]}, {"y": ["n", 4]}))
    assert len(graph.nodes[0].inputs) == 2
    assert problems(graph) == []


CHANNELS = {
    # op, channels of the input, shape of the weight, attributes, the complaint
    "as many": ("Conv", 4, (6, 4, 1), {}, ""),
    "more": ("Conv", 5, (6, 4, 1), {}, "its weight takes 4 channels, its input has 5"),
    "in groups": ("Conv", 4, (6, 2, 1), {"group": 2}, ""),
    "fewer than the groups take": ("Conv", 2, (6, 2, 1), {"group": 2}, "its weight takes 4 channels, its input has 2"),
    "transposed": ("ConvTranspose", 4, (4, 6, 1), {}, ""),
    "transposed, in groups": ("ConvTranspose", 4, (4, 3, 1), {"group": 2}, ""),
    "transposed, more": ("ConvTranspose", 6, (4, 6, 1), {}, "its weight takes 4 channels, its input has 6"),
}


@pytest.mark.parametrize(("op", "channels", "shape", "attributes", "complaint"), CHANNELS.values(), ids=CHANNELS)
def test_a_convolution_takes_the_channels_of_its_weight(op, channels, shape, attributes, complaint):
    nodes = [helper.make_node(op, ["x", "w"], ["y"], name="conv", **attributes)]
    weights = {"w": np.zeros(shape, np.float32)}
    graph = load(model(nodes, weights, {"x": ["n", channels, 4]}, {"y": ["n", 6, 4]}))
    assert [problem.reason for problem in problems(graph)] == ([complaint] if complaint else [])
