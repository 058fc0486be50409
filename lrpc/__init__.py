"""Compile Layer-wise Relevance Propagation to standard ONNX graphs.

    compiled = lrpc.compile("resnet50.onnx")
    compiled.save("resnet50.lrp")
    result = lrpc.Explainer("resnet50.lrp")(x, target=437)

Names are imported when they are first used: running a bundle loads numpy, onnx and onnxruntime only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc import composites, rules
    from lrpc.compiler import Compiled, compile, plan_model
    from lrpc.health import Health, HealthWarning
    from lrpc.inspect.trace import Trace, Tracer
    from lrpc.runtime import Explainer, Explanation
    from lrpc.stabilizer import Stabilizer

__version__ = "0.1.0"

__all__ = [
    "Compiled",
    "Explainer",
    "Explanation",
    "Health",
    "HealthWarning",
    "LrpcError",
    "Stabilizer",
    "Trace",
    "Tracer",
    "__version__",
    "compile",
    "composites",
    "plan_model",
    "rules",
]

_HOMES = {
    "Compiled": "lrpc.compiler",
    "compile": "lrpc.compiler",
    "plan_model": "lrpc.compiler",
    "Explainer": "lrpc.runtime",
    "Explanation": "lrpc.runtime",
    "Health": "lrpc.health",
    "HealthWarning": "lrpc.health",
    "Trace": "lrpc.inspect.trace",
    "Tracer": "lrpc.inspect.trace",
    "Stabilizer": "lrpc.stabilizer",
}


def __getattr__(name: str) -> Any:
    if name in ("composites", "rules"):
        return importlib.import_module(f"lrpc.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lrpc' has no attribute {name!r}")
