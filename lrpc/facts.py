"""What is known of a graph's tensors whatever the input: the sign of each."""

from __future__ import annotations

from lrpc.ops import OPS
from lrpc.sign import ANY, Sign
from passes.graph import Graph


def signs(graph: Graph) -> dict[str, Sign]:
    """Return the sign of every computed tensor of a planned graph by name; nothing is assumed of the input."""
    known = {tensor.name: ANY for tensor in graph.inputs}
    for node in graph.nodes:
        op = OPS[node.op]
        found = op.sign(node, [known[tensor.name] for tensor in op.data(node)])
        known |= {tensor.name: found for tensor in node.outputs}
    return known
