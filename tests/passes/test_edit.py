"""A graph is copied at the first change, once a pass, and what changes share keeps names apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from onnx import helper

from passes.graph import Graph
from passes.graph.edit import Edit, Step, rewrite
from passes.loading.load import load
from passes.pipeline import PIPELINE, canonize
from tests.graphs import model, small_resnet
from tests.passes.cases import node

WIDE = ("n", 2, 3, 4)


@pytest.fixture
def copies(monkeypatch):
    """How many nodes every copied graph had."""
    made, copy = [], Graph.copy

    def counted(graph):
        made.append(len(graph.nodes))
        return copy(graph)

    monkeypatch.setattr(Graph, "copy", counted)
    return made


def relus(count: int) -> Graph:
    names = ["x", *(f"t{i}" for i in range(1, count)), "y"]
    nodes = [helper.make_node("Relu", [a], [b], name=b) for a, b in pairwise(names)]
    return load(model(nodes, {}, {"x": ["n", 4]}, {"y": ["n", 4]}))


def test_where_nothing_matches_nothing_is_copied(copies):
    graph = relus(500)
    assert canonize(graph) is graph
    assert copies == []


def test_a_pass_that_changes_much_copies_once(copies):
    graph = load(small_resnet())
    changed = 0
    for step in PIPELINE:
        before, graph = graph, step.run(graph)
        changed += graph is not before
        assert len(copies) == changed, step.name
    assert 2 < changed < len(PIPELINE)


def test_nodes_are_looked_at_once_each():
    graph, seen = relus(100), []
    rewrite(graph, lambda edit, found: seen.append(found.name), lambda edit, found, what: None)
    assert seen == [found.name for found in graph.nodes]


def double(edit, found):
    """Put three of a node in its place; names are taken, and a constant is new."""
    steps = [
        Step("Relu", "t1", result="t1", shape=["n", 4]),
        Step("Add", found.name, {}, {"t1": np.float32([1])}, "t1", ["n", 4]),
        Step("Relu", "r"),
    ]
    edit.replace(found, steps)


def test_a_chain_takes_the_place_of_a_node_under_names_of_its_own():
    graph = relus(2)
    after = rewrite(
        graph, lambda edit, found: True if found.name == "y" else None, lambda edit, found, _: double(edit, found)
    )
    assert [n.name for n in after.nodes] == ["t1", "t1:1", "y", "r"]
    assert [[t.name for t in n.inputs] for n in after.nodes] == [["x"], ["t1"], ["t1:2", "t1:3"], ["t1:4"]]
    assert [n.outputs[0].name for n in after.nodes] == ["t1", "t1:2", "t1:4", "y"]
    assert not after.nodes[2].inputs[1].values.flags.writeable
    assert [n.name for n in graph.nodes] == ["t1", "y"]


def test_names_are_swapped():
    edit = Edit(relus(2))

    def swap(edit, found, _):
        first, second = edit.node_of("t1"), edit.node_of("y")
        edit.rename({"t1": second, "y": first})
        assert (edit.node_of("t1"), edit.node_of("y")) == (second, first)

    edit.each(lambda edit, found: True if found.inputs[0].name == "x" else None, swap)
    assert [n.name for n in edit.result().nodes] == ["y", "t1"]


def test_two_scales_change_places_with_one_transpose():
    nodes = [node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Mul", "a k", "b"), node("Add", "b k", "y")]
    graph = load(model(nodes, {"k": np.float32([1, 2])}, {"x": list(WIDE)}, {"y": ["n", 3, 4, 2]}))
    moved = next(step for step in PIPELINE if step.name == "move_scales").run(graph)
    assert [n.name for n in moved.nodes] == ["mul_b", "add_y", "transpose_a"]
