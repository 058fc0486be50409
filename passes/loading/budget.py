"""How large a run of a model would be, told from its shapes before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx
import onnx.shape_inference

from passes.errors import LrpcError
from passes.numbers import short, short_list

MOST_VALUES = 1 << 27
"""Of one tensor: 0.5 GB of float32. The largest layer of VGG-19 has 411 MB."""
MOST_STEPS = 1 << 36
"""Multiplications, or comparisons of a pool, of one layer: about ten seconds."""
MOST_INTERPRETED = 1 << 25
"""Values that the windows of one layer hold together where onnx's reference implementation runs it.

It writes all of them down with their places, 50 bytes a value. The largest layer of VGG-16 has 29 million.
"""


def refuse_large_run(
    proto: onnx.ModelProto, sizes: Mapping[str, Sequence[int]], hint: str, interpreted: bool = False
) -> None:
    """Raise LrpcError where running a model would make a tensor or take a layer that is beyond the budget.

    sizes: the shape of what each input would be given.  What inference cannot know is not counted.
    interpreted: onnx's reference implementation runs the model, not ONNX Runtime.
    """
    shapes = _shapes(proto, sizes)
    for node in proto.graph.node:
        for name in (*node.input, *node.output):
            if (count := math.prod(shapes.get(name, ()))) > MOST_VALUES:
                raise LrpcError(
                    f"Running the model would take a tensor of {short(count)} values, {short_list(shapes[name])}, "
                    f"at {node.op_type} {node.name or name!r}.",
                    hint=hint,
                )
        place = f"at {node.op_type} {node.name or node.output[0]!r}" if node.output else ""
        if (steps := _steps(node, shapes)) > MOST_STEPS:
            raise LrpcError(f"Running the model would take {short(steps)} steps {place}.", hint=hint)
        if interpreted and (values := _window_values(node, steps, shapes)) > MOST_INTERPRETED:
            raise LrpcError(
                f"Only onnx's reference implementation runs the model's opset, and it would write down {short(values)} "
                f"values {place}, more than fits.",
                hint=hint,
            )


def _shapes(proto: onnx.ModelProto, sizes: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Infer every shape that can be known; axes that stay unknown count as 1."""
    fed = onnx.ModelProto()
    fed.CopyFrom(proto)
    for value in fed.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False):
            dim.dim_value = size
    for value in fed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fed.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(fed, data_prop=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    known = {v.name: [max(d.dim_value, 1) for d in v.type.tensor_type.shape.dim] for v in values}
    return known | {tensor.name: list(tensor.dims) for tensor in inferred.initializer}


def _steps(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> int:
    """Return how many products, or comparisons, a layer takes: its results times the positions of its window."""
    made = math.prod(shapes.get(node.output[0], ())) if node.output else 0
    operand = shapes.get(node.input[1], []) if len(node.input) > 1 else []
    if node.op_type == "Conv":
        return made * math.prod(operand[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes.get(node.input[0], ())) * math.prod(operand[1:])
    if node.op_type in ("MatMul", "Gemm"):
        return made * max(shapes.get(node.input[0], [1])[-2:], default=1)
    windows = [attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"]
    return made * math.prod(abs(size) for size in windows[0]) if windows else made


def _window_values(node: onnx.NodeProto, steps: int, shapes: Mapping[str, list[int]]) -> int:
    """Return how many values the windows of a convolution or a pool hold: each of its maps reads them anew."""
    if node.op_type != "Conv":
        return steps if any(attribute.name == "kernel_shape" for attribute in node.attribute) else 0
    return steps // max(shapes.get(node.input[1], [1])[0], 1)
