"""Every pass: what it does, what it declines, and that the computed function stays what it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from passes.graph import Graph
from passes.load import load
from passes.pipeline import PIPELINE, canonize
from passes.write import to_proto
from tests.graphs import model, small_resnet

STEPS = {step.name: step for step in PIPELINE}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def norm_parameters(n: int, prefix: str = "") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    names = ("scale", "shift", "mean", "var")
    return {prefix + name: (rng.random(n) + 0.5).astype(np.float32) for name in names}


def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), output.split(), name=f"{op.lower()}_{output.split()[0]}", **attributes)


NORM = "scale shift mean var"


def run(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    proto = to_proto(graph)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


# pass, nodes, weights, input shape, output shape, ops afterwards
CASES = {
    "constants become initializers": (
        "fold_constants",
        [node("Constant", "", "c", value_floats=[1.0, 2.0]), node("Add", "c k", "d"), node("Mul", "x d", "y")],
        {"k": np.float32([3, 4])}, (2,), (2,), ["Mul"],
    ),
    "a computed reshape target becomes constant": (
        "fold_constants",
        [
            node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Unsqueeze", "n axis", "n1"),
            node("Concat", "n1 rest", "t", axis=0), node("Reshape", "x t", "y"),
        ],
        {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([12])}, (3, 4), (12,), ["Reshape"],
    ),
    "no-ops vanish": (
        "drop_noops",
        [
            node("Identity", "x", "a"), node("Dropout", "a", "b"), node("Mul", "b one", "c"), node("Add", "zero c", "d"),
            node("Transpose", "d", "e", perm=[0, 1]), node("Relu", "e", "y"),
        ],
        {"one": np.float32(1), "zero": np.float32(0)}, (4,), (4,), ["Relu"],
    ),
    "a no-op at the output vanishes and the output keeps its name": (
        "drop_noops", [node("Relu", "x", "a"), node("Identity", "a", "y")], {}, (4,), (4,), ["Relu"],
    ),
    "a multiplication by 2 stays": ("drop_noops", [node("Mul", "x two", "y")], {"two": np.float32(2)}, (4,), (4,), ["Mul"]),
    "an average pool of one stays": (
        "drop_noops", [node("AveragePool", "x", "y", kernel_shape=[1, 1])], {}, (2, 3, 3), (2, 3, 3), ["AveragePool"],
    ),
    "same padding is spelled out": (
        "spell_attributes", [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])],
        {"w": normal(3, 2, 3, 3)}, (2, 6, 7), (3, 3, 4), ["Conv"],
    ),
    "output_shape is spelled out": (
        "spell_attributes", [node("ConvTranspose", "x w", "y", output_shape=[8, 9], strides=[2, 2])],
        {"w": normal(2, 3, 3, 3)}, (2, 4, 4), (3, 8, 9), ["ConvTranspose"],
    ),
    "MatMul and Add become Gemm": (
        "recognise_dense", [node("MatMul", "x w", "a"), node("Add", "a b", "y")],
        {"w": normal(4, 3), "b": normal(3)}, (4,), (3,), ["Gemm"],
    ),
    "a MatMul of rank 3 becomes Gemm between reshapes": (
        "recognise_dense", [node("MatMul", "x w", "a"), node("Add", "b a", "y")],
        {"w": normal(4, 3), "b": normal(3)}, (5, 4), (5, 3), ["Reshape", "Gemm", "Reshape"],
    ),
    "scales of Gemm move into its constants": (
        "recognise_dense", [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0)],
        {"w": normal(4, 3), "b": normal(3)}, (4,), (3,), ["Gemm"],
    ),
    "a shift per channel becomes the bias": (
        "recognise_dense", [node("Conv", "x w", "a"), node("Add", "a b", "y")],
        {"w": normal(3, 2, 1, 1), "b": normal(1, 3, 1, 1)}, (2, 4, 4), (3, 4, 4), ["Conv"],
    ),
    "BatchNorm folds into Conv": (
        "fold_batchnorm", [node("Conv", "x w", "a", group=2), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(6, 2, 3, 3), **norm_parameters(6)}, (4, 5, 5), (6, 3, 3), ["Conv"],
    ),
    "BatchNorm folds into ConvTranspose": (
        "fold_batchnorm", [node("ConvTranspose", "x w b", "a", group=2), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(4, 3, 3, 3), "b": normal(6), **norm_parameters(6)}, (4, 5, 5), (6, 7, 7), ["ConvTranspose"],
    ),
    "BatchNorm folds into Gemm": (
        "fold_batchnorm", [node("Gemm", "x w b", "a", transB=1), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(3, 4), "b": normal(3), **norm_parameters(3)}, (4,), (3,), ["Gemm"],
    ),
    "BatchNorm behind Relu stays": (
        "fold_batchnorm", [node("Relu", "x", "a"), node("BatchNormalization", f"a {NORM}", "y")],
        norm_parameters(4), (4, 3), (4, 3), ["Relu", "BatchNormalization"],
    ),
    "BatchNorm of a result that others read stays": (
        "fold_batchnorm",
        [node("Conv", "x w", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("Add", "a b", "y")],
        {"w": normal(4, 2, 1, 1), **norm_parameters(4)}, (2, 3, 3), (4, 3, 3), ["Conv", "BatchNormalization", "Add"],
    ),
    "a mean over space is a global pool": (
        "spell_pooling", [node("ReduceMean", "x axes", "y", keepdims=1)],
        {"axes": np.array([-1, -2])}, (4, 3, 5), (4, 1, 1), ["GlobalAveragePool"],
    ),
    "a mean that drops the axes is a global pool and a reshape": (
        "spell_pooling", [node("ReduceMean", "x axes", "y", keepdims=0)],
        {"axes": np.array([2, 3])}, (4, 3, 5), (4,), ["GlobalAveragePool", "Reshape"],
    ),
    "a window as large as the picture is a global pool": (
        "spell_pooling", [node("AveragePool", "x", "y", kernel_shape=[3, 5])], {}, (4, 3, 5), (4, 1, 1), ["GlobalAveragePool"],
    ),
    "a mean over channels stays": (
        "spell_pooling", [node("ReduceMean", "x axes", "y", keepdims=1)],
        {"axes": np.array([1])}, (4, 3, 5), (1, 3, 5), ["ReduceMean"],
    ),
    "an addition becomes a sum with its shortcut as a branch": (
        "split_residuals", [node("Relu", "x", "a"), node("Add", "x a", "y")], {}, (4,), (4,), ["Relu", "Identity", "Sum"],
    ),
    "an addition that broadcasts stays": (
        "split_residuals", [node("ReduceMax", "x axes", "a", keepdims=1), node("Add", "x a", "y")],
        {"axes": np.array([1])}, (4,), (4,), ["ReduceMax", "Add"],
    ),
    "gelu by erf": (
        "fuse_activations",
        [
            node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "half c", "d"),
            node("Mul", "x d", "y"),
        ],
        {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}, (9,), (9,), ["Gelu"],
    ),
    "what only resembles gelu stays": (
        "fuse_activations",
        [node("Erf", "x", "b"), node("Add", "b one", "c"), node("Mul", "half c", "d"), node("Mul", "x d", "y")],
        {"one": np.float32(1), "half": np.float32(0.5)}, (9,), (9,), ["Erf", "Add", "Mul", "Mul"],
    ),
}  # fmt: skip


def before(nodes, weights, shape, result) -> Graph:
    return load(model(nodes, weights, {"x": ["batch", *shape]}, {"y": ["batch", *result]}))


@pytest.mark.parametrize(("name", "nodes", "weights", "shape", "result", "ops"), CASES.values(), ids=CASES)
def test_a_pass_gives_what_it_says_and_keeps_the_function(name, nodes, weights, shape, result, ops):
    graph = before(nodes, weights, shape, result)
    if name in ("fold_batchnorm", "spell_pooling"):  # they need spelled attributes
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


def test_a_chain_of_2000_layers_is_canonized():
    nodes = [node("Relu", "x" if i == 0 else f"t{i - 1}", "y" if i == 1999 else f"t{i}") for i in range(2000)]
    assert len(canonize(before(nodes, {}, (4,), (4,))).nodes) == 2000


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
