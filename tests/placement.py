"""Which nodes of a graph CUDA would leave to the CPU, told from the graph alone.

Opening a session on CUDA finds this out for certain, and refuses (`lrpc.runtime.session`); here it is told without the
provider. The table is ONNX Runtime 1.31's answer for one-node models of each op at opsets 18 to 23, and
tests/test_cuda.py asks it again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.shape_inference
from onnx import TensorProto, helper

from tests.graphs import model

PLACED = frozenset((
    "Abs", "Add", "And", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "ConstantOfShape",
    "Conv", "ConvTranspose", "CumSum", "Div", "Dropout", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand",
    "Flatten", "Floor", "Gather", "GatherElements", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsNaN", "LRN",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "MatMul", "Max", "MaxPool", "Min", "Mish",
    "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Round", "ScatterElements", "ScatterND",
    "Selu", "Shape", "Sigmoid", "Sign", "Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze",
    "Sub", "Sum", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Unsqueeze", "Where",
))  # fmt: skip
"""Ops with a CUDA kernel for float32 and float16, save what follows."""

UNTIL = dict.fromkeys(("Dropout", "Elu", "InstanceNormalization", "MaxPool", "Selu", "ThresholdedRelu"), 21)
"""The last opset at which an op has a CUDA kernel."""

FLOAT_ONLY = frozenset(("ArgMax", "Einsum", "MatMul", "Pad", "ReduceL2", "ReduceMean"))
"""Ops that have none for int64."""


def cpu_bound(model: onnx.ModelProto) -> list[str]:
    """Return 'name (op): why' for each node that CUDA would leave to the CPU; empty where it runs all of them.

    An op that the table does not know counts as one that CUDA lacks.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    types = _element_types(model)
    found = ((node, _reason(node, opset, types)) for node in model.graph.node)
    return [f"{node.name} ({node.op_type}): {reason}" for node, reason in found if reason]


def _reason(node: onnx.NodeProto, opset: int, types: Mapping[str, int]) -> str:
    if node.op_type == "Constant":  # becomes an initializer at load
        return ""
    if node.domain not in ("", "ai.onnx") or node.op_type not in PLACED:
        return "CUDA is not known to have it"
    if opset > UNTIL.get(node.op_type, opset):
        return f"CUDA has it up to opset {UNTIL[node.op_type]}, this is {opset}"
    if node.op_type in FLOAT_ONLY and node.input and types.get(node.input[0]) == TensorProto.INT64:
        return "CUDA does not have it for int64"
    return _conv_transpose(node) if node.op_type == "ConvTranspose" else ""


def _conv_transpose(node: onnx.NodeProto) -> str:
    attributes = {entry.name: entry for entry in node.attribute}
    if "auto_pad" in attributes and attributes["auto_pad"].s not in (b"", b"NOTSET"):
        return "CUDA takes no auto_pad"
    pads = list(attributes["pads"].ints) if "pads" in attributes else []
    half = len(pads) // 2
    return "CUDA takes symmetric pads only" if pads[:half] != pads[half:] else ""


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = int(value.type.tensor_type.elem_type)
    return types


def _pictures(op, opset=18, extra=(), element=TensorProto.FLOAT, **attributes):
    """A model of one node that reads pictures, and weights of ones for its other inputs."""
    weights = {f"w{i}": np.asarray(value) for i, value in enumerate(extra)}
    node = helper.make_node(op, ["x", *weights], ["y"], name="node", **attributes)
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"])], weights, {"x": [2, 3, 8, 8]}, {"y": ["a", "b", "c", "d"]}, opset=opset
    )
    proto.graph.node[0].CopyFrom(node)
    proto.graph.input[0].type.tensor_type.elem_type = element
    proto.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="y"))
    proto.ir_version = 8 if opset <= 18 else 10
    return proto


KERNEL = np.ones((3, 3, 2, 2), np.float32)
PADS = np.array([0, 0, 1, 1, 0, 0, -1, 1])
ONES = np.ones(3, np.float32)
LEFT_TO_THE_CPU = {
    "asymmetric pads": (_pictures("ConvTranspose", extra=[KERNEL], pads=[0, 0, 1, 1]), "symmetric pads only"),
    "automatic pads": (_pictures("ConvTranspose", extra=[KERNEL], auto_pad="SAME_UPPER"), "no auto_pad"),
    "new MaxPool": (_pictures("MaxPool", 22, kernel_shape=[2, 2]), "up to opset 21, this is 22"),
    "new Elu": (_pictures("Elu", 22), "up to opset 21"),
    "new Selu": (_pictures("Selu", 22), "up to opset 21"),
    "new Dropout": (_pictures("Dropout", 22), "up to opset 21"),
    "Celu": (_pictures("Celu"), "not known to have it"),
    "MaxUnpool": (
        _pictures("MaxUnpool", extra=[np.zeros((2, 3, 8, 8), np.int64)], kernel_shape=[1, 1]),
        "not known to have it",
    ),
    "padded integers": (_pictures("Pad", extra=[PADS], element=TensorProto.INT64), "not have it for int64"),
}

PLACED_THERE = {
    "symmetric pads": _pictures("ConvTranspose", extra=[KERNEL], pads=[1, 1, 1, 1]),
    "groups and dilations": _pictures("ConvTranspose", extra=[KERNEL[:, :1]], group=3, dilations=[2, 2]),
    "asymmetric Conv": _pictures("Conv", extra=[KERNEL], pads=[0, 0, 1, 1]),
    "MaxPool": _pictures("MaxPool", 21, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "Elu": _pictures("Elu", 21),
    "BatchNormalization": _pictures("BatchNormalization", 23, extra=[ONES, ONES, ONES, ONES]),
    "ArgMax": _pictures("ArgMax", 23, axis=1),
    "Gelu": _pictures("Gelu", 20),
    "Pad": _pictures("Pad", 23, extra=[PADS]),
    "add at indices": _pictures(
        "ScatterElements", extra=[np.zeros((2, 3, 8, 8), np.int64), np.ones((2, 3, 8, 8), np.float32)], reduction="add"
    ),
}
