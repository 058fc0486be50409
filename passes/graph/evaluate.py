"""What a single node computes, where that does not depend on the model's input."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx.shape_inference
import onnx_graphsurgeon as gs
import onnxruntime as ort

from passes.graph import LITERALS, constant, kind, producer, static_shape

_ENLARGING = {"ConstantOfShape", "EyeLike", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"}
"""Their results can be larger than what they come from by any factor."""
_RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
_WIDEST = 8
_LARGEST_FILL = 1 << 30
_MOST_READ = 1 << 28
"""More bytes than this are not written out for an op to read, where they are stored as one value."""
_MOST_STEPS = 1 << 36
"""Multiplications that a product of constants may take: seconds."""
_UNKNOWN = -(1 << 40)
"""Stands for a dynamic axis where a part of a shape is read; no axis has this size."""


def evaluate(node: gs.Node, opset: int, largest: int) -> list[np.ndarray] | None:
    """Return a node's results where they do not depend on the model's input.

    largest: more bytes than this are not computed where an op makes them from less.
    """
    if kind(node) == "Constant":
        return _literal(node)
    if kind(node) in ("Shape", "Size"):
        return _known_size(node)
    if kind(node) == "CastLike":
        value, dtype = constant(node.inputs[0]), node.inputs[1].dtype
        return None if value is None or not isinstance(dtype, np.dtype) else [np.array(value, dtype)]
    values = _known_inputs(node)
    if values is None:
        return None
    if node.op == "ConstantOfShape":
        return _fill(node, values[0])
    if not _is_small(node, values, largest):
        return None
    results = _run(node, values, opset)
    if results is None or any(result.dtype == np.int64 and (result == _UNKNOWN).any() for result in results):
        return None
    return results


def is_random(node: gs.Node) -> bool:
    """Whether an op gives other values each time."""
    return kind(node) in _RANDOM


def _known_inputs(node: gs.Node) -> list[np.ndarray | None] | None:
    """Return what a node of the standard operators reads, None for an input left out; None where it is unknown."""
    if not node.inputs or kind(node) != node.op or node.op in _RANDOM:
        return None
    if any(isinstance(value, gs.Graph) for value in node.attrs.values()):
        return None
    values = [None if tensor.is_empty() else constant(tensor) for tensor in node.inputs]
    if node.op in ("Gather", "Slice") and values[0] is None:
        values[0] = _shape_with_marks(node.inputs[0])
    missing = any(value is None and not t.is_empty() for value, t in zip(values, node.inputs, strict=True))
    return None if missing else values


def _literal(node: gs.Node) -> list[np.ndarray] | None:
    for key, dtype in LITERALS.items():
        if key in node.attrs:
            value = node.attrs[key]
            return [np.array(value.values if dtype is None else value, dtype)]
    return None


def _fill(node: gs.Node, sizes: np.ndarray | None) -> list[np.ndarray] | None:
    """Return one value at every position, stored once: networks without their weights are written so."""
    fill = np.asarray(node.attrs["value"].values) if "value" in node.attrs else np.zeros(1, np.float32)
    shape = [int(size) for size in np.atleast_1d(sizes)] if sizes is not None else [-1]
    if min(shape, default=0) < 0 or math.prod(shape) * fill.itemsize > _LARGEST_FILL:
        return None
    return [np.broadcast_to(fill.reshape(()), shape)]


def _is_small(node: gs.Node, values: list[np.ndarray | None], largest: int) -> bool:
    """Whether what a node reads and writes fits into the budget, as far as inference knows."""
    given = [value for value in values if value is not None]
    source = sum(map(stored_bytes, given))
    if sum(value.nbytes for value in given) > max(_MOST_READ, source):
        return False
    if node.op in ("MatMul", "Gemm") and math.prod((*given[0].shape, *given[1].shape[-1:])) > _MOST_STEPS:
        return False
    shapes = [static_shape(output) for output in node.outputs if not output.is_empty()]
    known = [math.prod(size for size in shape if size is not None) for shape in shapes if shape and None not in shape]
    if node.op in _ENLARGING and len(known) < len(shapes):
        return False
    return sum(known) <= max(largest, source) // (_WIDEST if node.op in _ENLARGING else 1)


def stored_bytes(value: np.ndarray) -> int:
    """Return how many bytes an array holds in memory: one value that is shown at every position is one value."""
    own = math.prod(size for size, step in zip(value.shape, value.strides, strict=True) if step)
    return int(own * value.itemsize)


def _known_size(node: gs.Node) -> list[np.ndarray] | None:
    shape = static_shape(node.inputs[0])
    if shape is None:
        return None
    part = shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))]
    if None in part:
        return None
    sizes = np.array(part, np.int64)
    return [sizes if node.op == "Shape" else np.array(sizes.prod())]


def _shape_with_marks(tensor: gs.Tensor) -> np.ndarray | None:
    """Return the result of a Shape, with a mark on each dynamic axis."""
    node = producer(tensor)
    shape = static_shape(node.inputs[0]) if node is not None and kind(node) == "Shape" else None
    if node is None or shape is None:
        return None
    part = shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))]
    return np.array([_UNKNOWN if size is None else size for size in part], np.int64)


def _run(node: gs.Node, values: list[np.ndarray | None], opset: int) -> list[np.ndarray] | None:
    """Compute one node on the CPU, None where ONNX Runtime cannot."""
    feeds = {f"in{index}": value for index, value in enumerate(values) if value is not None}
    inputs = {name: gs.Variable(name, value.dtype, value.shape) for name, value in feeds.items()}
    operands = [inputs.get(f"in{index}", gs.Variable.empty()) for index in range(len(values))]
    outputs = [gs.Variable(f"out{index}") for index in range(len(node.outputs))]
    copy = gs.Node(node.op, "folded", dict(node.attrs), operands, outputs)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        proto = gs.export_onnx(gs.Graph([copy], list(inputs.values()), outputs, opset=opset), do_type_check=False)
        proto.ir_version = 8
        session = ort.InferenceSession(
            _add_types(proto).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [np.array(value) for value in session.run(None, feeds)]
    except Exception:  # an op that the CPU cannot run stays in the graph, where it is reported by name
        return None


def _add_types(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give the outputs of a one-node model the types that inference finds."""
    names = [output.name for output in proto.graph.output]
    del proto.graph.output[:]
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    known = {value.name: value for value in inferred.graph.value_info}
    proto.graph.output.extend(known[name] for name in names)
    return proto
