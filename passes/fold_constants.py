"""Constant nodes, constant expressions and computed shapes become initializers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.shape_inference
import onnx_graphsurgeon as gs
import onnxruntime as ort

from passes.graph import Graph, constant, edited, redirect, static_shape

_LARGEST = 1 << 20
"""Results of more elements than this stay expressions: folding must not make the file grow."""

_TENSOR_ATTRIBUTES = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
_NONDETERMINISTIC = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}


def fold_constants(graph: Graph) -> Graph:
    """Turn constants, constant expressions and computed shapes into initializers.

    Needs inferred shapes.  Gives: no Constant node, no node whose inputs are all constant, and no
    Reshape or Expand with a computed target where the result has at most one dynamic axis.
    Keeps: results of more than a million elements, random ops, control flow.
    """
    return edited(graph, _fold)


def _fold(graph: Graph) -> bool:
    changed = False
    outputs = {id(output) for output in graph.outputs}
    for node in graph.nodes:
        changed |= _fix_target(node)
        if any(id(output) in outputs for output in node.outputs):
            continue
        values = _evaluate(node, graph.opset)
        if values is not None and all(value.size <= _LARGEST for value in values):
            for output, value in zip(node.outputs, values, strict=True):
                value.flags.writeable = False
                redirect(graph, output, gs.Constant(output.name, value))
                output.name = f"{output.name}/folded"
            changed = True
    return changed


def _fix_target(node: gs.Node) -> bool:
    """Replace the computed target of a Reshape by the shape that was inferred for its result."""
    if node.op != "Reshape" or len(node.inputs) < 2 or constant(node.inputs[1]) is not None:
        return False
    shape = static_shape(node.outputs[0])
    if shape is None or shape.count(None) > 1 or 0 in shape:
        return False
    target = np.array([-1 if size is None else size for size in shape], np.int64)
    node.inputs[1] = gs.Constant(f"{node.outputs[0].name}/shape", target)
    node.attrs.pop("allowzero", None)
    return True


def _evaluate(node: gs.Node, opset: int) -> list[np.ndarray] | None:
    """Return a node's results where they do not depend on the model's input."""
    if node.op == "Constant":
        return _literal(node)
    if node.op == "Shape":
        return _static_shape(node)
    if not node.inputs or node.domain not in (None, "", "ai.onnx") or node.op in _NONDETERMINISTIC:
        return None
    if any(constant(tensor) is None and not tensor.is_empty() for tensor in node.inputs):
        return None
    if any(isinstance(value, gs.Graph) for value in node.attrs.values()):
        return None
    return _run(node, opset)


def _literal(node: gs.Node) -> list[np.ndarray] | None:
    for key, dtype in _TENSOR_ATTRIBUTES.items():
        if key in node.attrs:
            value = node.attrs[key]
            return [np.array(value.values if dtype is None else value, dtype)]
    return None


def _static_shape(node: gs.Node) -> list[np.ndarray] | None:
    shape = static_shape(node.inputs[0])
    if shape is None:
        return None
    part = shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))]
    return None if None in part else [np.array(part, np.int64)]


def _run(node: gs.Node, opset: int) -> list[np.ndarray] | None:
    outputs = [gs.Variable(f"out{index}") for index in range(len(node.outputs))]
    feeds = {f"in{i}": constant(t) for i, t in enumerate(node.inputs) if not t.is_empty()}
    inputs = [
        gs.Variable.empty() if t.is_empty() else gs.Variable(f"in{i}", t.dtype, t.shape)
        for i, t in enumerate(node.inputs)
    ]
    copy = gs.Node(node.op, "folded", dict(node.attrs), inputs, outputs)
    graph = gs.Graph([copy], [t for t in inputs if not t.is_empty()], outputs, opset=opset)
    proto = gs.export_onnx(graph, do_type_check=False)
    proto.ir_version = 8
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(_typed(proto).SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [np.array(value) for value in session.run(None, feeds)]
    except Exception:  # an op that the CPU cannot run stays in the graph, where it is reported by name
        return None


def _typed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give the outputs of a one-node model the types that inference finds."""
    names = [output.name for output in proto.graph.output]
    del proto.graph.output[:]
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    known = {value.name: value for value in inferred.graph.value_info}
    proto.graph.output.extend(known[name] for name in names)
    return proto
