"""Forms of opsets below 7 that onnx's version converter leaves as they are, though they mean something else later."""

from __future__ import annotations

import onnx
import onnx.shape_inference

_BROADCAST_FROM_THE_RIGHT = 7


def old_forms(proto: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return a model that the converter can take on; the same object where there is nothing to do.

    PRelu below opset 7 has a slope for each channel, a vector; later it is broadcast, from the right.
    """
    if version >= _BROADCAST_FROM_THE_RIGHT or all(node.op_type != "PRelu" for node in proto.graph.node):
        return proto
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    ranks = _ranks(proto)
    weights = {tensor.name: tensor for tensor in changed.graph.initializer}
    for node in changed.graph.node:
        slope = weights.get(node.input[1]) if node.op_type == "PRelu" else None
        rank = ranks.get(node.input[0], 0) if slope is not None else 0
        if slope is not None and len(slope.dims) == 1 and slope.dims[0] > 1 and rank > 2:
            slope.dims.extend([1] * (rank - 2))
    return changed


def _ranks(proto: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(proto).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in known}
