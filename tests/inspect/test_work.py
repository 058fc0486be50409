"""Multiplications are counted as a loop over every output would count them."""

import numpy as np
import onnx
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.bench.work import convolution_work
from lrpc.lower import explain_graph
from lrpc.rules.kinds import LINEAR
from passes.errors import LrpcError
from tests.graphs import model, small_resnet


def work(proto, composite):
    return convolution_work(explain_graph(lrpc.plan_model(proto, composite=composite))[0])


def test_epsilon_costs_one_backward_pass_and_z_plus_as_defined_two_of_each():
    base = lrpc.composites.epsilon_plus()
    everywhere = Composite("epsilon", (Entry(rules.epsilon(), LINEAR), *base.entries))
    assert work(small_resnet(), everywhere) == pytest.approx(2)
    dense = 5 * 8
    forward = 8 * 27 * 64 + 2 * 8 * 8 * 9 * 16 + 8 * 8 * 16 + dense
    convolutions = forward - dense
    assert work(small_resnet(), base) == pytest.approx((forward + 4 * convolutions + dense) / forward)


def test_transposed_grouped_and_matrix_products_count_by_hand():
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], name="up", strides=[2, 2], group=2),
        helper.make_node("Flatten", ["a"], ["b"], name="flatten"),
        helper.make_node("MatMul", ["b", "v"], ["y"], name="dense"),
        helper.make_node("Conv", ["x", "u"], ["relevance"], name="more"),
    ]
    weights = {"w": np.zeros((4, 3, 2, 2), np.float32), "v": np.zeros((6 * 36, 5), np.float32),
               "u": np.zeros((4, 4, 3, 3), np.float32)}  # fmt: skip
    proto = model(nodes, weights, {"x": ["n", 4, 3, 3]}, {"y": ["n", 5], "relevance": ["n", 4, 1, 1]})
    forward = 9 * 4 * 3 * 4 + 6 * 36 * 5
    assert convolution_work(proto) == pytest.approx((forward + 4 * 4 * 9) / forward)


def test_what_reads_constants_alone_runs_at_load():
    nodes = [
        helper.make_node("MatMul", ["u", "v"], ["w"], name="weight"),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="dense"),
        helper.make_node("MatMul", ["x", "w"], ["relevance"], name="again"),
    ]
    weights = {"u": np.zeros((4, 900), np.float32), "v": np.zeros((900, 5), np.float32)}
    assert convolution_work(model(nodes, weights, {"x": ["n", 4]}, {"y": ["n", 5], "relevance": ["n", 5]})) == 2


def test_an_unknown_size_is_named_and_a_model_without_products_has_no_work():
    conv = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    proto = model(conv, {"w": np.zeros((4, 3, 1, 1), np.float32)}, {"x": ["n", 3, "h", "w"]}, {"y": ["n", 4, "h", "w"]})
    with pytest.raises(LrpcError, match="size of x is unknown"):
        convolution_work(proto)
    assert convolution_work(model([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": ["n", 3]}, {"y": ["n", 3]})) == 0


def test_a_bundle_needs_no_weights_for_it(tmp_path):
    composite = lrpc.composites.bounded()
    path = lrpc.compile(small_resnet(), composite=composite, optimize=0).save(tmp_path / "m.lrp")
    bare = onnx.load(path / "explain.onnx", load_external_data=False)
    assert convolution_work(bare) == work(small_resnet(), composite)
