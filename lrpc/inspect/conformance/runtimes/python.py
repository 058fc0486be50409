"""Runtimes with a Python package; `worker.py` runs jobs on them, in a process of its own."""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.util import find_spec

from lrpc.inspect.conformance.runtimes.runtime import Runtime


def runtime(name: str, title: str, package: str, install: str) -> Runtime:
    """Return a runtime that `worker.ENGINES[name]` runs, installed where `package` can be imported."""
    return Runtime(name, title, install, lambda folder: version(package), lambda folder: command(name))


def version(package: str) -> str | None:
    """Return the version of a package that can be imported here, "" where it tells none, None where there is none."""
    if find_spec(package) is None:
        return None
    distributions = metadata.packages_distributions().get(package, [package])
    return metadata.version(distributions[0])


def command(name: str) -> list[str]:
    """Return what starts the worker."""
    return [sys.executable, "-W", "ignore", "-m", "lrpc.inspect.conformance.runtimes.worker", name]
