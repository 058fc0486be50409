"""What a file states of its tensors counts where inference does not know it, and for all that follows."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from passes.loading.shapes import with_shapes

STATED = {
    # what the file says of the resized tensor, and what is known of the one behind it
    "all sizes": (["n", 2, 8, 8], ["n", 2, 8, 8]),
    "nothing": (None, None),
}


def shape_of(proto: onnx.ModelProto, name: str) -> list[int | str]:
    (value,) = (value for value in proto.graph.value_info if value.name == name)
    return [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize(("stated", "behind"), STATED.values(), ids=STATED)
def test_a_stated_size_is_known_of_what_follows(stated, behind):
    """The scales of the Resize are an input, so that inference knows its rank alone."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["a"], name="resize"),
        helper.make_node("Relu", ["a"], ["b"], name="b"),
        helper.make_node("Relu", ["b"], ["y"], name="y"),
    ]
    inputs = [value("x", TensorProto.FLOAT, ["n", 2, 4, 4]), value("scales", TensorProto.FLOAT, [4])]
    outputs = [value("y", TensorProto.FLOAT, ["n", 2, 8, 8])]
    known = [value("a", TensorProto.FLOAT, stated)] if stated else []
    graph = helper.make_graph(nodes, "g", inputs, outputs, value_info=known)
    proto = with_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    found = shape_of(proto, "b")
    assert len(found) == 4
    assert found == behind if behind else not {2, 8} & set(found)
