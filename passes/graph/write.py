"""From a graph to a ModelProto: plain ai.onnx at the graph's opset, metadata back in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping

import numpy as np
import onnx
import onnx.helper
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import LazyValues

from passes.graph import Graph, Module

LARGEST = 2**31 - 2**26
"""Bytes of weights that one message of protobuf, which ends at 2 GB, can hold beside nodes and metadata."""
_SMALL = 1024

_SINCE = {"Gelu": 20, "Swish": 1_000, "Mish": 1_000}
"""The opset from which an activation is written as itself, not as arithmetic.

ONNX has Swish since 24, but ONNX Runtime no kernel for it yet; few runtimes have one for Mish.
"""


def to_proto(
    graph: Graph,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    weights: Container[str] | None = None,
) -> onnx.ModelProto:
    """Write the graph as a ModelProto, self-contained unless its constants are more than `LARGEST`.

    notes: metadata for single nodes, by name, in the place of what their layer is known by.
    Of what is larger, the proto names the weights of two and more axes and leaves out their values, as if they were in
    a file of no name: they are the graph's constants of these names (`left_out`).
    weights: the names of those that may be left out; None: all constants.
    """
    graph = _spell_out(graph)
    graph = _without_values(graph, weights) if _bytes(graph) > LARGEST else graph
    proto: onnx.ModelProto = gs.export_onnx(graph.body, do_type_check=False)
    proto.ir_version = _oldest_ir(graph.opset)
    proto.graph.name = graph.name
    for key, value in graph.metadata.items():
        proto.metadata_props.add(key=key, value=value)
    for node in proto.graph.node:
        note = (notes or {}).get(node.name) or _description(node.name, graph.modules.get(node.name, Module()))
        for key, value in note.items():
            node.metadata_props.add(key=key, value=value)
    return proto


def left_out(proto: onnx.ModelProto) -> list[str]:
    """Return the names of the weights whose values `to_proto` left out, none where it is self-contained."""
    return [t.name for t in proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]


def weights_of(graph: Graph) -> dict[str, np.ndarray]:
    """Return the graph's constants by name: what `to_proto` may leave out is among them."""
    return {tensor.name: tensor.values for tensor in graph.body.tensors().values() if isinstance(tensor, gs.Constant)}


def _bytes(graph: Graph) -> int:
    return sum(values.nbytes for values in weights_of(graph).values())


def _without_values(graph: Graph, weights: Container[str] | None) -> Graph:
    copy = graph.copy()
    constants = [tensor for tensor in copy.body.tensors().values() if isinstance(tensor, gs.Constant)]
    for tensor in constants:
        if weights is not None and tensor.name not in weights:
            continue
        if tensor.values.ndim > 1 and tensor.values.nbytes >= _SMALL:
            kind = onnx.helper.np_dtype_to_tensor_dtype(tensor.values.dtype)
            left = onnx.TensorProto(name=tensor.name, data_type=kind, dims=tensor.values.shape)
            left.data_location = onnx.TensorProto.EXTERNAL
            tensor.values = LazyValues(left)
    return copy


def _oldest_ir(opset: int) -> int:
    """Return the ir_version that an opset was released with: runtimes of that age read nothing newer."""
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)], ignore_unknown=True))


def _description(layer: str, module: Module) -> dict[str, str]:
    entries = {"lrpc.layer": layer}
    if module.type:
        entries["lrpc.module"] = module.type
    if module.leaf_index is not None:
        entries["lrpc.leaf_index"] = str(module.leaf_index)
    return entries


def _spell_out(graph: Graph) -> Graph:
    """Spell an activation as arithmetic where the opset does not have it yet."""
    late = {op for op, opset in _SINCE.items() if graph.opset < opset}
    if not any(node.op in late for node in graph.nodes):
        return graph
    copy = graph.copy()
    copy.body.nodes = [part for node in copy.nodes for part in (_spell(node) if node.op in late else [node])]
    return copy


def _spell(node: gs.Node) -> list[gs.Node]:
    """Return x times what the activation multiplies x by."""
    x, y = node.inputs[0], node.outputs[0]
    made: list[gs.Node] = []

    def step(op: str, role: str, *operands: gs.Tensor | float) -> gs.Tensor:
        name = f"{node.name}/{role}"
        inputs = [
            o if isinstance(o, gs.Tensor) else gs.Constant(f"{name}/{i}", np.array(o, np.float32))
            for i, o in enumerate(operands)
        ]
        made.append(gs.Node(op, name, {}, inputs, [gs.Variable(name, x.dtype, x.shape)]))
        return made[-1].outputs[0]

    factor = {"Swish": _swish_factor, "Mish": _mish_factor, "Gelu": _gelu_factor}[node.op](node, x, step)
    node.inputs.clear()
    node.outputs.clear()
    return [*made, gs.Node("Mul", node.name, {}, [x, factor], [y])]


Step = Callable[..., gs.Tensor]


def _swish_factor(node: gs.Node, x: gs.Tensor, step: Step) -> gs.Tensor:
    return step("Sigmoid", "sigmoid", x)


def _mish_factor(node: gs.Node, x: gs.Tensor, step: Step) -> gs.Tensor:
    return step("Tanh", "tanh", step("Softplus", "softplus", x))


def _gelu_factor(node: gs.Node, x: gs.Tensor, step: Step) -> gs.Tensor:
    """(1 + erf(x / sqrt(2))) / 2, or (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2."""
    if node.attrs.get("approximate", "none") == "tanh":
        cubic = step("Mul", "cubic", step("Mul", "cube", step("Mul", "square", x, x), x), 0.044715)
        inner = step("Tanh", "tanh", step("Mul", "scaled", step("Add", "sum", x, cubic), math.sqrt(2 / math.pi)))
    else:
        inner = step("Erf", "erf", step("Mul", "scaled", x, math.sqrt(0.5)))
    return step("Mul", "half", step("Add", "shifted", inner, 1.0), 0.5)
