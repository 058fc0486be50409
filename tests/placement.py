"""Which nodes of a graph CUDA would leave to the CPU, told from the graph alone.

Opening a session on CUDA finds this out for certain, and refuses (`lrpc.runtime.session`); here it is told without the
provider. The table is ONNX Runtime 1.31's answer for one-node models of each op at opsets 18 to 23, and
tests/test_cuda.py asks it again.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.shape_inference
from onnx import TensorProto

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
