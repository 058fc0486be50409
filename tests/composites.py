"""The composites that come with lrpc, with a range for those that take the input's."""

from __future__ import annotations

import inspect

from lrpc.composites.builtin import COMPOSITES
from lrpc.composites.composite import Composite

PARAMETERS = {
    name: {"low": -2.0, "high": 2.0} if "low" in inspect.signature(constructor).parameters else {}
    for name, constructor in COMPOSITES.items()
}


def composite(name: str) -> Composite:
    return COMPOSITES[name](**PARAMETERS[name])
