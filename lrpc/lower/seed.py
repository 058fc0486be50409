"""Emit the seed for a target class: a one-hot over the output's classes."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from passes.graph import size_of


def emit_seed(emit: Emitter, output: gs.Tensor, target: gs.Tensor) -> gs.Tensor:
    """Emit a one-hot of 1.0 per sample; target -1 is the argmax, one out of range gives NaN.

    output: (n, classes) with a static number of classes.  target: int64 (n,).
    """
    classes = size_of(output, 1)
    with emit.scope("lrpc", "target"):
        best = emit.op("ArgMax", [output], "argmax", axis=1, keepdims=0)
        chosen = emit.op("Equal", [target, emit.constant(-1, "argmax_code", np.int64)], "is_argmax")
        index = emit.op("Where", [chosen, best, target], "index")
        column = emit.op("Unsqueeze", [index, emit.constant([1], "class_axis", np.int64)], "column")
        numbers = emit.constant(np.arange(classes)[None], "classes", np.int64)
        one_hot = emit.op("Cast", [emit.op("Equal", [column, numbers], "hit")], "one_hot", to=1)
        found = emit.op("ReduceMax", [one_hot, emit.constant([1], "found_axis", np.int64)], "found", keepdims=1)
        # 1 / 1 is 1 and 0 / 0 is NaN: a class that does not exist must not pass for relevance 0.
        return emit.op("Div", [one_hot, found], "seed")
