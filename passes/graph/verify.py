"""Whether a graph is well formed: what every pass may count on, and must leave true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, kind, subgraph_nodes

_ONE_TYPE = {
    *("Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "ConvTranspose", "Div", "Erf", "Gelu", "Gemm"),
    *("GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization"),
    *("LayerNormalization", "LeakyRelu", "MatMul", "Max", "Mean", "Min", "Mish", "Mul", "PRelu", "Relu", "Sigmoid"),
    *("Softmax", "Softplus", "Sub", "Sum", "Swish", "Tanh", "Transpose"),
}
"""Ops all of whose operands and results have one type."""
_POSITIONS = {
    "Expand": (1,),
    "Gather": (1,),
    "GatherND": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
"""Operands that are whole numbers, by op."""


def verify(graph: Graph) -> list[Problem]:
    """Return what is not well formed in a graph, nothing where all is.

    Nodes have names of their own, stand once and in topological order; so do tensors have names of their own. What a
    node reads is an input, a constant or the result of one node before it; what reads a tensor is in the graph.
    Outputs are there. Constants are read-only. Operands agree in their types, where these are known.
    """
    return [*_name_problems(graph), *_order_problems(graph), *_link_problems(graph), *_tensor_problems(graph)]


def _name_problems(graph: Graph) -> Iterator[Problem]:
    counts = Counter(node.name for node in graph.nodes)
    for node in graph.nodes:
        if not node.name:
            yield Problem("", node.op, "a node without a name")
        elif counts[node.name] > 1:
            yield Problem(node.name, node.op, f"{counts[node.name]} nodes have its name")
    first: dict[str, gs.Tensor] = {}
    for tensor in _tensors(graph):
        if first.setdefault(tensor.name, tensor) is not tensor:
            yield Problem(tensor.name, "", "two tensors have this name")


def _order_problems(graph: Graph) -> Iterator[Problem]:
    """Yield what is read before it is there, or never is."""
    there, top = {id(tensor) for tensor in graph.inputs}, {id(node) for node in graph.nodes}
    for node in graph.nodes:
        inner = (tensor for part in subgraph_nodes(node) for tensor in part.inputs)
        from_outside = [tensor for tensor in inner if tensor.inputs and id(tensor.inputs[0]) in top]
        for tensor in (*node.inputs, *from_outside):
            if not isinstance(tensor, gs.Constant) and not tensor.is_empty() and id(tensor) not in there:
                yield Problem(node.name, node.op, f"it reads {tensor.name}, which nothing before it computes")
        for output in node.outputs:
            if id(output) in there:
                yield Problem(node.name, node.op, f"it computes {output.name}, which is there before it")
            there.add(id(output))
        if not node.outputs:
            yield Problem(node.name, node.op, "it computes nothing")
    if not graph.outputs:
        yield Problem("", "", "the graph has no output")
    for output in graph.outputs:
        if id(output) not in there or output.is_empty():
            yield Problem(output.name, "output", "nothing computes it")


def _link_problems(graph: Graph) -> Iterator[Problem]:
    """Yield where what a tensor knows of its producer and its readers is not what the graph says."""
    nodes = {id(part) for node in graph.nodes for part in (node, *subgraph_nodes(node))}
    for tensor in _tensors(graph):
        if isinstance(tensor, gs.Constant) and tensor.inputs:
            yield Problem(tensor.name, "constant", "a node computes it")
        if len(tensor.inputs) > 1:
            yield Problem(tensor.name, "", f"{len(tensor.inputs)} nodes compute it")
        for role, others in (("computes", tensor.inputs), ("reads", tensor.outputs)):
            for other in others:
                if id(other) not in nodes:
                    yield Problem(tensor.name, "", f"{other.name or 'a node'}, which {role} it, is not in the graph")


def _tensor_problems(graph: Graph) -> Iterator[Problem]:
    for tensor in _tensors(graph):
        if isinstance(tensor, gs.Constant) and tensor.values.flags.writeable:
            yield Problem(tensor.name, "constant", "its values can be written to")
    for node in graph.nodes:
        positions = _POSITIONS.get(kind(node), ())
        for tensor in (node.inputs[index] for index in positions if index < len(node.inputs)):
            if isinstance(tensor.dtype, np.dtype) and tensor.dtype.kind != "i":
                yield Problem(node.name, node.op, f"{tensor.name} is {tensor.dtype}, and is to hold whole numbers")
        tensors = [*node.inputs, *node.outputs[:1]] if kind(node) in _ONE_TYPE else []
        types = {str(t.dtype): t.name for t in tensors if t.dtype is not None and not t.is_empty()}
        if len(types) > 1:
            listed = " and ".join(f"{name} is {dtype}" for dtype, name in sorted(types.items()))
            yield Problem(node.name, node.op, f"its operands and its result are not of one type: {listed}")


def _tensors(graph: Graph) -> list[gs.Tensor]:
    """Return every tensor once, those of no name left out."""
    all_of = (*graph.inputs, *graph.outputs, *(t for n in graph.nodes for t in (*n.inputs, *n.outputs)))
    return list({id(tensor): tensor for tensor in all_of if not tensor.is_empty()}.values())
