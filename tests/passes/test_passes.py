"""Every pass: what it does, what it declines, and that the computed function stays what it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from passes.graph import Graph
from passes.graph.write import to_proto
from passes.loading.check import problems
from passes.loading.load import load
from passes.pipeline import PIPELINE, canonize
from tests.graphs import model, small_resnet
from tests.passes.cases import CASES, NORM, node, norm_parameters, normal

STEPS = {step.name: step for step in PIPELINE}


def run(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    proto = to_proto(graph)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def before(nodes, weights, shape, result) -> Graph:
    return load(model(nodes, weights, {"x": ["batch", *shape]}, {"y": ["batch", *result]}))


@pytest.mark.parametrize(("name", "nodes", "weights", "shape", "result", "ops"), CASES.values(), ids=CASES)
def test_a_pass_gives_what_it_says_and_keeps_the_function(name, nodes, weights, shape, result, ops):
    graph = before(nodes, weights, shape, result)
    if "spell_attributes" in STEPS[name].needs:
        graph = STEPS["spell_attributes"].run(graph)
    text = to_proto(graph).SerializeToString(deterministic=True)
    after = STEPS[name].run(graph)
    assert [n.op for n in after.nodes] == ops
    assert to_proto(graph).SerializeToString(deterministic=True) == text, "the argument was changed"
    assert STEPS[name].run(after) is after, "a second run must change nothing"
    x = normal(3, *shape, seed=9)
    for expected, actual in zip(run(graph, x), run(after, x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert [tensor.name for tensor in after.outputs] == ["y"]
    assert all(tensor.shape is not None for n in after.nodes for tensor in n.outputs)


def test_every_pass_has_a_case_and_a_docstring_that_says_what_it_does():
    assert {case[0] for case in CASES.values()} == set(STEPS)
    for step in PIPELINE:
        assert step.summary
        assert "Keeps:" in step.details or "Declines" in step.details


def test_a_pass_comes_behind_those_that_it_needs():
    for index, step in enumerate(PIPELINE):
        assert set(step.needs) <= {before.name for before in PIPELINE[:index]}, step.name
        assert ("Needs: " in step.details) == bool(step.needs)


def test_what_was_declined_is_told_with_the_reason():
    graph = before(
        [node("Relu", "x", "a"), node("BatchNormalization", f"a {NORM}", "y")], norm_parameters(4), (4, 3), (4, 3)
    )
    lines: list[str] = []
    canonize(graph, report=lines.append)
    assert any("declined" in line and "follows relu_a (Relu)" in line for line in lines)


def test_a_canonized_graph_is_a_fixed_point_and_every_step_is_valid():
    graph = load(small_resnet())
    canonical = canonize(graph, check=True)
    assert canonize(canonical) is canonical
    x = normal(2, 3, 8, 8)
    np.testing.assert_allclose(run(canonical, x)[0], run(graph, x)[0], rtol=1e-4, atol=1e-5)
    assert not any(n.op == "BatchNormalization" for n in canonical.nodes)
    assert [n.name for n in canonical.nodes if n.op == "Sum"] == ["block.add"]


def test_a_weight_that_two_layers_share_is_folded_for_one_of_them_only():
    nodes = [
        node("Conv", "x w", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("Conv", "b w", "y"),
    ]  # fmt: skip
    graph = before(nodes, {"w": normal(4, 4, 1, 1), **norm_parameters(4)}, (4, 3, 3), (4, 3, 3))
    canonical = canonize(graph)
    x = normal(2, 4, 3, 3)
    np.testing.assert_allclose(run(canonical, x)[0], run(graph, x)[0], rtol=1e-4, atol=1e-5)
    assert len({n.inputs[1].name for n in canonical.nodes}) == 2


@pytest.mark.parametrize("op", ["Relu", "Erf", "Identity", "Add"])
def test_a_chain_of_2000_layers_is_canonized(op):
    operands = "{} one" if op == "Add" else "{}"
    nodes = [
        helper.make_node(
            op, operands.format(f"t{i - 1}" if i else "x").split(), ["y" if i == 1999 else f"t{i}"], name="layer"
        )
        for i in range(2000)
    ]
    graph = canonize(before(nodes, {"one": np.float32(1)}, (4,), (4,)))
    assert len(graph.nodes) == (1 if op in ("Identity", "Add") else 2000)
    assert graph.nodes[-1].name in ("layer", "layer:1999")


def test_a_shift_behind_a_normalised_convolution_is_folded_with_it():
    nodes = [node("Conv", "x w", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("Add", "b s", "y")]
    graph = before(nodes, {"w": normal(4, 4, 1, 1), "s": normal(4, 1, 1), **norm_parameters(4)}, (4, 3, 3), (4, 3, 3))
    canonical = canonize(graph, check=True)
    assert [n.op for n in canonical.nodes] == ["Conv"]
    assert canonize(canonical) is canonical
    x = normal(2, 4, 3, 3)
    np.testing.assert_allclose(run(canonical, x)[0], run(graph, x)[0], rtol=1e-4, atol=1e-5)


def test_a_bias_of_zeros_that_is_no_vector_is_dropped_and_any_other_refused():
    """torch's exporter gives a Conv3d without bias zeros of shape (outputs, 2)."""
    nodes = [node("Conv", "x w b", "y")]
    canonical = canonize(
        before(nodes, {"w": normal(3, 2, 2, 2, 2), "b": np.zeros((3, 2), np.float32)}, (2, 3, 3, 3), (3, 2, 2, 2))
    )
    assert len(canonical.nodes[0].inputs) == 2
    (found,) = problems(before(nodes, {"w": normal(3, 2, 2, 2, 2), "b": normal(3, 2)}, (2, 3, 3, 3), (3, 2, 2, 2)))
    assert found.reason == "its bias has the shape (3, 2), not one value per output"


