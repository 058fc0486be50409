"""Arithmetic on shapes, as torch's older exporter writes it: `channels // 2` of a shape whose batch is not known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

Values = np.ndarray
"""Of dtype object: an int (int64 in the file), a np.float32, or None where it is not known before the model runs."""
Step = Callable[[list[Values], Mapping[str, Any]], Values]

_MOST, _LARGEST = 64, 2**62
"""How many values, and how large ones, a shape has, or the bounds of a slice."""


def known_sizes(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the int64 values, by tensor, that the graph computes from shapes and constants and that are all known.

    graph: with inferred shapes. Constants themselves are left out.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.input, *graph.value_info)}
    constants = dict(_constants(graph))
    values: dict[str, Values] = {}
    for node in graph.node:
        result = None
        if node.op_type == "Shape" and node.input[0] in shapes:
            result = _shape(shapes[node.input[0]], _attributes(node))
        elif node.op_type in _STEPS:
            operands = [values.get(name, constants.get(name)) for name in node.input]
            result = _compute(node, [operand for operand in operands if operand is not None], len(operands))
        if result is not None and result.size <= _MOST:
            values[node.output[0]] = result
    return {name: value.astype(np.int64) for name, value in values.items() if all(map(_is_size, value.ravel()))}


def put_sizes(graph: onnx.GraphProto, sizes: Mapping[str, np.ndarray]) -> None:
    """Make constants of the nodes that compute these values, in place."""
    for node in graph.node:
        if node.output[0] in sizes:
            tensor = onnx.numpy_helper.from_array(sizes[node.output[0]])
            node.CopyFrom(onnx.helper.make_node("Constant", [], list(node.output), name=node.name, value=tensor))


def _is_size(value: object) -> bool:
    return isinstance(value, int) and abs(value) < _LARGEST


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Values]]:
    for tensor in graph.initializer:
        yield from _value(tensor.name, tensor)
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                yield from _value(node.output[0], attribute.t)


def _value(name: str, tensor: onnx.TensorProto) -> Iterator[tuple[str, Values]]:
    outside = tensor.data_location == onnx.TensorProto.EXTERNAL
    if not outside and tensor.data_type in _CONVERT and len(tensor.dims) < 2 and sum(tensor.dims) <= _MOST:
        values = onnx.numpy_helper.to_array(tensor)
        yield name, np.asarray(np.frompyfunc(_CONVERT[tensor.data_type], 1, 1)(values), object)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _shape(dims: Any, attributes: Mapping[str, Any]) -> Values:
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
    return np.array(sizes, object)[attributes.get("start", 0) : attributes.get("end", len(sizes))]


def _compute(node: onnx.NodeProto, operands: list[Values], wanted: int) -> Values | None:
    if len(operands) != wanted:
        return None
    try:
        return np.asarray(_STEPS[node.op_type](operands, _attributes(node)), object)
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return None  # arithmetic with what is not known


def _elementwise(step: Callable[..., Any]) -> Step:
    """Do a step with numbers; with one that is not known the result is not either."""

    def known(*numbers: Any) -> Any:
        return None if None in numbers else step(*numbers)

    return lambda operands, attributes: np.frompyfunc(known, len(operands), 1)(*operands)


def _divide(a: Any, b: Any) -> Any:
    if not isinstance(a, int):
        return a / b
    if a < 0 or b < 0:
        raise ValueError("ONNX rounds towards 0")
    return a // b


_CONVERT: dict[int, Callable[[Any], Any]] = {onnx.TensorProto.INT64: int, onnx.TensorProto.FLOAT: np.float32}
"""Other types are not followed."""


def _cast(operands: list[Values], attributes: Mapping[str, Any]) -> Values:
    return _elementwise(_CONVERT[attributes["to"]])(operands, attributes)


def _slice(operands: list[Values], attributes: Mapping[str, Any]) -> Values:
    values, *bounds = operands
    start, end, step = (int(bound.item()) for bound in (*bounds[:2], bounds[3] if len(bounds) > 3 else _ONE))
    return values[start:end:step]


_ONE = np.array(1, object)


_STEPS: dict[str, Step] = {
    "Gather": lambda operands, attributes: operands[0][operands[1].astype(np.int64)],
    "Slice": _slice,
    "Concat": lambda operands, attributes: np.concatenate(operands),
    "Unsqueeze": lambda operands, attributes: operands[0].reshape(1) if operands[0].ndim == 0 else _refuse(),
    "Squeeze": lambda operands, attributes: operands[0].reshape(()),
    "Add": _elementwise(operator.add),
    "Sub": _elementwise(operator.sub),
    "Mul": _elementwise(operator.mul),
    "Div": _elementwise(_divide),
    "Floor": _elementwise(np.floor),
    "Cast": _cast,
}


def _refuse() -> Values:
    raise ValueError("only vectors are shapes")
