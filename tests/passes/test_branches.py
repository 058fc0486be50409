"""Which branch of a residual sum is its body: the one with the most layers that have a weight."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from passes.graph.branches import body_branch
from passes.loading.load import load
from tests.graphs import model

SHAPE = [2, 4, 4]
WEIGHTS = {"w": np.ones((2, 2, 1, 1), np.float32)}


def layer(kind: str, source: str, result: str):
    if kind == "Conv":
        return helper.make_node("Conv", [source, "w"], [result], name=result, kernel_shape=[1, 1], pads=[0] * 4)
    if kind == "ConvTranspose":
        return helper.make_node("ConvTranspose", [source, "w"], [result], name=result, kernel_shape=[1, 1])
    return helper.make_node(kind, [source], [result], name=result)


def chain(kinds: str, source: str, name: str) -> tuple[list, str]:
    nodes = []
    for index, kind in enumerate(kinds.split()):
        nodes.append(layer(kind, source, f"{name}{index}"))
        source = f"{name}{index}"
    return nodes, source


def graph_of(nodes: list):
    proto = model(nodes, WEIGHTS, {"x": ["batch", *SHAPE]}, {"y": ["batch", *SHAPE]})
    return load(proto)


def body(*branches: str, stem: str = "Relu") -> int | None:
    """The body of a sum of chains of layers that part behind a stem."""
    nodes, start = chain(stem, "x", "stem")
    ends = []
    for number, kinds in enumerate(branches):
        found, end = chain(kinds, start, f"b{number}.")
        nodes += found
        ends.append(end)
    nodes.append(helper.make_node("Sum", ends, ["y"], name="y"))
    return body_branch(next(node for node in graph_of(nodes).nodes if node.name == "y"))


# the layers of each branch, "" for a bare shortcut; which is the body
CASES = {
    "a body and a bare shortcut": (("Conv Relu Conv", ""), 0),
    "the other way round": (("", "Conv Relu Conv"), 1),
    "a shortcut with a convolution": (("Conv", "Conv Relu Conv"), 1),
    "three branches": (("Conv", "Conv Conv", "Conv Conv Conv"), 2),
    "three branches, the deepest in the middle": (("Conv", "Conv Conv Conv", "Conv Conv"), 1),
    "weights before others": (("Relu Relu Relu Relu", "Conv"), 1),
    "others where weights are equal": (("Conv Relu", "Conv"), 0),
    "others where weights are equal, behind": (("Conv", "Relu Conv"), 1),
    "others without any weight": (("Tanh", ""), 0),
    "a transposed convolution has a weight": (("Relu Relu", "ConvTranspose"), 1),
    "an Identity is no layer": (("Identity Identity", "Relu"), 1),
    "equally many": (("Conv", "Conv"), None),
    "equally many, whatever their order": (("Conv Relu", "Relu Conv"), None),
    "equally many others": (("Tanh", "Relu"), None),
    "nothing on either side": (("", ""), None),
    "only an Identity apart": (("Identity", ""), None),
    "the two deepest of three are equal": (("Conv Conv", "Conv", "Conv Conv"), None),
    "two shallow ones are equal": (("Conv", "Conv Conv", "Conv"), 1),
}  # fmt: skip


@pytest.mark.parametrize(("branches", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("stem", ["Relu", "Conv Relu Conv Relu", "Identity"])
def test_the_body_has_the_most_layers_with_a_weight(branches, expected, stem):
    assert body(*branches, stem=stem) == expected


def test_layers_are_counted_along_the_longest_way():
    """A branch that parts and joins again counts its longer side once, not both."""
    nodes = [
        layer("Relu", "x", "s"),
        layer("Conv", "s", "a"),
        layer("Conv", "s", "b0"),
        layer("Conv", "b0", "b"),
        helper.make_node("Sum", ["a", "b"], ["joined"], name="joined"),  # 2 layers deep
        layer("Conv", "s", "c0"),
        layer("Conv", "c0", "c1"),
        layer("Conv", "c1", "c"),
        helper.make_node("Sum", ["joined", "c"], ["y"], name="y"),
    ]
    assert body_branch(next(node for node in graph_of(nodes).nodes if node.name == "y")) == 1


def test_branches_of_the_input_itself():
    nodes = [layer("Conv", "x", "a"), helper.make_node("Sum", ["x", "a"], ["y"], name="y")]
    assert body_branch(graph_of(nodes).nodes[-1]) == 1


def test_branches_from_two_inputs_count_from_each():
    nodes = [
        layer("Conv", "x", "a0"),
        layer("Conv", "a0", "a"),
        layer("Conv", "o", "b"),
        helper.make_node("Sum", ["b", "a"], ["y"], name="y"),
    ]
    ends = {"x": ["batch", *SHAPE], "o": ["batch", *SHAPE]}, {"y": ["batch", *SHAPE]}
    graph = load(model(nodes, WEIGHTS, *ends))
    assert body_branch(graph.nodes[-1]) == 1
