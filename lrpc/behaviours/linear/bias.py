"""Emit what a share's bias earns, and its equal parts for the inputs."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.behaviours.linear.modify import modify_input, modify_parameter
from lrpc.behaviours.linear.stabilize import divide
from lrpc.behaviours.linear.terms import Terms, add_signed
from lrpc.rules.algebra import ONE
from passes.graph import rank_of


def earnings(terms: Terms, s: gs.Tensor) -> gs.Tensor | None:
    """Emit b' * s; None where there is no bias."""
    emit = terms.emit
    biases = [(modify_parameter(emit, terms.bias, term.b), term.sign) for term in terms.share.terms]
    signed = [(bias, sign) for bias, sign in biases if bias is not None]
    if not signed:
        return None
    with emit.scope("bias"):
        total = add_signed(emit, signed, "total")
        rank = rank_of(terms.node.outputs[0])
        shape = emit.constant([1, -1, *[1] * (rank - 2)], "shape", np.int64)
        return emit.op("Mul", [s, emit.op("Reshape", [total, shape], "shaped")], "earned")


def spread(terms: Terms, amount: gs.Tensor) -> list[gs.Tensor]:
    """Emit equal parts of what a bias earned for all the inputs that its output sees."""
    emit, op, node = terms.emit, terms.op, terms.node
    with emit.scope("bias"):
        ones = [modify_input(emit, emit.read(x), ONE, "one") for x in op.data(node)]
        w = modify_parameter(emit, terms.weight, ONE)
        count = op.forward(emit, node, ones, w, None)
        return op.transpose(emit, node, divide(emit, amount, count, can_vanish=True), w)
