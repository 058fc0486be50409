"""What each behaviour comes to on one layer: where it fits, what bounds it, where it sends relevance, its nodes."""

from lrpc.behaviours.table import MEANINGS, meaning

__all__ = ["MEANINGS", "meaning"]
