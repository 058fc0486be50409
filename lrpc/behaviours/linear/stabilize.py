"""Emit a stabilizer: a named group of nodes between every denominator and its division."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.ops import LinearOp
from lrpc.rules.stabilizer import Stabilizer
from passes.graph import rank_of


@dataclass(frozen=True)
class Layout:
    """The axes of a denominator, which an rms scale is taken over.

    rank: how many it has.  rows: the shape that it has in the model, where it is given as rows.
    """

    rank: int
    rows: tuple[int | None, ...] | None = None

    @classmethod
    def of(cls, op: LinearOp, node: gs.Node) -> Layout:
        """Return that of a layer's output."""
        return cls(rank_of(node.outputs[0]), op.rows(node))


def stabilize(emit: Emitter, d: gs.Tensor, stabilizer: Stabilizer, layout: Layout) -> gs.Tensor:
    """Emit st(d)."""
    with emit.scope("stabilize"):
        return _stabilize(emit, d, stabilizer, layout)


def divide(emit: Emitter, relevance: gs.Tensor, stabilized: gs.Tensor, can_vanish: bool) -> gs.Tensor:
    """Emit relevance / stabilized; where the divisor is 0 the quotient is 0."""
    if not can_vanish:
        return emit.op("Div", [relevance, stabilized], "s")
    zero, one = emit.constant(0.0, "s/zero"), emit.constant(1.0, "s/one")
    vanished = emit.op("Equal", [stabilized, zero], "s/vanished")
    divisor = emit.op("Where", [vanished, one, stabilized], "s/divisor")
    quotient = emit.op("Div", [relevance, divisor], "s/quotient")
    return emit.op("Where", [vanished, zero, quotient], "s")


def _stabilize(emit: Emitter, d: gs.Tensor, stabilizer: Stabilizer, layout: Layout) -> gs.Tensor:
    size = margin(emit, d, stabilizer, layout)
    if stabilizer.clip:
        size = emit.op("Max", [emit.op("Abs", [d], "size") if stabilizer.signed else d, size], "clipped")
    if stabilizer.signed:
        non_negative = emit.op("GreaterOrEqual", [d, emit.constant(0.0, "zero")], "non_negative")
        signs = [emit.constant(1.0, "plus"), emit.constant(-1.0, "minus")]
        sign = emit.op("Where", [non_negative, *signs], "sign")
        size = emit.op("Mul", [sign, size], "signed")
    return size if stabilizer.clip else emit.op("Add", [d, size], "stabilized")


def margin(emit: Emitter, d: gs.Tensor | None, stabilizer: Stabilizer, layout: Layout) -> gs.Tensor:
    """Emit m = epsilon * scale + floor. d: needed for a scale only."""
    size: gs.Tensor = emit.parameter(stabilizer.epsilon, "epsilon", "epsilon")
    if stabilizer.scale == "rms":
        assert d is not None
        size = emit.op("Mul", [size, _rms(emit, d, stabilizer.axes, layout)], "scaled")
    if stabilizer.floor:
        size = emit.op("Add", [size, emit.constant(stabilizer.floor, "floor")], "floored")
    return size


def _rms(emit: Emitter, d: gs.Tensor, axes: tuple[int, ...] | None, layout: Layout) -> gs.Tensor:
    """Emit sqrt(mean(d^2)) over axes of the layer as the model has it, all but the batch without any."""
    if layout.rows is None:
        return _root(emit, d, axes or tuple(range(1, layout.rank)))
    sizes = emit.constant([-1 if size is None else size for size in layout.rows], "rms/shape", np.int64)
    whole = emit.op("Reshape", [d, sizes], "rms/whole")
    root = _root(emit, whole, axes or tuple(range(1, len(layout.rows))))
    copied = emit.op("Expand", [root, emit.op("Shape", [whole], "rms/sizes")], "rms/copied")
    return emit.op("Reshape", [copied, emit.op("Shape", [d], "rms/flat")], "rms/rows")


def _root(emit: Emitter, d: gs.Tensor, axes: tuple[int, ...]) -> gs.Tensor:
    """sqrt(mean(d^2)), with d divided by its largest magnitude first: d^2 overflows float32 at 3e19."""
    over = emit.constant(list(axes), "axes", np.int64)
    largest = emit.op("ReduceMax", [emit.op("Abs", [d], "rms/size"), over], "rms/largest", keepdims=1)
    unit = emit.op("Max", [largest, emit.constant(1e-30, "rms/tiny")], "rms/unit")
    relative = emit.op("Div", [d, unit], "rms/relative")
    square = emit.op("Mul", [relative, relative], "rms/square")
    mean = emit.op("ReduceMean", [square, over], "rms/mean", keepdims=1)
    return emit.op("Mul", [emit.op("Sqrt", [mean], "rms/root"), unit], "rms")
