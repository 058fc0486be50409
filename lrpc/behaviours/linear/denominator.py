"""Emit the stabilized denominator of a share: as it is defined, or in as few passes as its facts allow.

Where a denominator is known to be positive, st(d) is max(d, 0) + m, and that is max(d + m, m): m goes into the bias
of the convolution that computes d, and the maximum is a Clip, which runtimes fuse with it.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.stabilize import Layout, margin, stabilize
from lrpc.behaviours.linear.terms import Terms
from lrpc.emit.emitter import Emitter
from lrpc.emit.targets import STEP
from lrpc.rules.algebra import Side
from lrpc.rules.stabilizer import Stabilizer

_STEEP = 3e38
"""clip(_STEEP * v + 1, 0, 1) is 1 for v >= 0 and 0 for every normal float32 below."""


def denominator(terms: Terms, stabilizer: Stabilizer) -> gs.Tensor:
    """Emit st(d)."""
    side, emit = terms.share.side, terms.emit
    plain = stabilizer.scale == "none" and emit.group is None and not terms.literal
    if side is Side.EITHER or terms.literal:
        d = terms.total(terms.outputs())
        by_arithmetic = plain and stabilizer.signed and not stabilizer.clip
        return (either_side if by_arithmetic else stabilize)(emit, d, stabilizer, terms.layout)
    carrier = _carrier(terms) if plain and not stabilizer.clip else None
    return _keep_side(terms, stabilizer) if carrier is None else _carry(terms, stabilizer, carrier)


def either_side(emit: Emitter, d: gs.Tensor, stabilizer: Stabilizer, layout: Layout) -> gs.Tensor:
    """Emit d + sgn(d) * m as (d - m) + 2 m [d >= 0]: arithmetic is cheaper than a choice."""
    with emit.scope("stabilize"):
        size = margin(emit, d, stabilizer, layout)
        above = emit.op("Mul", [step(emit, d, "step"), emit.op("Add", [size, size], "twice")], "above")
        return emit.op("Add", [emit.op("Sub", [d, size], "below"), above], "stabilized")


def step(emit: Emitter, value: gs.Tensor, name: str) -> gs.Tensor:
    """Emit 1 where value >= 0, else 0."""
    if emit.takes(STEP, "HardSigmoid"):
        return emit.op("HardSigmoid", [value], name, alpha=_STEEP, beta=1.0)
    zero = emit.constant(0.0, f"{name}/zero")
    return emit.op("Cast", [emit.op("GreaterOrEqual", [value, zero], f"{name}/mask")], name, to=1)


def _carrier(terms: Terms) -> int | None:
    """Return a term whose bias can take the margin: it is computed when the graph runs, by an op with a bias."""
    if terms.op.outputs(terms.node) is None:
        return None
    fits = [not (terms.is_known(term) or term.follows or term.sign < 0) for term in terms.share.terms]
    return fits.index(True) if any(fits) else None


def _carry(terms: Terms, stabilizer: Stabilizer, carrier: int) -> gs.Tensor:
    emit, rest = terms.emit, [term for i, term in enumerate(terms.share.terms) if i != carrier]
    with emit.scope("stabilize"):
        size = _negate(terms, margin(emit, None, stabilizer, terms.layout))
    outputs = [terms.output(i, size if i == carrier else None) for i in range(len(terms.share.terms))]
    alone = all(term.follows for term in rest)  # sizes cannot push a guarded denominator past 0
    if alone:
        outputs[carrier] = _guard(terms, outputs[carrier], size)
    total = terms.total(outputs)
    return total if alone else _guard(terms, total, size)


def _keep_side(terms: Terms, stabilizer: Stabilizer) -> gs.Tensor:
    """Emit a denominator of a known side whose margin no bias can take."""
    emit, side = terms.emit, terms.share.side
    d = terms.total(terms.outputs())
    with emit.scope("stabilize"):
        size = _negate(terms, margin(emit, d, stabilizer, terms.layout))
        if stabilizer.clip:
            return emit.op("Max" if side is Side.POSITIVE else "Min", [d, size], "stabilized")
        if not terms.share.everywhere or terms.op.parametric:
            d = emit.op("Relu", [d], "guarded") if side is Side.POSITIVE else _at_most_zero(emit, d)
        return emit.op("Add", [d, size], "stabilized")


def _guard(terms: Terms, d: gs.Tensor, size: gs.Tensor) -> gs.Tensor:
    """Emit max(d, m), or min(d, -m): a fast convolution may round a sum of positive numbers below 0."""
    emit, empty = terms.emit, gs.Variable.empty()
    limits = [size] if terms.share.side is Side.POSITIVE else [empty, size]
    with emit.scope("stabilize"):
        return emit.op("Clip", [d, *limits], "stabilized")


def _at_most_zero(emit: Emitter, d: gs.Tensor) -> gs.Tensor:
    return emit.op("Min", [d, emit.constant(0.0, "guarded/zero")], "guarded")


def _negate(terms: Terms, size: gs.Tensor) -> gs.Tensor:
    return size if terms.share.side is Side.POSITIVE else terms.emit.op("Neg", [size], "negative")
