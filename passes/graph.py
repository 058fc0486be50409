"""The graph that travels through lrpc: an onnx-graphsurgeon graph with its metadata kept beside it.

onnx-graphsurgeon drops every `metadata_props`, so what a model file says of its layers is read off
the proto once and kept here by layer name. A node's name *is* its layer's name, unique in the graph.
Nodes stand in topological order, and every pass keeps them so.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

# It prints to stdout, where --json goes; what is wrong with a model is an LrpcError, whatever it logs.
G_LOGGER.severity = G_LOGGER.CRITICAL + 1


Shape = Sequence[int | str | None]
"""The sizes of a tensor: a dynamic axis has a symbol, or None."""


@dataclass(frozen=True)
class Module:
    """What the exporter told of the torch module behind a layer.

    type: its qualified class, or "".  leaf_index: its place among all leaf modules in registration
    order, None where unknown.
    """

    type: str = ""
    leaf_index: int | None = None


@dataclass(frozen=True)
class Graph:
    """A model: `body` holds nodes and tensors, `metadata` the file's own, `modules` torch's by layer name."""

    body: gs.Graph
    metadata: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, Module] = field(default_factory=dict)
    name: str = "model"

    @property
    def nodes(self) -> list[gs.Node]:
        """All nodes in topological order."""
        return self.body.nodes

    @property
    def inputs(self) -> list[gs.Variable]:
        """The model's inputs; once they are selected, relevance goes to the first, and the others stay inputs."""
        return self.body.inputs

    @property
    def outputs(self) -> list[gs.Variable]:
        """The model's outputs."""
        return self.body.outputs

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.body.opset

    def copy(self) -> Graph:
        """Copy nodes and tensors; weights are shared, and are read-only."""
        return replace(self, body=self.body.copy())

    def tensor_names(self) -> set[str]:
        """Every name a tensor of this graph has."""
        tensors = (*self.inputs, *self.outputs, *(t for n in self.nodes for t in (*n.inputs, *n.outputs)))
        return {tensor.name for tensor in tensors}

    def names(self) -> set[str]:
        """Every name that a layer or a tensor of this graph has: a new set, to `claim` new names in."""
        return self.tensor_names() | {node.name for node in self.nodes}


def unique(wanted: str, taken: Container[str], repeat: int = 0) -> str:
    """Return `wanted`, with `:1`, `:2`, ... behind it where it is taken; `repeat` names are known to be."""
    name = f"{wanted}:{repeat}" if repeat else wanted
    while name in taken:
        repeat += 1
        name = f"{wanted}:{repeat}"
    return name


