"""Which products are dense layers, what becomes of their scales and biases, and why others are none."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from passes.errors import Problem
from passes.loading.load import load
from passes.recognise_dense import recognise_dense
from tests.graphs import model
from tests.passes.cases import node, normal

W, B = normal(4, 3), normal(3)


def graph_of(nodes, weights, shape=("n", 4), result=("n", 3)):
    return load(model(nodes, weights, {"x": list(shape)}, {"y": list(result)}))


# node, constants, input, output, why it is none
LEFT = {
    "a dense layer": (node("MatMul", "x w", "y"), {"w": W}, ("n", 4), ("n", 3), None),
    "rows of a fixed number": (node("MatMul", "x w", "y"), {"w": W}, ("n", 5, 4), ("n", 5, 3), None),
    "the constant on the left": (node("MatMul", "w x", "y"), {"w": W}, (3, 5), (4, 5), "the constant is on the left"),
    "two computed operands": (node("MatMul", "x x", "y"), {}, (4, 4), (4, 4), "both operands depend on the input"),
    "a stack of matrices": (node("MatMul", "x w", "y"), {"w": normal(2, 4, 3)}, (2, 5, 4), (2, 5, 3), "its weight is no matrix"),
    "a vector": (node("MatMul", "x w", "y"), {"w": W[:, 0]}, ("n", 4), ("n",), "its weight is no matrix"),
    "two dynamic axes": (node("MatMul", "x w", "y"), {"w": W}, ("n", "m", 4), ("n", "m", 3), "more than one dynamic axis"),
    "a Gemm": (node("Gemm", "x w b", "y"), {"w": W, "b": B}, ("n", 4), ("n", 3), None),
    "a Gemm without bias": (node("Gemm", "x w", "y"), {"w": W}, ("n", 4), ("n", 3), None),
    "a Gemm with one bias": (node("Gemm", "x w b", "y"), {"w": W, "b": np.float32([2])}, ("n", 4), ("n", 3), None),
    "a Gemm with a row for all": (node("Gemm", "x w b", "y"), {"w": W, "b": B[None]}, ("n", 4), ("n", 3), None),
    "a bias per row": (node("Gemm", "x w b", "y"), {"w": W, "b": normal(5, 1)}, (5, 4), (5, 3), "not one constant per output"),
    "a bias per row and output": (node("Gemm", "x w b", "y"), {"w": W, "b": normal(5, 3)}, (5, 4), (5, 3), "not one constant per output"),
    "a computed bias": (node("Gemm", "x w x", "y"), {"w": normal(4, 4)}, ("n", 4), ("n", 4), "not one constant per output"),
    "a computed weight": (node("Gemm", "x x", "y"), {}, (4, 4), (4, 4), "both operands depend on the input"),
    "a turned input": (node("Gemm", "x w", "y", transA=1), {"w": W}, (4, 5), (5, 3), "its input is transposed"),
    "a turned weight": (node("Gemm", "x w", "y", transB=1), {"w": W.T.copy()}, ("n", 4), ("n", 3), None),
}  # fmt: skip


@pytest.mark.parametrize(("product", "weights", "shape", "result", "reason"), LEFT.values(), ids=LEFT)
def test_a_product_that_is_no_dense_layer_says_why(product, weights, shape, result, reason):
    problems: list[Problem] = []
    recognise_dense(recognise_dense(graph_of([product], weights, shape, result)), problems)
    assert [reason in p.reason for p in problems] == ([True] if reason else [])


# attributes and bias of a Gemm; its attributes, bias and factor of the weight afterwards
SCALED = {
    "alpha": ({"alpha": 0.5}, B, B, 0.5),
    "beta": ({"beta": 2.0}, B, 2 * B, 1.0),
    "both": ({"alpha": 0.5, "beta": -1.0}, B, -B, 0.5),
    "beta without a bias": ({"beta": 2.0}, None, None, 1.0),
    "one bias for all": ({"beta": 2.0}, np.float32([3]), np.float32([6, 6, 6]), 1.0),
    "a single number": ({}, np.float32(3), np.float32([3, 3, 3]), 1.0),
    "a row": ({}, B[None], B, 1.0),
}


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize(("attributes", "bias", "expected", "factor"), SCALED.values(), ids=SCALED)
def test_scales_and_biases_are_spelled_out(attributes, bias, expected, factor, turned):
    weight = W.T.copy() if turned else W
    names, weights = ("x w", {"w": weight}) if bias is None else ("x w b", {"w": weight, "b": bias})
    (gemm,) = recognise_dense(graph_of([node("Gemm", names, "y", transB=turned, **attributes)], weights)).nodes
    assert gemm.attrs.get("alpha", 1.0) == gemm.attrs.get("beta", 1.0) == 1.0
    np.testing.assert_array_equal(gemm.inputs[1].values, np.float32(factor) * weight)
    if expected is not None:
        np.testing.assert_array_equal(gemm.inputs[2].values, expected)


def test_what_nothing_scales_stays_as_it_is():
    graph = graph_of([node("Gemm", "x w b", "y")], {"w": W, "b": B})
    assert recognise_dense(graph) is graph


def test_a_scaled_weight_keeps_its_name_where_nothing_else_reads_it():
    """Another layer must not find a scaled weight under the name of its own."""
    shared = [node("Gemm", "x w", "a", alpha=2.0), node("Gemm", "x w", "b"), node("Add", "a b", "y")]
    first, second, _ = recognise_dense(graph_of(shared, {"w": W})).nodes
    assert (first.inputs[1].name, second.inputs[1].name) == ("w.scaled", "w")
    np.testing.assert_array_equal(first.inputs[1].values, 2 * W)
    np.testing.assert_array_equal(second.inputs[1].values, W)
    (alone,) = recognise_dense(graph_of([node("Gemm", "x w", "y", alpha=2.0)], {"w": W})).nodes
    assert alone.inputs[1].name == "w"


def test_rows_are_laid_out_and_back():
    nodes = recognise_dense(graph_of([node("MatMul", "x w", "y")], {"w": W}, ("n", 5, 4), ("n", 5, 3))).nodes
    assert [n.op for n in nodes] == ["Reshape", "Gemm", "Reshape"]
    flat, gemm, back = nodes
    assert [n.name for n in nodes] == [f"{gemm.name}.flatten", gemm.name, f"{gemm.name}.unflatten"]
    assert flat.inputs[1].values.tolist() == [-1, 4]
    assert back.inputs[1].values.tolist() == [-1, 5, 3]
    assert list(flat.outputs[0].shape) == ["n*5", 4]
    assert list(gemm.outputs[0].shape) == ["n*5", 3]
    assert isinstance(gemm.inputs[1], gs.Constant)


def test_a_product_of_whole_numbers_is_no_dense_layer():
    nodes = [node("Cast", "x", "i", to=7), node("MatMul", "i w", "j"), node("Cast", "j", "y", to=1)]
    problems: list[Problem] = []
    recognise_dense(graph_of(nodes, {"w": np.ones((4, 3), np.int64)}), problems)
    assert ["it multiplies whole numbers" in p.reason for p in problems] == [True]
