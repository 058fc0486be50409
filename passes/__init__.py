"""Canonization of ONNX graphs: every pass leaves the computed function unchanged and knows nothing of relevance."""

from passes.errors import LrpcError, Problem
from passes.graph import Graph
from passes.load import load
from passes.pipeline import PIPELINE, canonize

__all__ = ["PIPELINE", "Graph", "LrpcError", "Problem", "canonize", "load"]
