"""Rule by op to ONNX nodes: the one place where they meet. This is -O0, the definitions written down."""

from lrpc.lower.graphs import explain_graph, forward_graph, relevance_graph

__all__ = ["explain_graph", "forward_graph", "relevance_graph"]