def test_folded_constants_are_named_after_their_layer():
    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight", "val_6"], ["a"]),
        node("BatchNormalization", f"a {NORM}", "y"),
    ]
    weights = {"conv1.weight": normal(4, 4, 1, 1), "val_6": normal(4), **norm_parameters(4)}
    (conv,) = canonize(before(nodes, weights, (4, 3, 3), (4, 3, 3))).nodes
    assert [conv.name, *(t.name for t in conv.inputs[1:])] == ["conv1", "conv1.weight", "conv1.bias"]


def test_a_bias_that_has_its_layer_s_name_keeps_it():
    conv = helper.make_node("Conv", ["x", "conv1.weight", "conv1.bias"], ["a"])
    norms = [node("BatchNormalization", f"a {NORM}", "b"), node("BatchNormalization", f"b {NORM}", "y")]
    weights = {"conv1.weight": normal(4, 4, 1, 1), "conv1.bias": normal(4), **norm_parameters(4)}
    (folded,) = canonize(before([conv, *norms], weights, (4, 3, 3), (4, 3, 3))).nodes
    assert [tensor.name for tensor in folded.inputs[1:]] == ["conv1.weight", "conv1.bias"]


DECLINED = {
    "padded with a shift": (
        [node("Relu", "x", "r"), node("BatchNormalization", f"r {NORM}", "a"), node("Conv", "a w", "y", pads=[1, 1, 1, 1])],
        {"w": normal(3, 4, 3, 3), **norm_parameters(4)}, (4, 3, 3), (3, 3, 3),
        "  declined batchnormalization_a (BatchNormalization): it follows relu_r (Relu), no linear layer to fold into\n"
        "  declined batchnormalization_a (BatchNormalization): conv_y pads with zeros, which the shift does not reach",
    ),
    "shapes": (
        [node("ReduceMax", "x axes", "a", keepdims=1), node("Add", "x a", "y")], {"axes": np.array([1])}, (4,), (4,),
        "  declined add_y (Add): its operands have the shapes (batch, 4) and (batch, 1)",
    ),
    "two operands": (
        [node("Relu", "x", "a"), node("MatMul", "x a", "y")], {}, (4, 4), (4, 4),
        "  declined matmul_y (MatMul): both operands depend on the input",
    ),
    "transposed input": (
        [node("Gemm", "x w", "y", transA=1)], {"w": normal(3, 3)}, None, None,
        "  declined gemm_y (Gemm): its input is transposed",
    ),
    "shared result": (
        [node("Conv", "x w", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("Mul", "a b", "y")],
        {"w": normal(4, 2, 1, 1), **norm_parameters(4)}, (2, 3, 3), (4, 3, 3),
        "  declined batchnormalization_b (BatchNormalization): the result of conv_a is read by others too",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "weights", "shape", "result", "line"), DECLINED.values(), ids=DECLINED)
def test_the_reason_of_a_decline_is_told(nodes, weights, shape, result, line):
    if shape is None:
        graph = load(model(nodes, weights, {"x": [3, "n"]}, {"y": ["n", 3]}))
    else:
        graph = before(nodes, weights, shape, result)
    lines: list[str] = []
    canonize(graph, report=lines.append)
    assert [entry for entry in lines if "declined" in entry] == line.split("\n")


def test_automatic_padding_of_a_dynamic_size_is_declined():
    nodes = [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])]
    graph = load(model(nodes, {"w": normal(3, 2, 3, 3)}, {"x": ["n", 2, "h", "v"]}, {"y": ["n", 3, "p", "q"]}))
    lines: list[str] = []
    assert canonize(graph, report=lines.append).nodes[0].attrs["auto_pad"] == "SAME_UPPER"
    assert "so its automatic padding is not known" in lines[-1]


def test_old_opsets_are_upgraded_and_give_the_same():
    old = small_resnet(opset=11)
    graph = load(old)
    assert graph.opset == 18
    x = normal(2, 3, 8, 8)
    session = ort.InferenceSession(old.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(run(canonize(graph), x)[0], session.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_initializers_listed_as_inputs_are_no_inputs():
    proto = small_resnet()
    tensor = proto.graph.initializer[0]
    proto.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, list(tensor.dims)))
    assert [t.name for t in load(proto).inputs] == ["x"]


def _dangling(proto):
    proto.graph.node[2].input[0] = "nowhere"


def _backwards(proto):
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _wrong_weight(proto):
    for tensor in proto.graph.initializer:
        if tensor.name == "fc.weight":
            tensor.dims[0] = 7


@pytest.mark.parametrize("damage", [_dangling, _backwards, _wrong_weight])
def test_a_broken_graph_is_refused_with_one_sentence(damage):
    from passes.errors import LrpcError

    proto = small_resnet()
    damage(proto)
    with pytest.raises(LrpcError, match="is not a valid ONNX model"):
        load(proto)
