"""A graph that is not well formed is told by what is wrong with it."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from passes.errors import LrpcError
from passes.graph import Graph
from passes.graph.verify import verify
from passes.loading.load import load
from passes.pipeline import PIPELINE, Pass, canonize
from tests.graphs import model, small_resnet
from tests.passes.cases import node, normal


def fresh() -> Graph:
    """A dense layer, an activation, and a sum of both."""
    nodes = [node("Gemm", "x w", "a"), node("Relu", "a", "b"), node("Add", "a b", "c"), node("Reshape", "c s", "y")]
    weights = {"w": normal(4, 4), "s": np.array([-1, 2, 2])}
    return load(model(nodes, weights, {"x": ["n", 4]}, {"y": ["n", 2, 2]}))


def backwards(graph):
    graph.body.nodes = graph.nodes[::-1]


def without_producer(graph):
    graph.nodes[1].inputs[0] = gs.Variable("nowhere")


def from_a_dropped_node(graph):
    del graph.body.nodes[1]


def nameless(graph):
    graph.nodes[1].name = ""


def namesakes(graph):
    graph.nodes[1].name = graph.nodes[0].name


def tensor_namesakes(graph):
    graph.nodes[1].outputs[0].name = "a"


def standing_twice(graph):
    graph.body.nodes = [*graph.nodes, graph.nodes[0]]


def computed_twice(graph):
    gs.Node("Relu", "relu_again", {}, [graph.inputs[0]], [graph.nodes[1].outputs[0]])


def computing_nothing(graph):
    graph.body.nodes = [*graph.nodes, gs.Node("Relu", "relu_again", {}, [graph.inputs[0]], [])]


def computed_constant(graph):
    graph.nodes[0].inputs[1].inputs.append(graph.nodes[0])


def dead_reader(graph):
    gs.Node("Relu", "relu_again", {}, [graph.nodes[1].outputs[0]], [gs.Variable("d")])


def without_output(graph):
    graph.body.outputs = []


def output_of_nothing(graph):
    graph.body.outputs = [gs.Variable("y2")]


def open_weight(graph):
    graph.nodes[0].inputs[1] = gs.Constant("w2", normal(4, 4))


def other_type(graph):
    weight = normal(4, 4).astype(np.float64)
    weight.flags.writeable = False
    graph.nodes[0].inputs[1] = gs.Constant("w2", weight)


def broken_shape(graph):
    sizes = np.float32([-1, 2, 2])
    sizes.flags.writeable = False
    graph.nodes[3].inputs[1] = gs.Constant("s2", sizes)


# how it is broken, what is told
BROKEN = {
    "nodes backwards": (backwards, "relu_b Relu it reads a, which nothing before it computes"),
    "a tensor from nowhere": (without_producer, "relu_b Relu it reads nowhere, which nothing before it computes"),
    "a tensor of a dropped node": (from_a_dropped_node, "b  relu_b, which computes it, is not in the graph"),
    "a node without a name": (nameless, " Relu a node without a name"),
    "two nodes of one name": (namesakes, "gemm_a Relu 2 nodes have its name"),
    "two tensors of one name": (tensor_namesakes, "a  two tensors have this name"),
    "a node that stands twice": (standing_twice, "gemm_a Gemm it computes a, which is there before it"),
    "a tensor that is computed twice": (computed_twice, "b  2 nodes compute it"),
    "a node that computes nothing": (computing_nothing, "relu_again Relu it computes nothing"),
    "a constant that is computed": (computed_constant, "w constant a node computes it"),
    "a reader that is not there": (dead_reader, "b  relu_again, which reads it, is not in the graph"),
    "no output": (without_output, "  the graph has no output"),
    "an output of nothing": (output_of_nothing, "y2 output nothing computes it"),
    "a weight that can be written to": (open_weight, "w2 constant its values can be written to"),
    "operands of two types": (
        other_type, "gemm_a Gemm its operands and its result are not of one type: a is float32 and w2 is float64",
    ),
    "a shape that is no whole numbers": (broken_shape, "reshape_y Reshape s2 is float32, and is to hold whole numbers"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_graph_is_told_by_what_is_wrong(damage, expected):
    graph = fresh()
    damage(graph)
    assert expected in [f"{problem.layer} {problem.op} {problem.reason}" for problem in verify(graph)]


def test_a_loaded_graph_is_well_formed():
    assert verify(fresh()) == []
    assert verify(load(small_resnet())) == []


def test_a_loop_may_read_what_is_computed_before_it():
    from tests.passes.bad_models import BAD, parsed

    assert verify(load(parsed(BAD["control flow"][0]))) == []


def test_a_pass_that_breaks_the_graph_is_named(monkeypatch):
    def break_names(graph, declined=None):
        copy = graph.copy()
        copy.nodes[0].name = copy.nodes[1].name
        return copy

    monkeypatch.setattr("passes.pipeline.PIPELINE", (*PIPELINE[:2], Pass(break_names)))
    with pytest.raises(LrpcError, match="break_names"):
        canonize(fresh(), check=True)


POSITIONS = {
    # an op, its operands behind x, the one that is to hold whole numbers
    "the end of a Slice": ("Slice", "s e a k", "e"),
    "the axes of a Slice": ("Slice", "s e a k", "a"),
    "the steps of a Slice": ("Slice", "s e a k", "k"),
    "the axes of a ReduceSum": ("ReduceSum", "a", "a"),
}


@pytest.mark.parametrize(("op", "operands", "wrong"), POSITIONS.values(), ids=POSITIONS)
def test_every_operand_that_counts_holds_whole_numbers(op, operands, wrong):
    weights = {name: np.array([value]) for name, value in zip("seak", (0, 2, 1, 1), strict=True)}
    used = {name: weights[name] for name in operands.split()}
    graph = load(
        model([node(op, f"x {operands}", "y")], used, {"x": ["n", 4]}, {"y": ["n", 2 if op == "Slice" else 1]})
    )
    assert verify(graph) == []
    index = 1 + operands.split().index(wrong)
    graph.nodes[0].inputs[index] = gs.Constant("f", np.ones(1, np.float32))
    assert "f is float32, and is to hold whole numbers" in [problem.reason for problem in verify(graph)]
