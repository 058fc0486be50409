"""Activations that an exporter spelled out become one node again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, producer, same_shape
from passes.graph.edit import Declined, Edit, rewrite

_GRID = np.linspace(-6.0, 30.0, 145)
_DEPTH = 6
_REPEAT = re.compile(r":\d+$")
_erf = np.vectorize(math.erf)

_ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Tanh": np.tanh,
    "Erf": _erf,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Greater": np.greater,
    "Where": np.where,
    "Softplus": lambda x: np.logaddexp(x, 0.0),
    "Clip": lambda x, low=-np.inf, high=np.inf: np.clip(x, low, high),
}


@dataclass(frozen=True)
class _Whole:
    """What an expression is called, and the function that it must compute."""

    op: str
    attrs: dict[str, object]
    function: Callable[[np.ndarray], np.ndarray]


_SPELLED: dict[str, tuple[_Whole, ...]] = {
    "Erf": (_Whole("Gelu", {"approximate": "none"}, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),),
    "Tanh": (
        _Whole(
            "Gelu",
            {"approximate": "tanh"},
            lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        _Whole("Mish", {}, lambda x: x * np.tanh(np.logaddexp(x, 0.0))),
    ),
    "Sigmoid": (_Whole("Swish", {}, lambda x: x / (1 + np.exp(-x))),),
    "Softplus": (_Whole("Softplus", {}, lambda x: np.logaddexp(x, 0.0)),),
    "Clip": (
        _Whole("HardSwish", {}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
        _Whole("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ),
}
"""By the op that betrays it: what the whole expression may be, the larger one first."""


def fuse_activations(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Fuse activations that were exported as arithmetic: GELU in both forms, SiLU, Mish, torch's Softplus, hard ones.

    An expression around an Erf, a Tanh, a Sigmoid, a Softplus or a Clip is fused if it computes the activation on a
    grid of points, however its operands are ordered, and if nothing outside reads its inner values.
    Gives: one Gelu, Swish (which is SiLU), Mish, Softplus, HardSwish or HardSigmoid under the name of the layer that
    the expression was.
    Keeps: everything else.
    Declines: an expression whose inner values are read from outside.
    """
    return rewrite(graph, _find_expression, _fuse, declined)


@dataclass(frozen=True)
class _Expression:
    """An activation that was written as arithmetic: its input, its last node and those before it."""

    whole: _Whole
    x: gs.Tensor
    last: gs.Node
    inner: list[gs.Node]


def _find_expression(edit: Edit, anchor: gs.Node) -> _Expression | Declined | None:
    """Return the activation that a node betrays."""
    declined = None
    for whole in _SPELLED.get(kind(anchor), ()):
        wanted = whole.function(_GRID)
        for x, last in ((x, last) for x in _ancestors(anchor) for last in _descendants(anchor)):
            region: dict[int, gs.Node] = {}
            values = _evaluate(last, x, region)
            if values is None or not same_shape(x, last.outputs[0]) or not _are_close(values, wanted):
                continue
            inner = [node for node in region.values() if node is not last]
            if _is_closed(edit, region, inner):
                return _Expression(whole, x, last, inner)
            declined = Declined(f"it is part of a {whole.op} whose inner values are read from outside")
    return declined


def _fuse(edit: Edit, anchor: gs.Node, found: _Expression) -> None:
    last = found.last
    _name_whole(edit, last, found.inner)
    last.inputs.clear()
    last.op, last.attrs = found.whole.op, dict(found.whole.attrs)
    last.inputs.append(found.x)


def _name_whole(edit: Edit, last: gs.Node, inner: list[gs.Node]) -> None:
    """Name the expression as its layer: an exporter gives all parts of one the layer's name, numbered."""
    name, freed = _REPEAT.sub("", last.name), last.name
    namesake = edit.node_of(name)
    if namesake is None:
        edit.rename({name: last})
    elif any(namesake is part for part in inner):
        edit.rename({freed: namesake, name: last})


def _are_close(values: np.ndarray, wanted: np.ndarray) -> bool:
    return np.allclose(values, wanted, rtol=1e-5, atol=1e-6)


def _ancestors(anchor: gs.Node) -> Iterator[gs.Tensor]:
    """Yield the computed tensors above a node, nearest first."""
    level = {id(tensor): tensor for tensor in anchor.inputs if constant(tensor) is None and not tensor.is_empty()}
    for _ in range(_DEPTH):
        yield from level.values()
        nodes = [node for t in level.values() if (node := producer(t)) is not None and kind(node) in _ARITHMETIC]
        level = {id(tensor): tensor for node in nodes for tensor in node.inputs if constant(tensor) is None}


def _descendants(anchor: gs.Node) -> Iterator[gs.Node]:
    node = anchor
    for _ in range(_DEPTH):
        readers = node.outputs[0].outputs
        if len(readers) != 1 or kind(readers[0]) not in _ARITHMETIC:
            return
        node = readers[0]
        yield node


def _evaluate(node: gs.Node, x: gs.Tensor, region: dict[int, gs.Node]) -> np.ndarray | None:
    """Compute a node on the grid as a function of x, None where it depends on anything else."""
    if kind(node) not in _ARITHMETIC or len(region) > 2 * _DEPTH:
        return None
    region[id(node)] = node
    operands = []
    for tensor in node.inputs:
        value = _GRID if tensor is x else constant(tensor)
        if value is None:
            inner = producer(tensor)
            value = None if inner is None else _evaluate(inner, x, region)
        elif tensor is not x and value.size != 1:
            return None
        if value is None:
            return None
        operands.append(np.asarray(value, bool if value.dtype == bool else np.float64).reshape(-1))
    with np.errstate(all="ignore"):
        return np.asarray(_ARITHMETIC[node.op](*operands))


def _is_closed(edit: Edit, region: dict[int, gs.Node], inner: list[gs.Node]) -> bool:
    """Whether nothing outside a region reads what is computed inside it."""
    tensors = [node.outputs[0] for node in inner]
    return all(not edit.is_output(tensor) and all(id(r) in region for r in tensor.outputs) for tensor in tensors)
