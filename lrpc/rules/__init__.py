"""Relevance rules: the algebra that they are written in, and their constructors by the names of the field."""

from lrpc.rules import behaviours, constructors
from lrpc.rules.behaviours import *  # noqa: F403
from lrpc.rules.constructors import *  # noqa: F403

__all__ = [*behaviours.__all__, *constructors.__all__]
