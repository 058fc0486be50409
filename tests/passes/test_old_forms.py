"""PRelu below opset 7: its slope is one value per channel, wherever the channels are broadcast to later."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from passes.loading.load import load
from passes.loading.old_forms import old_forms

# version, the shapes of input and slope, the slope's shape afterwards
CASES = {
    "a slope per channel of a picture": (6, (2, 3, 4, 4), (3,), (3, 1, 1)),
    "of a line": (6, (2, 3, 4), (3,), (3, 1)),
    "of two channels": (6, (2, 2, 4), (2,), (2, 1)),
    "of a table, where channels are last": (6, (2, 3), (3,), (3,)),
    "one slope": (6, (2, 3, 4, 4), (1,), (1,)),
    "in opset 7 it is broadcast from the right": (7, (2, 3, 4, 4), (4,), (4,)),
    "a slope that says where it belongs": (6, (2, 3, 4, 4), (3, 1, 1), (3, 1, 1)),
}


def prelu(version: int, shape: tuple, slope: tuple) -> onnx.ModelProto:
    values = np.arange(1, 1 + np.prod(slope), dtype=np.float32).reshape(slope)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in "xy"]
    nodes = [helper.make_node("PRelu", ["x", "s"], ["y"], name="act")]
    graph = helper.make_graph(nodes, "model", ends[:1], ends[1:], [numpy_helper.from_array(values, "s")])
    return helper.make_model(graph, ir_version=3, opset_imports=[helper.make_opsetid("", version)])


@pytest.mark.parametrize(("version", "shape", "slope", "expected"), CASES.values(), ids=CASES)
def test_a_slope_means_what_it_meant(version, shape, slope, expected):
    proto = prelu(version, shape, slope)
    before = proto.SerializeToString()
    after = old_forms(proto, version)
    assert tuple(after.graph.initializer[0].dims) == expected
    assert proto.SerializeToString() == before
    if version == 7:
        assert after is proto


def test_without_a_prelu_nothing_is_copied():
    proto = prelu(6, (2, 3, 4), (3,))
    proto.graph.node[0].op_type = "Relu"
    del proto.graph.node[0].input[1]
    assert old_forms(proto, 6) is proto


def test_a_slope_that_is_computed_stays_as_it_is():
    proto = prelu(6, (2, 3, 4), (3,))
    proto.graph.node.insert(0, helper.make_node("Identity", ["s"], ["t"]))
    proto.graph.node[1].input[1] = "t"
    assert list(old_forms(proto, 6).graph.initializer[0].dims) == [3]


def test_a_model_with_such_a_slope_loads():
    (node,) = load(prelu(6, (2, 3, 4, 4), (3,))).nodes
    assert node.inputs[1].values.shape == (3, 1, 1)
