"""Emit a stabilizer: a named group of nodes between every denominator and its division."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emitter import Emitter
from lrpc.stabilizer import Stabilizer


def stabilize(emit: Emitter, d: gs.Tensor, stabilizer: Stabilizer, rank: int) -> gs.Tensor:
    """Emit st(d). rank: the number of axes of d, for the default axes of an rms scale."""
    with emit.scope("stabilize"):
        return _stabilize(emit, d, stabilizer, rank)


def divide(emit: Emitter, relevance: gs.Tensor, stabilized: gs.Tensor, can_vanish: bool) -> gs.Tensor:
    """Emit relevance / stabilized; where the divisor is 0 the quotient is 0."""
    if not can_vanish:
        return emit.op("Div", [relevance, stabilized], "s")
    zero, one = emit.constant(0.0, "s/zero"), emit.constant(1.0, "s/one")
    vanished = emit.op("Equal", [stabilized, zero], "s/vanished")
    divisor = emit.op("Where", [vanished, one, stabilized], "s/divisor")
    quotient = emit.op("Div", [relevance, divisor], "s/quotient")
    return emit.op("Where", [vanished, zero, quotient], "s")


def _stabilize(emit: Emitter, d: gs.Tensor, stabilizer: Stabilizer, rank: int) -> gs.Tensor:
    size = margin(emit, d, stabilizer, rank)
    if stabilizer.clip:
        size = emit.op("Max", [emit.op("Abs", [d], "size") if stabilizer.signed else d, size], "clipped")
    if stabilizer.signed:
        non_negative = emit.op("GreaterOrEqual", [d, emit.constant(0.0, "zero")], "non_negative")
        signs = [emit.constant(1.0, "plus"), emit.constant(-1.0, "minus")]
        sign = emit.op("Where", [non_negative, *signs], "sign")
        size = emit.op("Mul", [sign, size], "signed")
    return size if stabilizer.clip else emit.op("Add", [d, size], "stabilized")


def margin(emit: Emitter, d: gs.Tensor | None, stabilizer: Stabilizer, rank: int) -> gs.Tensor:
    """Emit m = epsilon * scale + floor. d: needed for a scale only."""
    size: gs.Tensor = emit.parameter(stabilizer.epsilon, "epsilon", "epsilon")
    if stabilizer.scale == "rms":
        assert d is not None
        size = emit.op("Mul", [size, _rms(emit, d, stabilizer.axes or tuple(range(1, rank)))], "scaled")
    if stabilizer.floor:
        size = emit.op("Add", [size, emit.constant(stabilizer.floor, "floor")], "floored")
    return size


def _rms(emit: Emitter, d: gs.Tensor, axes: tuple[int, ...]) -> gs.Tensor:
    """sqrt(mean(d^2)), with d divided by its largest magnitude first: d^2 overflows float32 at 3e19."""
    over = emit.constant(list(axes), "axes", np.int64)
    largest = emit.op("ReduceMax", [emit.op("Abs", [d], "rms/size"), over], "rms/largest", keepdims=1)
    unit = emit.op("Max", [largest, emit.constant(1e-30, "rms/tiny")], "rms/unit")
    relative = emit.op("Div", [d, unit], "rms/relative")
    square = emit.op("Mul", [relative, relative], "rms/square")
    mean = emit.op("ReduceMean", [square, over], "rms/mean", keepdims=1)
    return emit.op("Mul", [emit.op("Sqrt", [mean], "rms/root"), unit], "rms")
