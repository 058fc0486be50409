"""Emit the health of an explanation: four numbers per sample that tell whether it can be trusted."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from passes.graph import shape_of


def emit_health(emit: Emitter, relevance: gs.Tensor, seed: gs.Tensor, name: str) -> gs.Variable:
    """Emit float32 (n, 4): sum, sum of |R|, max - min, count of non-finite values.

    The first three are divided by the sample's sum of |seed|, and are 0 for a zero seed.
    """
    with emit.scope("lrpc", name):
        axis = emit.constant([1], "axis", np.int64)
        flat = emit.op("Flatten", [relevance], "flat", axis=1)
        size = emit.op("Abs", [flat], "size")
        total = emit.op("ReduceSum", [flat, axis], "sum", keepdims=1)
        abs_total = emit.op("ReduceSum", [size, axis], "abs_sum", keepdims=1)
        top = emit.op("ReduceMax", [flat, axis], "max", keepdims=1)
        bottom = emit.op("ReduceMin", [flat, axis], "min", keepdims=1)
        spread = emit.op("Sub", [top, bottom], "range")
        sizes = emit.op("Concat", [total, abs_total, spread], "absolute", axis=1)
        relative = _per_unit_of_seed(emit, sizes, seed, axis)
        bad = _count_non_finite(emit, flat, axis)
    health = emit.op("Concat", [relative, bad], name, axis=1)
    health.dtype, health.shape = np.float32, [shape_of(relevance)[0], 4]
    return health


def _per_unit_of_seed(emit: Emitter, sizes: gs.Tensor, seed: gs.Tensor, axis: gs.Tensor) -> gs.Tensor:
    flat = emit.op("Flatten", [seed], "seed/flat", axis=1)
    unit = emit.op("ReduceSum", [emit.op("Abs", [flat], "seed/size"), axis], "seed/sum", keepdims=1)
    zero, one = emit.constant(0.0, "seed/zero"), emit.constant(1.0, "seed/one")
    is_zero = emit.op("Equal", [unit, zero], "seed/is_zero")
    divisor = emit.op("Where", [is_zero, one, unit], "seed/divisor")
    return emit.op("Div", [sizes, divisor], "relative")


def _count_non_finite(emit: Emitter, flat: gs.Tensor, axis: gs.Tensor) -> gs.Tensor:
    """Count NaN and infinities by v - v, which is 0 for every finite v."""
    difference = emit.op("Sub", [flat, flat], "finite/difference")
    is_finite = emit.op("Equal", [difference, emit.constant(0.0, "finite/zero")], "finite")
    bad = emit.op("Cast", [emit.op("Not", [is_finite], "bad")], "bad/number", to=1)
    return emit.op("ReduceSum", [bad, axis], "nonfinite", keepdims=1)