def claim(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, with `:1`, `:2`, ... behind it where it is taken, and add it to what is taken."""
    name = unique(wanted, taken)
    taken.add(name)
    return name


def tidy(graph: Graph) -> Graph:
    """Drop, in place, the nodes whose results nothing reads."""
    read = {id(output) for output in graph.outputs}
    live: list[gs.Node] = []
    dead: list[gs.Node] = []
    for node in reversed(graph.nodes):
        if any(id(output) in read for output in node.outputs):
            live.append(node)
            read.update(id(tensor) for tensor in node.inputs)
            read.update(id(tensor) for inner in subgraph_nodes(node) for tensor in inner.inputs)
        else:
            dead.append(node)
    for node in reversed(dead):
        node.inputs.clear()
    graph.body.nodes = live[::-1]
    return graph


def depending(graph: Graph) -> set[str]:
    """Return the names of the first input, and of every tensor that is computed from it: where its relevance is."""
    found = {tensor.name for tensor in graph.inputs[:1]}
    for node in graph.nodes:
        if any(tensor.name in found for tensor in node.inputs):
            found.update(tensor.name for tensor in node.outputs if not tensor.is_empty())
    return found


def subgraph_nodes(node: gs.Node) -> Iterator[gs.Node]:
    """Yield the nodes inside a control-flow node, however deep; they may read tensors from outside."""
    bodies = [value for value in node.attrs.values() if isinstance(value, gs.Graph)]
    while bodies:
        for inner in bodies.pop().nodes:
            yield inner
            bodies += [value for value in inner.attrs.values() if isinstance(value, gs.Graph)]


def kind(node: gs.Node | None) -> str:
    """Return a node's op; `domain::op` outside standard ONNX, so that no custom op passes for a standard one."""
    if node is None:
        return ""
    return str(node.op) if node.domain in (None, "", "ai.onnx") else f"{node.domain}::{node.op}"


def constant(tensor: gs.Tensor) -> np.ndarray | None:
    """Return the array of a constant tensor, None for one that is computed."""
    return tensor.values if isinstance(tensor, gs.Constant) else None


def values_of(tensor: gs.Tensor) -> np.ndarray:
    """Return the array of a tensor that is known to be a constant. Raises ValueError where it is computed."""
    if not isinstance(tensor, gs.Constant):
        raise ValueError(f"{tensor.name} is computed, where a constant is needed")
    return tensor.values


def operand(node: gs.Node, index: int) -> gs.Tensor | None:
    """Return one of a node's inputs, None where it is left out."""
    return node.inputs[index] if len(node.inputs) > index and not node.inputs[index].is_empty() else None


def read_only(array: np.ndarray) -> np.ndarray:
    """Return an array of weights, which no one may write to, since copies of a graph share it."""
    array.flags.writeable = False
    return array


LITERALS = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""What a Constant node holds, by attribute, and its type where graphsurgeon gives Python's numbers."""


def held(tensor: gs.Tensor) -> np.ndarray | None:
    """Return a constant's array, also where it still is a Constant node; None for what is computed."""
    node = producer(tensor)
    if node is None or kind(node) != "Constant":
        return constant(tensor)
    name, value = next(((key, value) for key, value in node.attrs.items() if key.startswith("value")), ("", None))
    if value is None:
        return None
    return np.asarray(value.values if isinstance(value, gs.Constant) else value, LITERALS.get(name))


def static_shape(tensor: gs.Tensor) -> tuple[int | None, ...] | None:
    """Return the shape with None for each dynamic axis, or None where even the rank is unknown."""
    if tensor.shape is None:
        return None
    return tuple(int(d) if isinstance(d, (int, np.integer)) else None for d in tensor.shape)


def shape_of(tensor: gs.Tensor) -> list[int | str | None]:
    """Return the shape, symbols included, of a tensor whose rank is known. Raises ValueError where it is not."""
    if tensor.shape is None:
        raise ValueError(f"the rank of {tensor.name} is not known")
    return list(tensor.shape)


def size_of(tensor: gs.Tensor, axis: int) -> int:
    """Return the size of an axis that has one. Raises ValueError where it is dynamic, or the rank not known."""
    size = shape_of(tensor)[axis]
    if not isinstance(size, (int, np.integer)):
        raise ValueError(f"axis {axis} of {tensor.name} has no fixed size")
    return int(size)


def sizes_of(tensor: gs.Tensor, first: int = 0) -> list[int]:
    """Return the sizes of the axes from `first` on. Raises ValueError where one is dynamic, or the rank not known."""
    return [size_of(tensor, axis) for axis in range(first, rank_of(tensor))]


def rank_of(tensor: gs.Tensor) -> int:
    """Return the number of axes. Raises ValueError where it is not known."""
    return len(shape_of(tensor))


def dtype_of(tensor: gs.Tensor) -> np.dtype[Any]:
    """Return the type of a tensor as numpy's. Raises ValueError where it is not known, or numpy has none like it."""
    if tensor.dtype is None or isinstance(tensor.dtype, int):
        raise ValueError(f"{tensor.name} has no type that numpy knows")
    return np.dtype(tensor.dtype)


def text_of_shape(tensor: gs.Tensor) -> str:
    """Return a shape as messages show it, `?` for a size without a name."""
    if tensor.shape is None:
        return "(unknown)"
    return "(" + ", ".join("?" if size in (None, "") else str(size) for size in tensor.shape) + ")"


def same_shape(first: gs.Tensor, second: gs.Tensor) -> bool:
    """Whether two tensors surely have one shape: every axis of one size, or of one symbol."""
    if first.shape is None or second.shape is None or len(first.shape) != len(second.shape):
        return False
    return all(a == b and a not in (None, "") for a, b in zip(first.shape, second.shape, strict=True))


def producer(tensor: gs.Tensor) -> gs.Node | None:
    """Return the node that computes a tensor, None for an input or a constant."""
    return tensor.inputs[0] if tensor.inputs else None


def keep_inputs(node: gs.Node, count: int) -> None:
    """Drop a node's inputs behind the first `count`."""
    while len(node.inputs) > count:
        node.inputs.pop()


def redirect(graph: Graph, old: gs.Variable, new: gs.Tensor) -> None:
    """Let everything that reads `old` read `new`; the graph's outputs keep their names.

    Where `old` is an output of the graph, `new` takes its name over (and must be computed by a node).
    """
    for node in list(old.outputs):
        for index, tensor in enumerate(node.inputs):
            if tensor is old:
                node.inputs[index] = new
    for index, output in enumerate(graph.outputs):
        if output is old:
            if not isinstance(new, gs.Variable):
                raise ValueError(f"the output {old.name} cannot be the constant {new.name}")
            old.name, new.name = f"{old.name}/replaced", old.name
            graph.outputs[index] = new
