"""Compile Layer-wise Relevance Propagation to standard ONNX graphs.

    compiled = lrpc.compile("resnet50.onnx")
    compiled.save("resnet50.lrp")
    result = lrpc.Explainer("resnet50.lrp")(x, target=437)

Names are imported when they are first used: running a bundle loads numpy, onnx and onnxruntime only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrpc.version import VERSION
from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc import composites, rules
    from lrpc.compiler import Compiled, compile, plan_model
    from lrpc.inspect.diagnose.trace import Trace, Tracer
    from lrpc.rules.stabilizer import Stabilizer
    from lrpc.runtime.explainer import Explainer, Explanation
    from lrpc.runtime.health import Health, HealthWarning

__version__ = VERSION

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
    "Explainer": "lrpc.runtime.explainer",
    "Explanation": "lrpc.runtime.explainer",
    "Health": "lrpc.runtime.health",
    "HealthWarning": "lrpc.runtime.health",
    "Trace": "lrpc.inspect.diagnose.trace",
    "Tracer": "lrpc.inspect.diagnose.trace",
    "Stabilizer": "lrpc.rules.stabilizer",
}


def __getattr__(name: str) -> Any:
    if name in ("composites", "rules"):
        return importlib.import_module(f"lrpc.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lrpc' has no attribute {name!r}")
