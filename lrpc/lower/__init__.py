"""From a plan to graphs: the reverse loop, the seed before it and the health behind it."""

from lrpc.lower.graphs import explain_graph, forward_graph, relevance_graph

__all__ = ["explain_graph", "forward_graph", "relevance_graph"]
