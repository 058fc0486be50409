"""The forward pass in float16, the relevance pass in float32.

Only what leads to the model's output changes its type. Weights stay float32 initializers, which the
relevance pass shares, behind a Cast that runtimes fold at load; every tensor that is read outside the
forward pass is cast back under its own name, so that inputs, outputs and taps stay float32.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
import onnx.shape_inference
from onnx import NodeProto, TensorProto, helper

_STAY = frozenset(("Cast", "Constant", "ConstantOfShape", "Resize"))
"""Ops that stay float32: an attribute, or an input that must be float32, fixes their type."""


def half_forward(model: onnx.ModelProto) -> onnx.ModelProto:
    """Run the nodes that the first output depends on in float16; the model is changed in place.

    Float32 tensors are rounded to 11 bits of mantissa. What exceeds 65504 becomes infinite, and the
    explanation's health counts it.
    """
    forward = _leading_to(model.graph, model.graph.output[0].name)
    writer = _Writer(model, forward)
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    _drop_stale_shapes(model.graph)
    return model


class _Writer:
    """Rewrite nodes in order; `nodes` is the result."""

    def __init__(self, model: onnx.ModelProto, forward: Collection[str]) -> None:
        self.nodes: list[NodeProto] = []
        self._floats = _float_tensors(model)
        self._halved: set[str] = set()
        """Tensors that exist in float16, under `_half_name`."""
        halves = [node for node in model.graph.node if node.output[0] in forward and node.op_type not in _STAY]
        chosen = {node.output[0] for node in halves}
        others = [node for node in model.graph.node if node.output[0] not in chosen]
        self._wanted = {name for node in others for name in node.input} | {value.name for value in model.graph.output}
        for node in list(model.graph.node):
            self._halve(node) if node.output[0] in chosen else self.nodes.append(node)

    def _halve(self, node: NodeProto) -> None:
        made = NodeProto()
        made.CopyFrom(node)
        made.input[:] = [self._read(name, node) for name in node.input]
        made.output[:] = [_half_name(name) if name in self._floats else name for name in node.output]
        self.nodes.append(made)
        for name in self._floats.intersection(node.output):
            self._halved.add(name)
            if name in self._wanted:
                self._cast(_half_name(name), name, TensorProto.FLOAT, node)

    def _read(self, name: str, reader: NodeProto) -> str:
        if name not in self._floats:
            return name
        if name not in self._halved:
            self._halved.add(name)
            self._cast(name, _half_name(name), TensorProto.FLOAT16, reader)
        return _half_name(name)

    def _cast(self, source: str, result: str, to: int, layer: NodeProto) -> None:
        node = helper.make_node("Cast", [source], [result], name=f"{result}/cast", to=to)
        node.metadata_props.extend(layer.metadata_props)
        self.nodes.append(node)


def _half_name(tensor: str) -> str:
    return f"{tensor}/float16"


def _leading_to(graph: onnx.GraphProto, output: str) -> set[str]:
    """Return the first outputs of the nodes that a tensor depends on."""
    wanted, found = {output}, set()
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.add(node.output[0])
    return found


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    values = (*graph.input, *graph.value_info, *graph.output)
    return floats | {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}


def _drop_stale_shapes(graph: onnx.GraphProto) -> None:
    """Forget the shapes of tensors that exist in float16 only."""
    computed = {name for node in graph.node for name in node.output}
    kept = [value for value in graph.value_info if value.name in computed]
    del graph.value_info[:]
    graph.value_info.extend(kept)
