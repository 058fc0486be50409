"""Convolutions of any geometry, against the oracle: strides with tails, dilation, groups, any padding."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.emit.targets import TARGETS
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle
from tests.graphs import model

RULES = (rules.Gradient(), rules.z_plus(), rules.alpha_beta(), rules.gamma(), rules.flat(), rules.z_box(-9, 9))


@st.composite
def convolutions(draw):
    """A Conv or ConvTranspose node's attributes, sizes and channels."""
    dims, group = draw(st.integers(1, 3)), draw(st.integers(1, 2))

    def each(low, high):
        return draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims))

    kernel, strides, dilations, sizes = each(1, 3), each(1, 3), each(1, 2), each(4, 8)
    pads = each(0, 1) + each(0, 1)
    transposed = draw(st.booleans())
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    total = [pads[i] + pads[dims + i] for i in range(dims)]
    if transposed:
        extra = [draw(st.integers(0, stride - 1)) for stride in strides]
        result = [(n - 1) * s + r + e - p for n, s, r, e, p in zip(sizes, strides, reach, extra, total, strict=True)]
    else:
        extra = []
        result = [(n + p - r) // s + 1 for n, p, r, s in zip(sizes, total, reach, strides, strict=True)]
    assume(min(result) >= 1 and all(n + p >= r for n, p, r in zip(sizes, total, reach, strict=True)))
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "group": group, "kernel_shape": kernel}
    return transposed, attributes | ({"output_padding": extra} if transposed else {}), sizes, result


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=convolutions(), rule=st.sampled_from(RULES), seed=st.integers(0, 1000))
def test_any_convolution_under_a_rule_equals_its_definition(case, rule, seed):
    transposed, attributes, sizes, result = case
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    group = attributes["group"]
    shape = (2 * group, 3, *attributes["kernel_shape"]) if transposed else (3 * group, 2, *attributes["kernel_shape"])
    node = helper.make_node(
        "ConvTranspose" if transposed else "Conv", ["x", "w", "b"], ["y"], name="layer", **attributes
    )
    weights = {"w": normal(*shape), "b": normal(3 * group)}
    ends = {"x": ["batch", 2 * group, *sizes]}, {"y": ["batch", 3 * group, *result]}
    plan = lrpc.plan_model(model([node], weights, *ends), composite=Composite("test", (Entry(rule),)))
    x, relevance = normal(2, 2 * group, *sizes), normal(2, 3 * group, *result)
    exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, relevance, d) for d in ("float64", "float32"))
    limit = max(2e-6, 4 * relative_error(rounded.relevance, exact.relevance))
    for target in (None, TARGETS["cpu"]):
        ours = run_traced(plan, x, relevance, target)
        assert relative_error(ours.output, exact.output) < 2e-6
        assert relative_error(ours.relevance, exact.relevance) < limit
