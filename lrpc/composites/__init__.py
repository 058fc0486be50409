"""Composites: which layer gets which rule. Those that come with lrpc are here by their names in the field."""

from lrpc.composites.builtin import *  # noqa: F403
from lrpc.composites.builtin import __all__ as __all__
