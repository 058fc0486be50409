"""Every shape of a model that can be known before it runs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx
import onnx.numpy_helper
import onnx.shape_inference

from passes.errors import LrpcError
from passes.loading.shape_values import known_sizes, put_sizes
from passes.numbers import short

_TARGETS = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0}
"""Which operand tells how large the result is."""
_MOST_VALUES, _LONGEST_SHAPE = 1 << 28, 64
_LONGEST_VECTOR = 1 << 22
"""Inference follows the values of vectors, and writes each of them down."""
_INVENTED = "unk__"
"""How shape inference, and some exporters, name an axis of which they know nothing."""


def name_dynamic_axes(proto: onnx.ModelProto) -> None:
    """Give each axis of the inputs that has no size a name, in place, so that inference can follow it."""
    for value in proto.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.dim_param and dim.dim_value <= 0:
                dim.dim_param = "batch" if axis == 0 else f"{value.name}_axis{axis}"
    for value in proto.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.dim_param and dim.dim_value <= 0:
                dim.Clear()


def declare_outputs(proto: onnx.ModelProto, label: str) -> None:
    """Give the outputs for which a file states no type or shape, as runtimes allow, the inferred ones, in place."""
    bare = [
        v for v in proto.graph.output if not v.type.tensor_type.HasField("shape") or not v.type.tensor_type.elem_type
    ]
    if not bare:
        return
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    known = {value.name: value for value in inferred.graph.output}
    for value in bare:
        if not known[value.name].type.tensor_type.HasField("shape"):
            raise LrpcError(
                f"The output {value.name} of {label} has no shape, and none can be inferred.",
                hint="Export the model with the shapes of its outputs.",
            )
        value.CopyFrom(known[value.name])


def refuse_absurd_targets(proto: onnx.ModelProto, label: str) -> None:
    """Raise LrpcError where a constant shape is of more values than any machine holds: inference would write them."""
    known = dict(_constants(proto.graph))
    for node in proto.graph.node:
        operand = node.input[_TARGETS[node.op_type]] if len(node.input) > _TARGETS.get(node.op_type, 99) else ""
        target = known.get(operand, [])
        size = math.prod(abs(value) for value in target if value not in (0, -1))
        if node.op_type == "Range":
            target, size = [0], _length([known.get(name, []) for name in node.input])
        if size > (_MOST_VALUES if len(target) > 1 else _LONGEST_VECTOR):
            raise LrpcError(
                f"{node.op_type} {node.name or node.output[0]!r} of {label} makes a tensor of {short(size)} values.",
                hint="The file is damaged; export or download it again.",
            )


def _length(bounds: list[list[int]]) -> int:
    """Return how many values a Range of constants has, 0 where they are not known."""
    if len(bounds) != 3 or any(len(bound) != 1 for bound in bounds) or bounds[2] == [0]:
        return 0
    (start,), (end,), (step,) = bounds
    return max(0, -((start - end) // step))


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, list[int]]]:
    """Yield small constant vectors of integers, by name."""
    for tensor in graph.initializer:
        yield from _integers(tensor.name, tensor)
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name in ("value_ints", "value_int"):
                yield node.output[0], list(attribute.ints) or [attribute.i]
            elif attribute.name == "value":
                yield from _integers(node.output[0], attribute.t)


def _integers(name: str, tensor: onnx.TensorProto) -> Iterator[tuple[str, list[int]]]:
    short = len(tensor.dims) < 2 and math.prod(tensor.dims) <= _LONGEST_SHAPE
    if short and tensor.data_type == onnx.TensorProto.INT64 and tensor.data_location != onnx.TensorProto.EXTERNAL:
        yield name, onnx.numpy_helper.to_array(tensor).ravel().tolist()


def with_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with inferred shapes; what it computes from known ones becomes constants, which tell more.

    What the file says of inner tensors counts only where inference knows nothing: exporters give each
    of them its own name for one and the same dynamic axis.
    """
    inferred = _infer(proto)
    while sizes := known_sizes(inferred.graph):
        put_sizes(inferred.graph, sizes)
        inferred = _infer(inferred)
    return inferred


def _infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    stated = {value.name: value for value in proto.graph.value_info}
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    told = _statements(inferred.graph, stated)
    if told:
        bare.graph.value_info.extend(told)
        inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    _name_kept_axes(inferred.graph)
    return inferred


def _name_kept_axes(graph: onnx.GraphProto) -> None:
    """Give an axis that a Resize leaves as it is the name that it had before, in place: inference invents one."""
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    names: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "Resize" or len(node.input) < 3 or node.input[2] not in weights:
            continue
        scales = onnx.numpy_helper.to_array(weights[node.input[2]]).ravel()
        before, after = (shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        if len(scales) == len(before) == len(after):
            axes = zip(scales, before, after, strict=True)
            kept = {new.dim_param: names.get(old.dim_param, old.dim_param) for s, old, new in axes if s == 1}
            names |= {new: old for new, old in kept.items() if old and new.startswith(_INVENTED)}
    for dim in (dim for shape in shapes.values() for dim in shape if dim.dim_param in names):
        dim.dim_param = names[dim.dim_param]


def _statements(graph: onnx.GraphProto, stated: dict[str, onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    """Return what the file states and inference does not know, each with all that is known of it."""
    symbols = {dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim}
    inferred = {value.name: value for value in graph.value_info}
    told = []
    for name, value in stated.items():
        ours, theirs = inferred.get(name, value).type.tensor_type, value.type.tensor_type
        if name not in inferred or (theirs.HasField("shape") and not ours.HasField("shape")):
            told.append(value)
            continue
        axes = list(zip(ours.shape.dim, theirs.shape.dim, strict=False))
        better = [(dim, other) for dim, other in axes if _unknown(dim) and _useful(other, symbols)]
        for dim, other in better:
            dim.CopyFrom(other)
        if better:
            told.append(inferred[name])
    return told


def _unknown(dim: onnx.TensorShapeProto.Dimension) -> bool:
    return not dim.HasField("dim_value") and (not dim.dim_param or dim.dim_param.startswith(_INVENTED))


def _useful(dim: onnx.TensorShapeProto.Dimension, symbols: set[str]) -> bool:
    return dim.dim_value > 0 or (bool(dim.dim_param) and dim.dim_param in symbols)
