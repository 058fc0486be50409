"""The graph that travels through lrpc: an onnx-graphsurgeon graph with its metadata kept beside it.

onnx-graphsurgeon drops every `metadata_props`, so what a model file says of its layers is read off
the proto once and kept here by layer name. A node's name *is* its layer's name, unique in the graph.
Nodes stand in topological order, and every pass keeps them so.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

# It prints to stdout, where --json goes; what is wrong with a model is an LrpcError, whatever it logs.
G_LOGGER.severity = G_LOGGER.CRITICAL + 1


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
