"""Shared weights, layers applied twice and inputs that feed several branches: against the oracle, at -O0 and -O1."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import lrpc
from lrpc import composites
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle
from tests.graphs import model
from tests.targets import DISTINCT


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def node(op: str, inputs: str, output: str, **attributes: object):
    return helper.make_node(op, inputs.split(), [output], name=f"{output}_", **attributes)


SAME = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
CONV = {"w": normal(4, 4, 3, 3), "b": normal(4)}
NORM = {"scale": 1 + 0.1 * normal(4), "shift": normal(4), "mean": normal(4), "var": 1 + normal(4) ** 2}
HEAD = [node("GlobalAveragePool", "h", "g"), node("Flatten", "g", "f"), node("Gemm", "f fc", "y", transB=1)]
FC = {"fc": normal(3, 4)}
PICTURE, VECTOR = [4, 6, 6], [6]

# nodes, weights, the input's shape a sample
CASES = {
    "a convolution applied twice": (
        [node("Conv", "x w b", "c", **SAME), node("Relu", "c", "r"), node("Conv", "r w b", "h", **SAME), *HEAD],
        CONV | FC, PICTURE,
    ),
    "one weight, two biases, two strides": (
        [node("Conv", "x w b", "c", **SAME), node("Relu", "c", "r"), node("Conv", "r w b2", "h", strides=[2, 2], **SAME), *HEAD],
        CONV | FC | {"b2": normal(4) + 1}, PICTURE,
    ),
    "one weight on two branches": (
        [node("Conv", "x w b", "c", **SAME), node("Relu", "x", "r"), node("Conv", "r w b", "d", **SAME),
         node("Add", "c d", "s"), node("Relu", "s", "h"), *HEAD],
        CONV | FC, PICTURE,
    ),
    "one weight, BatchNorm behind one of its layers": (
        [node("Conv", "x w b", "c", **SAME), node("BatchNormalization", "c scale shift mean var", "n"), node("Relu", "n", "r"),
         node("Conv", "r w b", "h", **SAME), *HEAD],
        CONV | NORM | FC, PICTURE,
    ),
    "BatchNorm shared by two layers": (
        [node("Conv", "x w b", "c", **SAME), node("BatchNormalization", "c scale shift mean var", "n"), node("Relu", "n", "r"),
         node("Conv", "r w2", "d", **SAME), node("BatchNormalization", "d scale shift mean var", "h"), *HEAD],
        CONV | NORM | FC | {"w2": normal(4, 4, 3, 3) - 0.1}, PICTURE,
    ),
    "one weight, transposed once": (
        [node("Gemm", "x w", "c", transB=1), node("Relu", "c", "r"), node("Gemm", "r w", "y")],
        {"w": normal(5, 6)}, VECTOR,
    ),
    "a dense layer applied three times": (
        [node("Gemm", "x w b", "c"), node("Relu", "c", "r"), node("Gemm", "r w b", "d"), node("Relu", "d", "s"),
         node("Gemm", "s w b", "y")],
        {"w": normal(6, 6), "b": normal(6)}, VECTOR,
    ),
    "an input that feeds three branches": (
        [node("Gemm", "x w b", "c"), node("Gemm", "x v", "d"), node("Add", "c d", "s"), node("Relu", "s", "r"),
         node("Add", "r x", "t"), node("Gemm", "t w", "y")],
        {"w": normal(6, 6), "b": normal(6), "v": normal(6, 6) + 0.5}, VECTOR,
    ),
    "an input joined to what is made of it": (
        [node("Conv", "x w b", "c", **SAME), node("Relu", "c", "r"), node("Concat", "r x", "j", axis=1),
         node("Conv", "j v", "h", **SAME), *HEAD],
        CONV | FC | {"v": normal(4, 8, 3, 3)}, PICTURE,
    ),
    "a tensor added to itself": (
        [node("Gemm", "x w b", "c"), node("Relu", "c", "r"), node("Add", "r r", "s"), node("Gemm", "s w", "y")],
        {"w": normal(6, 6), "b": normal(6)}, VECTOR,
    ),
    "channels last, as Keras has them": (
        [node("Transpose", "x", "n", perm=[0, 3, 1, 2]), node("Conv", "n w b", "c", **SAME), node("Transpose", "c", "k", perm=[0, 2, 3, 1]),
         node("Relu", "k", "r"), node("Transpose", "r", "m", perm=[0, 3, 1, 2]), node("Conv", "m w", "h", **SAME), *HEAD],
        CONV | FC, [6, 6, 4],
    ),
}  # fmt: skip
COMPOSITES = {
    "epsilon_plus_flat": composites.epsilon_plus_flat(),
    "epsilon_gamma_box": composites.epsilon_gamma_box(low=-4.0, high=4.0),
    "epsilon_alpha2_beta1": composites.epsilon_alpha2_beta1(),
}


@pytest.mark.parametrize("composite", COMPOSITES.values(), ids=COMPOSITES)
@pytest.mark.parametrize(("nodes", "weights", "shape"), CASES.values(), ids=CASES)
def test_what_is_shared_is_explained_as_the_oracle_does(nodes, weights, shape, composite):
    classes = 6 if nodes[-1].input[-1] == "w" or "b" in nodes[-1].input else 3
    proto = model(nodes, weights, {"x": ["n", *shape]}, {"y": ["n", classes]})
    plan = lrpc.plan_model(proto, composite=composite)
    assert len({row.layer for row in plan.rows}) == len(plan.rows)
    x, seed = normal(3, *shape), np.eye(classes, dtype=np.float32)[:3]
    exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, seed, dtype) for dtype in ("float64", "float32"))
    yardstick = relative_error(rounded.relevance, exact.relevance)
    assert np.abs(exact.relevance).sum() > 1e-3
    for target in (None, *DISTINCT):
        ours = run_traced(plan, x, seed, target)
        assert relative_error(ours.output, exact.output) < 1e-5
        assert relative_error(ours.relevance, exact.relevance) < max(1e-5, 4 * yardstick), target
