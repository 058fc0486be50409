"""Which output is explained, and which input its relevance goes to: one of each. Other inputs stay inputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import onnx_graphsurgeon as gs

from passes.errors import LrpcError
from passes.graph import Graph, subgraph_nodes, tidy


def select(graph: Graph, entry: str | None = None, output: str | None = None) -> Graph:
    """Return the part of a loaded graph that leads to one output; a graph of one input and output as it is.

    entry: the name of the input that relevance goes to, None where the output depends on one only; it becomes the
    first input, and the others follow in the file's order.  output: the name of an output, or of any tensor inside,
    such as the scores before a softmax; None where the model has one.
    What the output does not depend on is dropped, inputs too. Raises LrpcError where there is no such name, and where
    the output depends on several inputs and none is chosen.
    """
    if entry is None and output is None and len(graph.inputs) == len(graph.outputs) == 1:
        return graph
    if not graph.inputs:
        raise LrpcError(f"{graph.name} has no input for relevance to go to.", hint="Export a model with an input.")
    copy = graph.copy()
    copy.body.outputs = [_output(copy, output)]
    tidy(copy)
    copy.body.inputs = _inputs(copy, entry)
    return copy


def _output(graph: Graph, name: str | None) -> gs.Variable:
    if name is None:
        if len(graph.outputs) != 1:
            raise LrpcError(
                f"{graph.name} has {len(graph.outputs)} outputs ({_names(graph.outputs)}); lrpc explains one.",
                hint="Choose it: --output NAME, or output= in Python.",
            )
        return graph.outputs[0]
    computed = {tensor.name: tensor for node in graph.nodes for tensor in node.outputs if not tensor.is_empty()}
    if name not in computed:
        raise LrpcError(
            f"{graph.name} has no output {name!r}{_guess(name, computed)}. It has: {_names(graph.outputs)}.",
            hint="An inner tensor can be explained too, by its name in the file.",
        )
    return computed[name]


def _inputs(graph: Graph, name: str | None) -> list[gs.Variable]:
    """Return the inputs that the output depends on, the chosen one first."""
    by_name = {tensor.name: tensor for tensor in graph.inputs}
    output = graph.outputs[0].name
    if name is not None and name not in by_name:
        raise LrpcError(f"{graph.name} has no input {name!r}{_guess(name, by_name)}. It has: {', '.join(by_name)}.")
    needed = _read(graph)
    if name is not None and all(tensor is not by_name[name] for tensor in needed):
        raise LrpcError(
            f"The output {output} of {graph.name} does not depend on the input {name}; it depends on: {_names(needed)}."
        )
    if name is None and len(needed) > 1:
        raise LrpcError(
            f"The output {output} of {graph.name} depends on {len(needed)} inputs ({_names(needed)}); "
            "relevance goes to one of them.",
            hint="Choose it: --input NAME, or input= in Python. The others stay inputs of the graphs; what flows to "
            "them is left out.",
        )
    chosen = needed[0] if name is None and needed else by_name[name or graph.inputs[0].name]
    return [chosen, *(tensor for tensor in needed if tensor is not chosen)]


def _read(graph: Graph) -> list[gs.Variable]:
    """Return the inputs that some node, or a branch within one, reads."""
    nodes = (inner for node in graph.nodes for inner in (node, *subgraph_nodes(node)))
    read = {id(tensor) for node in nodes for tensor in node.inputs}
    return [tensor for tensor in graph.inputs if id(tensor) in read]


def _names(tensors: Iterable[gs.Tensor]) -> str:
    return ", ".join(tensor.name for tensor in tensors) or "none"


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
