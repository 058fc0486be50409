"""What is computed from shapes is known before the model runs where it depends on no dynamic axis."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx.shape_inference
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.loading.load import load
from passes.loading.shape_values import known_sizes
from passes.pipeline import canonize

HEADER = '<ir_version: 8, opset_import: ["" : 18]> model (float[{x}] x) => ({result} y)'
ONE, TWO = "<int64 one = {1}, int64[1] ones = {1}, int64 zero = {0}, int64[1] zeros = {0}", "int64 two = {2}"
CONSTANTS = ONE + ", " + TWO + ", int64[1] three = {3}, int64[1] last = {9223372036854775807}, float half = {0.5}>"


def values(body: str, x: str = "n, 3, 8, 6", result: str = "int64") -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    proto = onnx.parser.parse_model(HEADER.format(x=x, result=result) + CONSTANTS + "{ s = Shape(x) " + body + " }")
    if result == "int64":
        proto.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    return proto, known_sizes(inferred.graph)


# the steps from the shape s to y
KNOWN = {
    "an axis": "y = Gather(s, one)",
    "half of an axis": "c = Gather(s, two) y = Div(c, two)",
    "a sum, less a product": "c = Gather(s, one) d = Add(c, two) e = Mul(d, c) y = Sub(e, one)",
    "two axes of a slice": "y = Slice(s, ones, three)",
    "all axes but the first": "y = Slice(s, ones, last)",
    "every second of them": "axes = Identity(zeros) y = Slice(s, ones, last, zeros, three)",
    "one behind another": "a = Gather(s, two) b = Unsqueeze(a, zeros) y = Concat<axis = 0>(b, three)",
    "one of a vector": "a = Slice(s, ones, three) b = Gather(a, zero) y = Div(b, one)",
    "a scale": "h = Gather(s, two) f = Cast<to = 1>(h) g = Mul(f, half) i = Floor(g) y = Cast<to = 7>(i)",
    "a scale that leaves a rest": "h = Gather(s, one) f = Cast<to = 1>(h) g = Mul(f, half) i = Floor(g) y = Cast<to = 7>(i)",
    "a part of a shape": "y = Shape<start = 1, end = -1>(x)",
    "a scalar of a vector": "a = Slice(s, ones, three) b = Slice(a, zeros, ones) y = Squeeze(b, zeros)",
}


@pytest.mark.parametrize("body", KNOWN.values(), ids=KNOWN)
def test_it_is_what_onnxruntime_computes(body):
    proto, found = values(body)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": np.zeros((2, 3, 8, 6), np.float32)})
    assert found["y"].dtype == np.int64
    np.testing.assert_array_equal(found["y"], expected)


UNKNOWN = {
    "the batch": "y = Gather(s, zero)",
    "the batch, doubled": "n = Gather(s, zero) y = Mul(n, two)",
    "all axes": "y = Identity(s)",
    "the batch among others": "n = Gather(s, zero) a = Unsqueeze(n, zeros) y = Concat<axis = 0>(a, three)",
    "the axis that the batch numbers": "n = Gather(s, zero) y = Gather(s, n)",
    "what the batch cuts off": "n = Gather(s, zero) a = Unsqueeze(n, zeros) y = Slice(s, a, last)",
    "divided by 0": "c = Gather(s, one) y = Div(c, zero)",
    "a negative number, divided": "c = Gather(s, one) m = Sub(zero, c) y = Div(m, two)",
    "an axis that is not there": "nine = Gather(three, zero) d = Mul(nine, nine) y = Gather(s, d)",
    "another type": "c = Gather(s, one) i = Cast<to = 6>(c) y = Cast<to = 7>(i)",
    "too large": "a = Gather(last, zero) y = Mul(a, a)",
}


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_stays_computed(body):
    assert "y" not in values(body)[1]


@given(size=st.integers(1, 4000), scale=st.floats(2**-7, 128, width=32))
@settings(max_examples=200, deadline=None)
def test_scaled_sizes_round_as_float32_does(size, scale):
    body = "h = Gather(s, one) f = Cast<to = 1>(h) g = Mul(f, r) i = Floor(g) y = Cast<to = 7>(i)"
    text = HEADER.format(x=f"n, {size}", result="int64")
    constants = CONSTANTS.replace("float half = {0.5}", f"float r = {{{float(scale)!r}}}")
    proto = onnx.parser.parse_model(text + constants + "{ s = Shape(x) " + body + " }")
    (weight,) = (tensor for tensor in proto.graph.initializer if tensor.name == "r")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.array(scale, np.float32), "r"))
    found = known_sizes(onnx.shape_inference.infer_shapes(proto).graph)
    assert found["y"] == np.floor(np.float32(size) * np.float32(scale))


def test_a_reshape_behind_such_arithmetic_has_a_constant_target():
    body = """c = Gather(s, one) k = Div(c, two) n = Gather(s, zero)
              a = Unsqueeze(n, zeros) b = Unsqueeze(two, zeros) d = Unsqueeze(k, zeros) e = Slice(s, b, last)
              t = Concat<axis = 0>(a, b, d, e) r = Reshape(x, t) y = Relu(r)"""
    proto, _ = values(body, "n, 4, 8, 6", "float[n, 2, 2, 8, 6]")
    graph = canonize(load(proto))
    assert [node.op for node in graph.nodes] == ["Reshape", "Relu"]
    assert graph.nodes[0].inputs[1].values.tolist() == [-1, 2, 2, 8, 6]
