"""Compile Layer-wise Relevance Propagation to standard ONNX graphs."""

from passes import LrpcError

__version__ = "0.1.0"
__all__ = ["LrpcError", "__version__"]
