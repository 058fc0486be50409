"""Activations that an exporter spelled out become one node again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, constant, edited, producer

_GRID = np.linspace(-6.0, 30.0, 145)
_erf = np.vectorize(math.erf)

_ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Tanh": np.tanh,
    "Erf": _erf,
    "Greater": np.greater,
    "Where": np.where,
    "Softplus": lambda x: np.logaddexp(x, 0.0),
}

_SPELLED: dict[str, tuple[str, dict[str, object], Callable[[np.ndarray], np.ndarray]]] = {
    "Erf": ("Gelu", {"approximate": "none"}, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),
    "Tanh": (
        "Gelu",
        {"approximate": "tanh"},
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "Softplus": ("Softplus", {}, lambda x: np.logaddexp(x, 0.0)),
}
"""By the op that betrays it: what the whole expression is called, and the function it must compute."""


def fuse_activations(graph: Graph) -> Graph:
    """Fuse activations that were exported as arithmetic: both forms of GELU, and torch's Softplus.

    An expression around an Erf, a Tanh or a Softplus is fused if it computes the activation on a grid
    of points, however its operands are ordered, and if nothing outside reads its inner values.
    Gives: one Gelu or Softplus under the expression's name.  Keeps: everything else.
    """
    return edited(graph, _fuse)


def _fuse(graph: Graph) -> bool:
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for node in list(graph.nodes):
        if node.op in _SPELLED and (found := _expression(node, outputs)):
            x, last = found
            op, attrs, _ = _SPELLED[node.op]
            last.inputs.clear()
            last.op, last.attrs = op, dict(attrs)
            last.inputs.append(x)
            changed = True
    return changed


def _expression(anchor: gs.Node, outputs: set[int]) -> tuple[gs.Tensor, gs.Node] | None:
    """Return the input and the last node of the activation that an anchor belongs to."""
    function = _SPELLED[anchor.op][2]
    for x in _ancestors(anchor):
        for last in _descendants(anchor):
            region: dict[int, gs.Node] = {}
            values = _evaluate(last, x, region)
            if values is None or last is anchor:
                continue
            if np.allclose(values, function(_GRID), rtol=1e-5, atol=1e-6) and _closed(region, last, outputs):
                return x, last
    return None


def _ancestors(anchor: gs.Node) -> Iterator[gs.Tensor]:
    """Yield the computed tensors above a node, nearest first, through arithmetic only."""
    level = [tensor for tensor in anchor.inputs if constant(tensor) is None]
    for _ in range(6):
        yield from level
        nodes = [node for tensor in level if (node := producer(tensor)) is not None and node.op in _ARITHMETIC]
        level = [tensor for node in nodes for tensor in node.inputs if constant(tensor) is None]


def _descendants(anchor: gs.Node) -> Iterator[gs.Node]:
    node = anchor
    for _ in range(6):
        readers = node.outputs[0].outputs
        if len(readers) != 1 or readers[0].op not in _ARITHMETIC:
            return
        node = readers[0]
        yield node


def _evaluate(node: gs.Node, x: gs.Tensor, region: dict[int, gs.Node]) -> np.ndarray | None:
    """Compute a node on the grid as a function of x, None where it depends on anything else."""
    if node.op not in _ARITHMETIC or len(region) > 12:
        return None
    region[id(node)] = node
    operands = []
    for tensor in node.inputs:
        value = _GRID if tensor is x else constant(tensor)
        if value is None:
            inner = producer(tensor)
            value = None if inner is None else _evaluate(inner, x, region)
        if value is None or (tensor is not x and constant(tensor) is not None and value.size != 1):
            return None
        operands.append(np.asarray(value, np.float64 if node.op != "Where" or value.dtype != bool else bool))
    with np.errstate(all="ignore"):
        return np.asarray(_ARITHMETIC[node.op](*(o.reshape(-1) for o in operands)))


def _closed(region: dict[int, gs.Node], last: gs.Node, outputs: set[int]) -> bool:
    """Whether nothing outside a region reads what is computed inside it."""
    inner = [node.outputs[0] for node in region.values() if node is not last]
    return all(id(tensor) not in outputs and all(id(r) in region for r in tensor.outputs) for tensor in inner)
