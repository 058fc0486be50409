"""Relevance of a nearest Resize goes to the inputs that the runtime reads, where rounding decides which too."""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.ops.resize import _matrix
from lrpc.reference import run_oracle
from passes.loading.load import load
from tests.graphs import model

PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SIZES = (1, 2, 3, 5, 6, 7, 10)
SCALES, COUNTS = (0.3, 0.6, 0.7, 0.9, 1.5, 1.7, 2.3, 3.0), (1, 2, 4, 5, 9, 12)


def resize(size: int, by: dict[str, object], scale: float | None, count: int):
    inputs = ["x", "", "s"] if scale else ["x", "", "", "n"]
    weights = {"s": np.float32([1, 1, scale])} if scale else {"n": np.array([1, 1, count])}
    node = helper.make_node("Resize", inputs, ["y"], name="layer", **by)
    return model([node], weights, {"x": [1, 1, size]}, {"y": [1, 1, count]})


def read(proto, size: int) -> np.ndarray:
    """Which input each output is, as ONNX Runtime has it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.arange(size, dtype=np.float32)[None, None]})[0][0, 0]


def plan_of(proto):
    return lrpc.plan_model(proto, composite=Composite("test", (Entry(rules.Gradient()),)))


@pytest.mark.parametrize(("place", "rounding"), list(itertools.product(PLACES, ROUNDINGS)), ids=lambda name: name)
def test_the_nearest_input_is_the_one_that_the_runtime_reads(place, rounding):
    by = {"mode": "nearest", "coordinate_transformation_mode": place, "nearest_mode": rounding}
    for size, scale in itertools.product(SIZES, SCALES):
        count, rounded = int(size * float(np.float32(scale))), int(np.float32(size) * np.float32(scale))
        if count not in (0, size) and count == rounded:  # else ONNX and ONNX Runtime differ on the size
            check(resize(size, by, scale, count), size)
    for size, count in itertools.product(SIZES, COUNTS):
        # ONNX Runtime rounds 3.4999998 up here, and nowhere else.
        if count != size and (place, rounding) != ("asymmetric", "round_prefer_ceil"):
            check(resize(size, by, None, count), size)


def check(proto, size: int):
    (node,) = load(proto).nodes
    np.testing.assert_array_equal(_matrix(node, 2) @ np.arange(size), read(proto, size), err_msg=str(node))


# Scales that keep the size of all axes, or of one: input, scales, output.
KEPT = {
    "all axes keep their size, and are copied": ((5, 7), (1.1, 1.1), (5, 7)),
    "one axis keeps its size, and is computed anew": ((5, 7), (1.1, 2.0), (5, 14)),
    "one axis is left alone": ((5, 7), (1.0, 2.0), (5, 14)),
}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("size", "scales", "result"), KEPT.values(), ids=KEPT)
def test_an_axis_that_keeps_its_size_is_what_the_runtime_makes_of_it(size, scales, result, mode):
    by = {"mode": mode, "nearest_mode": "floor"} if mode == "nearest" else {"mode": mode}
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], name="layer", **by)
    proto = model([node], {"s": np.float32([1, 1, *scales])}, {"x": ["n", 1, *size]}, {"y": ["n", 1, *result]})
    plan = plan_of(proto)
    rng = np.random.default_rng(0)
    x, seed = (rng.standard_normal((2, 1, *shape)).astype(np.float32) for shape in (size, result))
    exact, ours = run_oracle(plan.graph, plan.behaviours, x, seed), run_traced(plan, x, seed)
    assert relative_error(ours.output, exact.output) < 2e-6
    assert relative_error(ours.relevance, exact.relevance) < 2e-6
    # A linear map and its transpose agree on what they make of two vectors.
    np.testing.assert_allclose((ours.output * seed).sum(), (ours.relevance * x).sum(), rtol=1e-5)
