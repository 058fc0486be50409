"""Canonization: graph to graph, the function computed is unchanged; nothing here knows of relevance."""
