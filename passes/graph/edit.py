"""How a pass changes a graph: it looks at every node, and the graph is copied at the first change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, Shape, claim, read_only, redirect, tidy

Found = TypeVar("Found")


@dataclass(frozen=True)
class Declined:
    """Why a pass leaves a node alone that it is there for."""

    reason: str


@dataclass(frozen=True)
class Step:
    """One node of a chain that takes the place of another: it reads the one before it, then its operands.

    name, result: of the node and of what it computes, numbered where they are taken; the last step computes what the
    replaced node did.  shape: of its result.  operands: arrays by the names of their constants, or tensors that are
    there.  reads: what it reads instead of the result of the step before it.
    """

    op: str
    name: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    operands: Mapping[str, np.ndarray | gs.Tensor] = field(default_factory=dict)
    result: str = ""
    shape: Shape | None = None
    reads: Sequence[gs.Tensor] = ()


class Edit:
    """A graph that is being changed: the given one until something changes, then a copy of it.

    declined: where to add the nodes that are left alone, each with the reason.
    """

    def __init__(self, graph: Graph, declined: list[Problem] | None = None) -> None:
        self.graph = graph
        self.source = graph
        self._declined = declined
        self._outputs = {id(output) for output in graph.outputs}
        self._taken: set[str] = set()
        self._by_name: dict[str, gs.Node] = {}
        self._chains: dict[int, Sequence[gs.Node]] = {}

    def each(
        self,
        find: Callable[[Edit, gs.Node], Found | Declined | None],
        change: Callable[[Edit, gs.Node, Found], None],
    ) -> bool:
        """Change the nodes, in order, where `find` finds something to do; return whether it did anywhere.

        find: looks and changes nothing; None where the pass has nothing to do with the node.  change: takes what was
        found. Nodes that a change adds are not looked at.
        """
        done = False
        for index in range(len(self.graph.nodes)):
            found = find(self, self.graph.nodes[index])
            if isinstance(found, Declined):
                self._note(self.graph.nodes[index], found)
                continue
            if found is not None and self.graph is self.source:
                self._begin()
                found = find(self, self.graph.nodes[index])  # what was found before is of the graph that stays as it is
            if found is not None and not isinstance(found, Declined):
                change(self, self.graph.nodes[index], found)
                done = True
        self._place_chains()
        return done

    def result(self) -> Graph:
        """Return the changed copy without the nodes that nothing reads, the given graph where nothing changed."""
        return self.source if self.graph is self.source else tidy(self.graph)

    def is_output(self, tensor: gs.Tensor) -> bool:
        """Whether a tensor is an output of the model."""
        return id(tensor) in self._outputs

    def is_read_once(self, tensor: gs.Tensor) -> bool:
        """Whether one node is all that reads a tensor."""
        return len(tensor.outputs) == 1 and not self.is_output(tensor)

    def claim(self, wanted: str) -> str:
        """Return a name that nothing has yet: `wanted`, or `wanted:1`, `wanted:2`, ..."""
        return claim(wanted, self._taken)

    def constant(self, wanted: str, values: np.ndarray) -> gs.Constant:
        """Return a new constant."""
        return gs.Constant(self.claim(wanted), read_only(values))

    def redirect(self, old: gs.Variable, new: gs.Tensor) -> None:
        """Let everything that reads `old` read `new`; the graph's outputs keep their names."""
        redirect(self.graph, old, new)
        if id(old) in self._outputs:
            self._outputs.remove(id(old))
            self._outputs.add(id(new))

    def replace(self, node: gs.Node, steps: Sequence[Step]) -> None:
        """Put a chain in the place of a node: from its first input to its first result; one step can have its name."""
        source, result = node.inputs[0], node.outputs[0]
        self.detach(node)
        made: list[gs.Node] = []
        for index, step in enumerate(steps):
            name = step.name if step.name == node.name else self.claim(step.name)
            reads = step.reads or [made[-1].outputs[0] if made else source]
            operands = [
                values if isinstance(values, gs.Tensor) else self.constant(wanted, values)
                for wanted, values in step.operands.items()
            ]
            if index == len(steps) - 1:
                target, result.shape = result, result.shape or step.shape
            else:
                target = gs.Variable(self.claim(step.result), source.dtype, step.shape)
            made.append(gs.Node(step.op, name, dict(step.attrs), [*reads, *operands], [target]))
        self.put(node, made)

    def put(self, node: gs.Node, chain: Sequence[gs.Node]) -> None:
        """Let nodes stand where a node stands, which may be one of them."""
        self._chains[id(node)] = chain
        self._by_name |= {made.name: made for made in chain}

    def detach(self, node: gs.Node) -> None:
        """Let a node read and compute nothing, so that it is dropped."""
        node.inputs.clear()
        node.outputs.clear()

    def node_of(self, name: str) -> gs.Node | None:
        """Return the node of this name."""
        return self._by_name.get(name)

    def rename(self, names: Mapping[str, gs.Node]) -> None:
        """Give nodes the names that they stand under."""
        for node in names.values():
            self._by_name.pop(node.name, None)
        for name, node in names.items():
            node.name = name
        self._by_name |= names
        self._taken |= set(names)

    def _begin(self) -> None:
        self.graph = self.source.copy()
        self._outputs = {id(output) for output in self.graph.outputs}
        self._taken = self.graph.names()
        self._by_name = {node.name: node for node in self.graph.nodes}

    def _note(self, node: gs.Node, found: Declined) -> None:
        if self._declined is not None:
            self._declined.append(Problem(node.name, node.op, found.reason))

    def _place_chains(self) -> None:
        if self._chains:
            self.graph.body.nodes = [part for node in self.graph.nodes for part in self._chain_of(node)]

    def _chain_of(self, node: gs.Node) -> list[gs.Node]:
        """Return what stands where a node stood; what took its place can have been replaced too."""
        chain = self._chains.pop(id(node), (node,))
        return [part for made in chain for part in ([made] if made is node else self._chain_of(made))]


def rewrite(
    graph: Graph,
    find: Callable[[Edit, gs.Node], Found | Declined | None],
    change: Callable[[Edit, gs.Node, Found], None],
    declined: list[Problem] | None = None,
) -> Graph:
    """Look at every node once, and return the changed copy, or `graph` itself where there was nothing to do."""
    edit = Edit(graph, declined)
    edit.each(find, change)
    return edit.result()
