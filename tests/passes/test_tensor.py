"""What is known of a tensor's shape, and what only looks known."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from passes.graph import same_shape

SHAPES = {
    # two shapes, and whether they are surely one
    "sizes": ([2, 3], [2, 3], True),
    "other sizes": ([2, 3], [3, 2], False),
    "more axes": ([2, 3], [2, 3, 1], False),
    "no axes": ([], [], True),
    "one symbol": (["n", 3], ["n", 3], True),
    "two symbols": (["n", 3], ["m", 3], False),
    "a symbol and a size": (["n", 3], [2, 3], False),
    "two sizes without a name": ([None, 3], [None, 3], False),
    "two symbols without a letter": (["", 3], ["", 3], False),
    "one shape unknown": (None, [2, 3], False),
    "both unknown": (None, None, False),
}


@pytest.mark.parametrize(("first", "second", "same"), SHAPES.values(), ids=SHAPES)
def test_two_shapes_are_one_where_that_is_sure(first, second, same):
    a, b = (gs.Variable(name, np.float32, shape) for name, shape in (("a", first), ("b", second)))
    assert same_shape(a, b) is same
    assert same_shape(b, a) is same
