"""What a node gives where it does not depend on the model's input."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from passes.graph.evaluate import evaluate

SIZES = {
    # the shape that is asked for, the value, what it becomes
    "zeros where nothing is said": ([2, 3], None, np.zeros((2, 3), np.float32)),
    "a value": ([2, 3], np.array([7], np.int64), np.full((2, 3), 7, np.int64)),
    "one number": ([], np.array([0.5], np.float32), np.float32(0.5)),
    "an axis of nothing": ([2, 0], np.array([1.0]), np.zeros((2, 0))),
    "a size that there is not": ([2, -1], None, None),
    "more than a gigabyte": ([1 << 20, 1 << 10], None, None),
}


@pytest.mark.parametrize(("sizes", "value", "expected"), SIZES.values(), ids=SIZES)
def test_constant_of_shape(sizes, value, expected):
    attributes = {} if value is None else {"value": gs.Constant("value", value)}
    shape = gs.Constant("shape", np.array(sizes, np.int64))
    found = evaluate(gs.Node("ConstantOfShape", "fill", attributes, [shape], [gs.Variable("y")]), 18, 1 << 20)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found[0].dtype == expected.dtype
    np.testing.assert_array_equal(found[0], expected)
