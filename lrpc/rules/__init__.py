"""Relevance rules: the algebra that they are written in, and their constructors by the names of the field."""

from lrpc.rules.constructors import *  # noqa: F403
from lrpc.rules.constructors import __all__ as __all__
