"""A model that is too large to run is refused before anything is allocated, and no other."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from passes.errors import LrpcError
from passes.loading import budget


def model(op: str, shape: list[int], operand: list[int], opset: int, **attributes: object):
    """Return a model of one layer."""
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if operand:
        values.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, operand))
    node = helper.make_node(op, [value.name for value in values], ["y"], **attributes)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", values, [out])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


SQUARE = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
VGG = ("Conv", [1, 64, 224, 224], [64, 64, 3, 3], 18, SQUARE)
CASES = {
    # what it is: the layer, where it runs, what the message says
    "VGG's largest layer": (VGG, False, ""),
    "VGG's largest layer, interpreted": (VGG, True, ""),
    "a large tensor": (("Relu", [1, 1 << 28], [], 18, {}), False, "a tensor of 2.7e8 values, [1, 2.7e8], at Relu 'x'"),
    "many steps": (("Conv", [1, 512, 512, 512], [512, 512, 3, 3], 18, SQUARE), False, "6.2e11 steps at Conv 'y'"),
    "many products": (("MatMul", [4096, 8192], [8192, 8192], 18, {}), False, "2.7e11 steps at MatMul 'y'"),
    "wide windows": (("Conv", [1, 64, 448, 448], [64, 64, 3, 3], 6, SQUARE), False, ""),
    "wide windows, interpreted": (
        ("Conv", [1, 64, 448, 448], [64, 64, 3, 3], 6, SQUARE),
        True,
        "it would write down 1.2e8 values at Conv 'y', more than fits",
    ),
    "one map of wide windows, interpreted": (
        ("Conv", [1, 64, 263, 263], [1, 64, 3, 3], 6, SQUARE),
        True,
        "it would write down 4.0e7 values at Conv 'y'",
    ),
    "a large pool, interpreted": (
        ("MaxPool", [1, 64, 448, 448], [], 6, SQUARE),
        True,
        "it would write down 1.2e8 values at MaxPool 'y'",
    ),
    "products are no windows": (("MatMul", [1024, 1024], [1024, 1024], 6, {}), True, ""),
}


@pytest.mark.parametrize(("layer", "interpreted", "message"), CASES.values(), ids=CASES.keys())
def test_what_is_beyond_the_budget_is_refused(layer, interpreted, message):
    op, shape, operand, opset, attributes = layer
    proto = model(op, shape, operand, opset, **attributes)
    if not message:
        budget.refuse_large_run(proto, {"x": shape}, "Shrink it.", interpreted)
        return
    with pytest.raises(LrpcError) as told:
        budget.refuse_large_run(proto, {"x": shape}, "Shrink it.", interpreted)
    assert message in told.value.headline
    assert told.value.hint == "Shrink it."
