"""What a share hands down in the forms that are cheapest: relevance stays a product of input and cotangent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.modify import modify_parameter, per_channel
from lrpc.behaviours.linear.terms import Terms
from lrpc.behaviours.relevance import Relevance, plain
from lrpc.rules.algebra import ONE, Fill, Mod, Scaled, Term, Zero
from passes.graph import rank_of


def hand_down(terms: Terms, cotangents: Sequence[gs.Tensor]) -> list[list[Relevance]]:
    """Emit what each term of a share hands to each data input."""
    constant = _constant_terms(terms)
    parts = [_transpose(terms, i, s) for i, s in enumerate(cotangents) if i not in constant]
    if constant:
        parts.append(_transpose_constants(terms, constant, cotangents[constant[0]]))
    return [list(branch) for branch in zip(*parts, strict=True)]


def _constant_terms(terms: Terms) -> list[int]:
    """Return the terms whose input is a constant that their weight can take."""
    if terms.weight is None or terms.op.input_shape(terms.node) is None:
        return []
    return [i for i, t in enumerate(terms.share.terms) if isinstance(t.x, Fill) and t.x != ONE and not t.follows]


def _transpose_constants(terms: Terms, indices: Sequence[int], s: gs.Tensor) -> list[Relevance]:
    """Emit what terms of constant input hand down, by one transpose: J^T is linear in the weight that it is of."""
    emit, shape = terms.emit, terms.op.input_shape(terms.node)
    assert shape is not None
    total: gs.Tensor | None = None
    with emit.scope("constant"):
        for index in indices:
            part = _weigh(terms, terms.share.terms[index], shape, f"weight{index}")
            total = part if total is None else emit.op("Add", [total, part], f"weights{index}")
        return plain(terms.op.transpose(emit, terms.node, s, total))


def _weigh(terms: Terms, term: Term, shape: list[int], name: str) -> gs.Tensor:
    """Emit sign * weight * w' * x' of a term, x' along the axis of w' that runs over inputs."""
    emit, weight = terms.emit, modify_parameter(terms.emit, terms.weight, term.w)
    assert weight is not None
    assert isinstance(term.x, Fill)
    values = term.sign * terms.share.weight * np.asarray(term.x.value, np.float64)
    shaped = values if values.ndim == 0 else values.reshape(shape)
    return emit.op("Mul", [weight, emit.constant(shaped, f"{name}/values")], name)


def _transpose(terms: Terms, index: int, s: gs.Tensor) -> list[Relevance]:
    """Emit what one term hands down: x' * J_{w'}^T s, its sign and the share's weight taken by w'."""
    emit, term = terms.emit, terms.share.terms[index]
    factor = term.sign * terms.share.weight
    with terms.scope(index):
        if terms.weight is None and factor != 1.0:
            s = emit.op("Mul", [s, emit.constant(factor, "weight")], "weighted")
        w = modify_parameter(emit, terms.weight, scale(term.w, factor))
        cs = terms.op.transpose(emit, terms.node, s, w)
        return [_contribute(terms, c, term, branch) for branch, c in enumerate(cs)]


def _contribute(terms: Terms, c: gs.Tensor, term: Term, branch: int) -> Relevance:
    emit, x = terms.emit, terms.op.data(terms.node)[branch]
    if term.x == ONE:
        return Relevance(c)
    if isinstance(term.x, Fill):
        value = emit.constant(per_channel(term.x.value, rank_of(x)), f"filling:{branch}")
        return Relevance(emit.op("Mul", [c, value], f"contribution:{branch}"))
    return Relevance(c, terms.modify(term.x, branch))


def scale(mod: Mod, factor: float) -> Mod:
    """Return factor * mod."""
    match mod:
        case _ if factor == 1.0:
            return mod
        case Zero():
            return mod
        case Scaled(other, part):
            return Scaled(factor * other, part)
        case _:
            return Scaled(factor, mod)
