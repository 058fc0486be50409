"""The runtimes that a machine without a GPU can have; one that is not there is a failure that says what installs it."""

from pathlib import Path

import pytest

from lrpc.inspect.conformance.runtimes import RUNTIMES

NODE_MODULES = Path(__file__).parent / "node_modules"

INSTALLABLE = {runtime.name: runtime for runtime in RUNTIMES if runtime.name != "onnxruntime-cuda"}
"""CUDA needs a GPU; tests/test_cuda.py asks its provider where every node would be placed."""


def installed(name):
    runtime = INSTALLABLE[name]
    if runtime.version(NODE_MODULES) is None:
        pytest.fail(f"{runtime.title} is not installed: {runtime.install} (make test-deploy does)")
    return runtime
