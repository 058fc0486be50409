"""What is known of a plan's layers whatever the input: signs of tensors, and where relevance can arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpc.behaviours.linear.rule_signs import box_of
from lrpc.behaviours.support import Support
from lrpc.ops import OPS, LinearOp
from lrpc.ops.op import sign_of, union
from lrpc.plan.plan import Plan
from lrpc.plan.support import supports
from lrpc.rules.sign import ANY, NON_NEGATIVE, Sign
from passes.graph import Graph, constant


@dataclass(frozen=True)
class Facts:
    """Of one linear layer. x: the sign of its data inputs.  w, b: of its weight and bias.

    support: where relevance can arrive at its output z = f(x; w, b).
    """

    x: Sign
    w: Sign
    b: Sign
    support: Support

    def __str__(self) -> str:
        known = [f"{name} {sign}" for name, sign in (("x", self.x), ("w", self.w), ("b", self.b)) if sign != ANY]
        arrives = [f"R only {self.support}"] if self.support is not Support.ANYWHERE else []
        return ", ".join([*known, *arrives])


def signs(graph: Graph, entry: Sign = ANY) -> dict[str, Sign]:
    """Return the sign of every computed tensor of a planned graph by name.

    entry: what is assumed of the input that relevance goes to. Of others nothing is, but what their type tells.
    """
    first, *others = graph.inputs
    known = {first.name: entry} | {tensor.name: _sign_of_type(tensor.dtype) for tensor in others}
    for node in graph.nodes:
        op = OPS[node.op]
        fixed = {tensor.name: constant(tensor) for tensor in op.data(node)}  # a Concat may join constants
        known |= {name: sign_of(values) for name, values in fixed.items() if values is not None}
        found = op.sign(node, [known[tensor.name] for tensor in op.data(node)])
        known |= {tensor.name: found for tensor in node.outputs}
    return known


def input_sign(plan: Plan) -> Sign:
    """Return the sign of a plan's input: one, where a ZBox reads it whose range reaches to one side of 0 only.

    Nothing else about the input is assumed.
    """
    entry = plan.graph.inputs[0]
    found = ANY
    for node, row in zip(plan.graph.nodes, plan.rows, strict=True):
        box = box_of(row.rule) if node.inputs[0] is entry else None
        if box is not None:
            found &= Sign(bool(np.max(box[1]) > 0), bool(np.min(box[0]) < 0))
    return found


def facts(plan: Plan) -> dict[str, Facts]:
    """Return what is known of every linear layer of a plan, by its name."""
    known = signs(plan.graph, input_sign(plan))
    arriving = supports(plan, known)
    return {
        node.name: Facts(
            union([known[tensor.name] for tensor in OPS[node.op].data(node)]),
            *op.parameter_signs(node),
            arriving[node.outputs[0].name],
        )
        for node in plan.graph.nodes
        if isinstance(op := OPS[node.op], LinearOp)
    }


def _sign_of_type(dtype: Any) -> Sign:
    return NON_NEGATIVE if isinstance(dtype, np.dtype) and dtype.kind in "ub" else ANY
