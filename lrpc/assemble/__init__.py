"""From a plan to a bundle in memory: graphs are lowered, varied as asked for, checked, and described in a manifest."""

from lrpc.assemble.assemble import Variant, assemble

__all__ = ["Variant", "assemble"]
