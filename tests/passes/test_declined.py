"""What a pass leaves as it is: the ops that are there afterwards, where sizes are dynamic, types differ, or ranks are unknown."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from onnx import helper

from passes.fold_constants import fold_constants
from passes.graph import claim, unique
from passes.graph.evaluate import evaluate
from passes.loading.load import load
from passes.pipeline import PIPELINE
from passes.spell_attributes import spell_attributes
from tests.graphs import model
from tests.passes.cases import node, normal

STEPS = {step.name: step for step in PIPELINE}
PICTURE, ANY_SIZE, ANY_CHANNELS = ("n", 3, 4, 6), ("n", 3, "h", 6), ("n", "c", 4, 6)
SPACE, LAST = {"k": np.array([2, 3])}, {"k": np.array([3])}
INDEX = {"i": np.array([2, 0])}
POOL, BACK = ["GlobalAveragePool"], ["GlobalAveragePool", "Reshape"]

# pass, nodes, constants, input, output, the ops afterwards
CASES = {
    "a mean by default": ("spell_pooling", [node("ReduceMean", "x k", "y")], SPACE, PICTURE, ("n", 3, 1, 1), POOL),
    "a mean of any size": ("spell_pooling", [node("ReduceMean", "x k", "y", keepdims=0)], SPACE, ANY_SIZE, ("n", 3), BACK),
    "a mean of any channels": ("spell_pooling", [node("ReduceMean", "x k", "y", keepdims=1)], SPACE, ANY_CHANNELS, ("n", "c", 1, 1), POOL),
    "a mean of any channels, without the axes": (
        "spell_pooling", [node("ReduceMean", "x k", "y", keepdims=0)], SPACE, ANY_CHANNELS, ("n", "c"), ["ReduceMean"],
    ),
    "a maximum of any size": ("spell_pooling", [node("ReduceMax", "x k", "y")], SPACE, ANY_SIZE, ("n", 3, 1, 1), ["ReduceMax"]),
    "a maximum": ("spell_pooling", [node("ReduceMax", "x k", "y")], SPACE, PICTURE, ("n", 3, 1, 1), ["MaxPool"]),
    "a mean over one axis of any size": ("spell_pooling", [node("ReduceMean", "x k", "y")], LAST, ANY_SIZE, ("n", 3, "h", 1), ["ReduceMean"]),
    "a mean over the batch": ("spell_pooling", [node("ReduceMean", "x k", "y")], {"k": np.array([0])}, (2, 3, 4), (1, 3, 4), ["ReduceMean"]),
    "a mean over everything": ("spell_pooling", [node("ReduceMean", "x", "y")], {}, PICTURE, (1, 1, 1, 1), ["ReduceMean"]),
    "a mean of channels": ("spell_pooling", [node("ReduceMean", "x k", "y")], {"k": np.array([1])}, PICTURE, ("n", 1, 4, 6), ["ReduceMean"]),
    "a global maximum of any size": ("spell_pooling", [node("GlobalMaxPool", "x", "y")], {}, ANY_SIZE, ("n", 3, 1, 1), ["GlobalMaxPool"]),
    "a global maximum": ("spell_pooling", [node("GlobalMaxPool", "x", "y")], {}, PICTURE, ("n", 3, 1, 1), ["MaxPool"]),
    "positions of whole numbers": (
        "spell_gathers", [node("Cast", "x", "a", to=7), node("Gather", "a i", "b", axis=1), node("Cast", "b", "y", to=1)],
        INDEX, ("n", 3), ("n", 2), ["Cast", "Gather", "Cast"],
    ),
    "positions": ("spell_gathers", [node("Gather", "x i", "y", axis=1)], INDEX, ("n", 3), ("n", 2), ["Slice", "Slice", "Concat"]),
    "samples": ("spell_gathers", [node("Gather", "x i", "y", axis=0)], INDEX, (3, 4), (2, 4), ["Gather"]),
    "positions along a dynamic axis": ("spell_gathers", [node("Gather", "x i", "y", axis=1)], INDEX, ("n", "c"), ("n", 2), ["Gather"]),
    "positions in a table": (
        "spell_gathers", [node("Gather", "x i", "y", axis=1)], {"i": np.array([[2, 0]])}, ("n", 3), ("n", 1, 2), ["Gather"],
    ),
    "one position": ("spell_gathers", [node("Gather", "x i", "y", axis=1)], {"i": np.array([2])}, ("n", 3), ("n", 1), ["Gather"]),
    "one place of all axes": (
        "spell_gathers", [node("Transpose", "x", "a", perm=[1, 0]), node("GatherND", "a i", "b"), node("Relu", "b", "y")],
        {"i": np.array([1, 0])}, (4, 3), (), ["Transpose", "GatherND", "Relu"],
    ),
    "places between Transposes": (
        "spell_gathers", [node("Transpose", "x", "a", perm=[1, 0]), node("GatherND", "a i", "b"), node("Transpose", "b", "y", perm=[1, 0])],
        {"i": np.array([[2], [0]])}, ("n", 3), ("n", 2), ["Slice", "Slice", "Concat"],
    ),
    "places between Transposes in a table": (
        "spell_gathers",
        [node("Transpose", "x", "a", perm=[1, 0]), node("GatherND", "a i", "b"), node("Transpose", "b", "y", perm=[2, 0, 1])],
        {"i": np.array([[[2]], [[0]]])}, (4, 3), (4, 2, 1), ["Transpose", "GatherND", "Transpose"],
    ),
    "a scale of any channels": ("spell_scales", [node("Mul", "x c", "y")], {"c": np.float32(2)}, ("n", "c"), ("n", "c"), ["Mul"]),
    "a scale of a vector": ("spell_scales", [node("Mul", "x c", "y")], {"c": np.float32(2)}, (4,), (4,), ["Mul"]),
    "a scale that makes it larger": (
        "spell_scales", [node("Mul", "x c", "y")], {"c": normal(2, 1, 3, 1)}, (1, 3, 4), (2, 1, 3, 4), ["Mul"],
    ),
    "a scale by channel of another size": ("spell_scales", [node("Mul", "x c", "y")], {"c": normal(3, 1)}, ("n", 1, 4), ("n", 3, 4), ["Mul"]),
    "over 0": ("spell_scales", [node("Div", "x c", "y")], {"c": np.float32(0)}, ("n", 3), ("n", 3), ["Div"]),
    "less infinity": ("spell_scales", [node("Sub", "x c", "y")], {"c": np.float32(np.inf)}, ("n", 3), ("n", 3), ["Sub"]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "nodes", "weights", "shape", "result", "ops"), CASES.values(), ids=CASES)
def test_a_pass_does_what_it_can_and_no_more(name, nodes, weights, shape, result, ops):
    graph = load(model(nodes, weights, {"x": list(shape)}, {"y": list(result)}))
    assert [n.op for n in STEPS[name].run(graph).nodes] == ops


def test_padding_of_a_picture_of_unknown_rank_stays_to_be_refused():
    same = node("Conv", "x w", "y", auto_pad="SAME_UPPER")
    graph = load(model([same], {"w": normal(3, 2, 3, 3)}, {"x": ["n", 2, 6, 7]}, {"y": ["n", 3, 6, 7]}))
    graph.nodes[0].inputs[0].shape = None
    (conv,) = spell_attributes(graph).nodes
    assert conv.attrs["auto_pad"] == "SAME_UPPER"
    assert "pads" not in conv.attrs


def test_what_was_folded_cannot_be_written_to():
    nodes = [node("Add", "k k", "c"), node("Mul", "x c", "y")]
    graph = fold_constants(load(model(nodes, {"k": np.float32([1, 2])}, {"x": ["n", 2]}, {"y": ["n", 2]})))
    folded = graph.nodes[0].inputs[1]
    np.testing.assert_array_equal(folded.values, [2, 4])
    assert not folded.values.flags.writeable


# domain, op, whether it is computed
EVALUATED = {
    "a standard op": ("", "Add", True),
    "a standard op by its full name": ("ai.onnx", "Add", True),
    "an op of the same name from elsewhere": ("com.example", "Add", False),
    "a random one": ("", "RandomNormalLike", False),
}


@pytest.mark.parametrize(("domain", "op", "known"), EVALUATED.values(), ids=EVALUATED)
def test_only_standard_ops_that_give_one_result_are_computed(domain, op, known):
    inputs = [gs.Constant(f"c{i}", np.float32([i, 2])) for i in range(1 if "Random" in op else 2)]
    made = gs.Node(op, "node", {}, inputs, [gs.Variable("y")], domain=domain)
    found = evaluate(made, 18, 1 << 20)
    assert (found is not None) == known
    if known:
        np.testing.assert_array_equal(found[0], [1, 4])


def test_names_are_taken_as_they_are_and_numbered_where_they_are_taken():
    taken = {"b", "c", "c:1"}
    assert [unique(name, taken) for name in ("a", "b", "c")] == ["a", "b:1", "c:2"]
    assert unique("c", taken, 1) == "c:2"
    assert [claim(name, taken) for name in ("a", "a", "b")] == ["a", "a:1", "b:1"]
    assert taken == {"a", "a:1", "b", "b:1", "c", "c:1"}


def test_a_computed_axis_is_left_to_be_refused():
    axes = helper.make_node("Cast", ["x"], ["k"], name="k", to=7)
    graph = load(model([axes, node("ReduceMean", "x k", "y")], {}, {"x": [1]}, {"y": [1]}))
    assert [n.op for n in STEPS["spell_pooling"].run(graph).nodes] == ["Cast", "ReduceMean"]
