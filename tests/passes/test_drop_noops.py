"""What changes nothing goes, and what only looks so stays: a table by op, with sizes that are fixed, dynamic or unknown."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from passes.drop_noops import drop_noops
from passes.loading.load import load
from tests.graphs import model
from tests.passes.cases import node

ONE, ZERO, TWO = np.float32(1), np.float32(0), np.float32(2)
PICTURE, ANY_SIZE, FIXED = ("n", 2, 4, 6), ("n", 2, "h", "w"), (3, 2, 4, 6)
NONE = np.zeros(0, np.float32)

# nodes between Relu and Relu, constants, the shape before and behind, the ops that are left of the nodes
CASES = {
    "an Identity": ([node("Identity", "a", "b")], {}, PICTURE, PICTURE, []),
    "Dropout": ([node("Dropout", "a", "b")], {}, PICTURE, PICTURE, []),
    "Dropout by a ratio": ([node("Dropout", "a r", "b")], {"r": np.float32(0.5)}, PICTURE, PICTURE, []),
    "Dropout outside training": ([helper.make_node("Dropout", ["a", "", "t"], ["b"], name="d")], {"t": np.array(False)}, PICTURE, PICTURE, []),
    "Dropout in training": ([helper.make_node("Dropout", ["a", "", "t"], ["b"], name="d")], {"t": np.array(True)}, PICTURE, PICTURE, ["Dropout"]),
    "a Cast to its own type": ([node("Cast", "a", "b", to=1)], {}, PICTURE, PICTURE, []),
    "a Cast there and back": (
        [node("Cast", "a", "h", to=10), node("Cast", "h", "b", to=1)], {}, PICTURE, PICTURE, ["Cast", "Cast"],
    ),
    "a Reshape to its own shape": ([node("Reshape", "a s", "b")], {"s": np.array([0, 2, 4, 6])}, PICTURE, PICTURE, []),
    "a Reshape of a fixed batch": ([node("Reshape", "a s", "b")], {"s": np.array([3, 2, 4, 6])}, FIXED, FIXED, []),
    "a Reshape whose batch is what is left": ([node("Reshape", "a s", "b")], {"s": np.array([-1, 2, 4, 6])}, PICTURE, PICTURE, []),
    "a Reshape of axes of one": ([node("Reshape", "a s", "b")], {"s": np.array([-1, 1, 6])}, ("n", 1, 6), ("n", 1, 6), []),
    "a Reshape to other sizes": ([node("Reshape", "a s", "b")], {"s": np.array([0, 2, 6, 4])}, PICTURE, ("n", 2, 6, 4), ["Reshape"]),
    "a Reshape to fewer axes": ([node("Reshape", "a s", "b")], {"s": np.array([0, 8, 6])}, PICTURE, ("n", 8, 6), ["Reshape"]),
    "a Reshape into the batch": ([node("Reshape", "a s", "b")], {"s": np.array([-1, 1, 4, 6])}, PICTURE, ("m", 1, 4, 6), ["Reshape"]),
    "a Reshape of a fixed batch into another": ([node("Reshape", "a s", "b")], {"s": np.array([6, 1, 4, 6])}, FIXED, (6, 1, 4, 6), ["Reshape"]),
    "a Flatten of what is flat": ([node("Flatten", "a", "b")], {}, ("n", 6), ("n", 6), []),
    "a Flatten": ([node("Flatten", "a", "b")], {}, ("n", 6, 2), ("n", 12), ["Flatten"]),
    "an Expand to its own shape": ([node("Expand", "a s", "b")], {"s": np.array([1, 2, 1, 6])}, PICTURE, PICTURE, []),
    "an Expand": ([node("Expand", "a s", "b")], {"s": np.array([1, 2, 3])}, ("n", 2, 1), ("n", 2, 3), ["Expand"]),
    "a Transpose that moves nothing": ([node("Transpose", "a", "b", perm=[0, 1, 2, 3])], {}, PICTURE, PICTURE, []),
    "a Transpose": ([node("Transpose", "a", "b", perm=[0, 1, 3, 2])], {}, ("n", 2, 4, 4), ("n", 2, 4, 4), ["Transpose"]),
    "a Transpose by default": ([node("Transpose", "a", "b")], {}, ("n", "n"), ("n", "n"), ["Transpose"]),
    "a Pad by nothing": ([node("Pad", "a p", "b")], {"p": np.zeros(8, np.int64)}, PICTURE, PICTURE, []),
    "a Pad": ([node("Pad", "a p", "b")], {"p": np.array([0, 0, 1, 0, 0, 0, 0, 0])}, PICTURE, ("n", 2, 5, 6), ["Pad"]),
    "a Pad that moves": ([node("Pad", "a p", "b")], {"p": np.array([0, 0, 1, 0, 0, 0, -1, 0])}, PICTURE, PICTURE, ["Pad"]),
    "a Slice of everything": ([node("Slice", "a s e k", "b")], {"s": np.array([0]), "e": np.array([99]), "k": np.array([2])}, PICTURE, PICTURE, []),
    "a Slice in steps of one": (
        [node("Slice", "a s e k t", "b")], {"s": np.array([0]), "e": np.array([99]), "k": np.array([2]), "t": np.array([1])}, PICTURE, PICTURE, [],
    ),
    "a Slice backwards": (
        [node("Slice", "a s e k t", "b")], {"s": np.array([-1]), "e": np.array([-99]), "k": np.array([2]), "t": np.array([-1])},
        PICTURE, PICTURE, ["Slice"],
    ),
    "a Slice": ([node("Slice", "a s e k", "b")], {"s": np.array([1]), "e": np.array([99]), "k": np.array([2])}, PICTURE, ("n", 2, 3, 6), ["Slice"]),
    "a Slice backwards along one axis of two": (
        [node("Slice", "a s e k t", "b")],
        {"s": np.array([0, -1]), "e": np.array([99, -99]), "k": np.array([1, 2]), "t": np.array([1, -1])}, PICTURE, PICTURE, ["Slice"],
    ),
    "a Resize by one": ([helper.make_node("Resize", ["a", "", "s"], ["b"], name="r")], {"s": np.ones(4, np.float32)}, PICTURE, PICTURE, []),
    "a Resize by one of any size": ([helper.make_node("Resize", ["a", "", "s"], ["b"], name="r")], {"s": np.ones(4, np.float32)}, ANY_SIZE, ANY_SIZE, []),
    "a Resize by a little that keeps the size": (
        [helper.make_node("Resize", ["a", "", "s"], ["b"], name="r")], {"s": np.float32([1, 1, 1.1, 1])}, PICTURE, PICTURE, ["Resize"],
    ),
    "a Resize to its own size": ([helper.make_node("Resize", ["a", "", "", "n"], ["b"], name="r")], {"n": np.array([3, 2, 4, 6])}, FIXED, FIXED, []),
    "a Resize": (
        [helper.make_node("Resize", ["a", "", "s"], ["b"], name="r")], {"s": np.float32([1, 1, 1, 2])}, PICTURE, ("n", 2, 4, 12), ["Resize"],
    ),
    "a Resize of a part": (
        [helper.make_node("Resize", ["a", "p", "s"], ["b"], name="r", coordinate_transformation_mode="tf_crop_and_resize")],
        {"p": np.float32([0, 0, 0, 0, 1, 1, 0.5, 0.5]), "s": np.ones(4, np.float32)}, PICTURE, PICTURE, ["Resize"],
    ),
    "a max pool of one": ([node("MaxPool", "a", "b", kernel_shape=[1, 1])], {}, PICTURE, PICTURE, []),
    "a max pool of one, spelled out": ([node("MaxPool", "a", "b", kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4)], {}, PICTURE, PICTURE, []),
    "a max pool of one that leaves out": ([node("MaxPool", "a", "b", kernel_shape=[1, 1], strides=[2, 2])], {}, PICTURE, ("n", 2, 2, 3), ["MaxPool"]),
    "a max pool of two": ([node("MaxPool", "a", "b", kernel_shape=[2, 1])], {}, PICTURE, ("n", 2, 3, 6), ["MaxPool"]),
    "an average pool of one": ([node("AveragePool", "a", "b", kernel_shape=[1, 1])], {}, PICTURE, PICTURE, ["AveragePool"]),
    "a Concat of one": ([node("Concat", "a", "b", axis=1)], {}, PICTURE, PICTURE, []),
    "a Concat of two": ([node("Concat", "a a", "b", axis=1)], {}, PICTURE, ("n", 4, 4, 6), ["Concat"]),
    "a Sum of one": ([node("Sum", "a", "b")], {}, PICTURE, PICTURE, []),
    "a Sum of two": ([node("Sum", "a a", "b")], {}, PICTURE, PICTURE, ["Sum"]),
    "times 1": ([node("Mul", "a c", "b")], {"c": ONE}, PICTURE, PICTURE, []),
    "1 times": ([node("Mul", "c a", "b")], {"c": ONE}, PICTURE, PICTURE, []),
    "times 0": ([node("Mul", "a c", "b")], {"c": ZERO}, PICTURE, PICTURE, ["Mul"]),
    "times 1 and 2": ([node("Mul", "a c", "b")], {"c": np.float32([[[1]], [[2]]])}, PICTURE, PICTURE, ["Mul"]),
    "over 1": ([node("Div", "a c", "b")], {"c": ONE}, PICTURE, PICTURE, []),
    "1 over": ([node("Div", "c a", "b")], {"c": ONE}, PICTURE, PICTURE, ["Div"]),
    "plus 0": ([node("Add", "a c", "b")], {"c": ZERO}, PICTURE, PICTURE, []),
    "0 plus": ([node("Add", "c a", "b")], {"c": ZERO}, PICTURE, PICTURE, []),
    "plus 1": ([node("Add", "a c", "b")], {"c": ONE}, PICTURE, PICTURE, ["Add"]),
    "less 0": ([node("Sub", "a c", "b")], {"c": ZERO}, PICTURE, PICTURE, []),
    "0 less": ([node("Sub", "c a", "b")], {"c": ZERO}, PICTURE, PICTURE, ["Sub"]),
    "plus zeros that make it larger": ([node("Add", "a c", "b")], {"c": np.zeros((1, 2, 4, 6), np.float32)}, ("n", 1, 4, 6), PICTURE, ["Add"]),
    "one branch of a fan-out into an Add": (
        [node("Identity", "a", "i"), node("Tanh", "a", "t"), node("Add", "i t", "b")], {}, PICTURE, PICTURE, ["Identity", "Tanh", "Add"],
    ),
    "one branch of a fan-out into a Sum": (
        [node("Identity", "a", "i"), node("Tanh", "a", "t"), node("Sum", "t i", "b")], {}, PICTURE, PICTURE, ["Identity", "Tanh", "Sum"],
    ),
    "one branch of a fan-out into a product": (
        [node("Identity", "a", "i"), node("Tanh", "a", "t"), node("Mul", "i t", "b")], {}, PICTURE, PICTURE, ["Tanh", "Mul"],
    ),
    "one branch of a fan-out into an Add of a constant": (
        [node("Identity", "a", "i"), node("Tanh", "a", "t"), node("Add", "i c", "j"), node("Mul", "j t", "b")], {"c": TWO},
        PICTURE, PICTURE, ["Tanh", "Add", "Mul"],
    ),
    "an Identity without a fan-out into a Sum": (
        [node("Tanh", "a", "t"), node("Identity", "t", "i"), node("Sum", "a i", "b")], {}, PICTURE, PICTURE, ["Tanh", "Sum"],
    ),
    "an Identity that two read": (
        [node("Identity", "a", "i"), node("Tanh", "i", "t"), node("Add", "i t", "b")], {}, PICTURE, PICTURE, ["Tanh", "Add"],
    ),
}  # fmt: skip


def ops_left(nodes, weights, shape, result) -> list[str]:
    whole = [node("Relu", "x", "a"), *nodes, node("Relu", "b", "y")]
    graph = load(model(whole, weights, {"x": list(shape)}, {"y": list(result)}))
    return [n.op for n in drop_noops(graph).nodes]


@pytest.mark.parametrize(("nodes", "weights", "shape", "result", "left"), CASES.values(), ids=CASES)
def test_only_what_changes_nothing_goes(nodes, weights, shape, result, left):
    assert ops_left(nodes, weights, shape, result) == ["Relu", *left, "Relu"]


def test_a_node_between_the_input_and_an_output_stays():
    graph = load(model([node("Identity", "x", "y")], {}, {"x": ["n", 2]}, {"y": ["n", 2]}))
    assert drop_noops(graph) is graph


def test_a_name_of_an_output_stays():
    nodes = [node("Relu", "x", "a"), node("Identity", "a", "y"), node("Identity", "a", "z"), node("Identity", "z", "v")]
    graph = load(model(nodes, {}, {"x": ["n", 2]}, {name: ["n", 2] for name in "yzv"}))
    left = drop_noops(graph)
    assert [tensor.name for tensor in left.outputs] == ["y", "z", "v"]
    assert [n.op for n in left.nodes] == ["Relu", "Identity", "Identity"]


def test_what_has_a_second_output_that_is_read_stays():
    nodes = [
        helper.make_node("Dropout", ["x"], ["a", "mask"], name="d"), node("Cast", "mask", "m", to=1), node("Mul", "a m", "y"),
    ]  # fmt: skip
    graph = load(model(nodes, {}, {"x": ["n", 2]}, {"y": ["n", 2]}))
    assert [n.op for n in drop_noops(graph).nodes] == ["Dropout", "Cast", "Mul"]


@pytest.mark.parametrize("unknown", [("a",), ("b",), ("a", "b")], ids=" and ".join)
def test_a_reshape_of_unknown_rank_stays(unknown):
    nodes = [node("Relu", "x", "a"), node("Reshape", "a s", "b"), node("Relu", "b", "y")]
    graph = load(model(nodes, {"s": np.array([0, 2, 4, 6])}, {"x": PICTURE}, {"y": PICTURE}))
    for name in unknown:
        graph.body.tensors()[name].shape = None
    assert drop_noops(graph) is graph
