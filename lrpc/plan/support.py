"""Where relevance can be non-zero, whatever the input: an analysis from the output down.

Relevance that a rule multiplies by its input vanishes where that input is 0. Behind a ReLU that is where
the pre-activation is negative, so that a rule above it need not say what to do there.
"""

from __future__ import annotations

from collections.abc import Mapping

from lrpc.behaviours import meaning
from lrpc.behaviours.support import NOWHERE, Support
from lrpc.ops import OPS
from lrpc.plan.plan import Plan
from lrpc.rules.sign import Sign


def supports(plan: Plan, signs: Mapping[str, Sign]) -> dict[str, Support]:
    """Return where relevance can arrive at every computed tensor of a plan, by name.

    signs: of the same graph's tensors. What several layers read gets relevance wherever one of them sends it,
    and the model's output wherever the seed is.
    """
    known = {plan.graph.outputs[0].name: Support.ANYWHERE}
    for node, row in zip(reversed(plan.graph.nodes), reversed(plan.rows), strict=True):
        arriving = known[node.outputs[0].name]
        op, sense = OPS[node.op], meaning(row.rule)
        for index, tensor in enumerate(op.data(node)):
            found = sense.support(row.rule, op, node, index, arriving)
            if found is Support.NONZERO and not signs[tensor.name].negative:
                found = Support.POSITIVE
            known[tensor.name] = min(found, known.get(tensor.name, NOWHERE))
    return known
