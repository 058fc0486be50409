"""Folding and recognising dense layers keep the function of any linear layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from passes.graph import Graph
from passes.graph.write import to_proto
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model


@dataclass(frozen=True)
class Linear:
    """A linear layer at random; shape: of one sample, result: of its output."""

    op: str
    attributes: dict[str, object]
    weights: dict[str, np.ndarray]
    shape: tuple[int, ...]
    result: tuple[int, ...]
    has_bias: bool


@st.composite
def linear_layers(draw) -> Linear:
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    size = st.integers(1, 3)
    groups, per_group, outputs, kernel = draw(size), draw(size), draw(size), draw(size)
    has_bias = draw(st.booleans())
    kind = draw(st.sampled_from(["Conv", "ConvTranspose", "Gemm"]))
    inputs, channels = groups * per_group, groups * outputs
    if kind == "Gemm":
        trans = draw(st.booleans())
        weight, attributes = ((channels, inputs) if trans else (inputs, channels)), {"transB": int(trans)}
        shape, result = (inputs,), (channels,)
    elif kind == "Conv":
        weight, attributes = (channels, per_group, kernel, kernel), {"group": groups}
        shape, result = (inputs, 4, 4), (channels, 5 - kernel, 5 - kernel)
    else:
        weight, attributes = (inputs, outputs, kernel, kernel), {"group": groups}
        shape, result = (inputs, 4, 4), (channels, 3 + kernel, 3 + kernel)
    weights = {"w": rng.standard_normal(weight).astype(np.float32)}
    if has_bias:
        weights["b"] = rng.standard_normal(channels).astype(np.float32)
    weights |= {name: rng.standard_normal(channels).astype(np.float32) for name in ("scale", "shift", "mean")}
    weights["var"] = (rng.random(channels) + 0.1).astype(np.float32)
    return Linear(kind, attributes, weights, shape, result, has_bias)


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(to_proto(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def assert_same(before: Graph, after: Graph, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    expected = run(before, x)
    np.testing.assert_allclose(run(after, x), expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(expected).max()))
    assert canonize(after) is after


@settings(max_examples=60, deadline=None)
@given(linear_layers())
def test_batchnorm_folds_into_any_linear_layer(layer):
    nodes = [
        helper.make_node(layer.op, ["x", "w", *["b"] * layer.has_bias], ["a"], **layer.attributes),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["y"], epsilon=1e-3),
    ]
    graph = load(model(nodes, layer.weights, {"x": ["n", *layer.shape]}, {"y": ["n", *layer.result]}))
    canonical = canonize(graph)
    assert [node.op for node in canonical.nodes] == [layer.op]
    assert_same(graph, canonical, (2, *layer.shape))


@settings(max_examples=60, deadline=None)
@given(
    leading=st.lists(st.integers(1, 4), max_size=3), inputs=st.integers(1, 4), outputs=st.integers(1, 4),
    bias=st.sampled_from(["none", "vector", "row", "scalar"]), swapped=st.booleans(), batch=st.sampled_from(["n", 2]),
)  # fmt: skip
def test_a_matmul_with_a_bias_is_one_dense_layer(leading, inputs, outputs, bias, swapped, batch):
    rng = np.random.default_rng(inputs)
    shape = {"vector": (outputs,), "row": (1, outputs), "scalar": ()}.get(bias, ())
    weights = {"w": rng.standard_normal((inputs, outputs)).astype(np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a" if bias != "none" else "y"])]
    if bias != "none":
        weights["b"] = np.asarray(rng.standard_normal(shape), np.float32)
        nodes.append(helper.make_node("Add", ["b", "a"] if swapped else ["a", "b"], ["y"]))
    graph = load(model(nodes, weights, {"x": [batch, *leading, inputs]}, {"y": [batch, *leading, outputs]}))
    canonical = canonize(graph, check=True)
    assert [node.op for node in canonical.nodes if node.op != "Reshape"] == ["Gemm"]
    assert_same(graph, canonical, (2, *leading, inputs))
