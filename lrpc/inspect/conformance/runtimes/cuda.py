"""ONNX Runtime on CUDA: installed where a session can be started on it."""

from __future__ import annotations

from pathlib import Path

from lrpc.inspect.conformance.runtimes.python import command, version
from lrpc.inspect.conformance.runtimes.runtime import Runtime
from passes.errors import LrpcError


def runtime(name: str, title: str, install: str) -> Runtime:
    """Return ONNX Runtime with its CUDA provider."""
    return Runtime(name, title, install, _version, lambda folder: command(name))


def _version(folder: Path) -> str | None:
    from lrpc.runtime.session import CUDA, check_provider

    try:
        check_provider(CUDA)
    except LrpcError:
        return None
    return version("onnxruntime")
