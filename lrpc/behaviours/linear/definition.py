"""What a share hands down as the algebra defines it: weight * sum of sign * x' * J_{w'}^T s."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.bias import earnings, spread
from lrpc.behaviours.linear.modify import modify_parameter
from lrpc.behaviours.linear.terms import Terms, add_signed
from lrpc.behaviours.relevance import Relevance
from lrpc.rules.algebra import ONE


def define(terms: Terms, cotangents: Sequence[gs.Tensor], share_bias: bool) -> list[list[Relevance]]:
    """Emit what a share hands to each data input. share_bias: with what its bias earned, in equal parts."""
    parts = [(_contribute(terms, index, s), terms.share.terms[index].sign) for index, s in enumerate(cotangents)]
    if share_bias and (amount := earnings(terms, cotangents[0])) is not None:
        parts.append((spread(terms, amount), 1))
    branches = [[(part[branch], sign) for part, sign in parts] for branch in range(len(parts[0][0]))]
    totals = [add_signed(terms.emit, branch, _role("handed", i)) for i, branch in enumerate(branches)]
    return [[Relevance(_weigh(terms, total, _role("weighted", i)))] for i, total in enumerate(totals)]


def _contribute(terms: Terms, index: int, s: gs.Tensor) -> list[gs.Tensor]:
    emit, term = terms.emit, terms.share.terms[index]
    with terms.scope(index):
        cs = terms.op.transpose(emit, terms.node, s, modify_parameter(emit, terms.weight, term.w))
        if term.x == ONE:
            return cs
        pairs = enumerate(zip(terms.inputs(index), cs, strict=True))
        return [emit.op("Mul", [x, c], _role("contribution", branch)) for branch, (x, c) in pairs]


def _weigh(terms: Terms, total: gs.Tensor, role: str) -> gs.Tensor:
    weight = terms.share.weight
    return (
        total if weight == 1.0 else terms.emit.op("Mul", [total, terms.emit.constant(weight, f"{role}/weight")], role)
    )


def _role(name: str, branch: int) -> str:
    return f"{name}:{branch}" if branch else name
