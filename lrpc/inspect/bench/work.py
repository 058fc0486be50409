"""How much arithmetic a graph asks for, whoever runs it: multiplications in convolutions and dense layers.

They are nearly all of the time that a good runtime needs, so an explanation of 3.3 forwards of them can
hardly take less than 3.3 forward passes: that is its floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx
import onnx.shape_inference

from lrpc.bundle.names import HEALTH, RELEVANCE, TRACE
from passes.errors import LrpcError

_OWN = (RELEVANCE, HEALTH, TRACE)
"""The outputs of an explanation graph that are not the model's."""

Sizes = tuple[int, ...]


def convolution_work(explain: onnx.ModelProto) -> float:
    """Return the multiplications of an explanation graph (forward pass included) in units of its forward pass.

    explain: explain.onnx, with or without its weights; its input has a fixed size, the batch counts as 1.
    Counted: Conv, ConvTranspose, Gemm and MatMul, unless they read constants alone: those run at load.
    0 for a model without any.  Raises LrpcError where a size is unknown.
    """
    inferred = onnx.shape_inference.infer_shapes(explain, data_prop=True).graph
    work = _work_by_node(inferred)
    outputs = [value.name for value in inferred.output if value.name not in _OWN]
    forward = sum(work[index] for index in _above(inferred, outputs))
    return sum(work) / forward if forward else 0.0


def _work_by_node(graph: onnx.GraphProto) -> list[int]:
    sizes = _sizes(graph)
    known = {tensor.name for tensor in graph.initializer}
    work = []
    for node in graph.node:
        if all(name in known for name in node.input):
            known.update(node.output)
        counted = node.op_type in _COUNTS and node.output[0] not in known
        work.append(_multiplications(node, sizes) if counted else 0)
    return work


def _multiplications(node: onnx.NodeProto, sizes: dict[str, Sizes]) -> int:
    names = (*node.input[:2], node.output[0])
    if missing := [name for name in names if name not in sizes]:
        raise LrpcError(f"The size of {missing[0]} is unknown.", hint="Give the model a fixed input size.")
    return _COUNTS[node.op_type](node, *(sizes[name] for name in names))


def _conv(node: onnx.NodeProto, x: Sizes, w: Sizes, y: Sizes) -> int:
    return math.prod(y) * math.prod(w[1:])


def _conv_transpose(node: onnx.NodeProto, x: Sizes, w: Sizes, y: Sizes) -> int:
    return math.prod(x) * math.prod(w[1:])


def _gemm(node: onnx.NodeProto, x: Sizes, w: Sizes, y: Sizes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(y) * x[0 if transposed else 1]


def _matmul(node: onnx.NodeProto, x: Sizes, w: Sizes, y: Sizes) -> int:
    return math.prod(y) * x[-1]


_COUNTS: dict[str, Callable[[onnx.NodeProto, Sizes, Sizes, Sizes], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _sizes(graph: onnx.GraphProto) -> dict[str, Sizes]:
    """Return every shape that is known but for the batch, which counts as 1."""
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        dims = value.type.tensor_type.shape.dim
        axes = [dim.dim_value if dim.dim_value else 1 if axis == 0 else 0 for axis, dim in enumerate(dims)]
        if all(axes) and value.type.tensor_type.HasField("shape"):
            sizes.setdefault(value.name, tuple(axes))
    return sizes


def _above(graph: onnx.GraphProto, outputs: list[str]) -> list[int]:
    """Return the places of the nodes that some outputs are computed by."""
    wanted, found = set(outputs), []
    for index, node in reversed(list(enumerate(graph.node))):
        if wanted & set(node.output):
            wanted.update(node.input)
            found.append(index)
    return found
