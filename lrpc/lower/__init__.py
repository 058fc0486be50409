"""Rule by op to ONNX nodes: the one place where they meet.

Without a target the definitions are written down, term by term (-O0: `linear`, `stabilize`). With one the plan is
simplified first, and of several equal forms the cheapest is emitted (-O1: `simplified`, `denominator`).
"""

from lrpc.lower.graphs import explain_graph, forward_graph, relevance_graph

__all__ = ["explain_graph", "forward_graph", "relevance_graph"]
