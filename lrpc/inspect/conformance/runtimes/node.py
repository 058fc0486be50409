"""Runtimes with an npm package; node.mjs runs jobs on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from lrpc.inspect.conformance.runtimes.runtime import Runtime

_SCRIPT = Path(__file__).with_suffix(".mjs")


def runtime(package: str, title: str, install: str) -> Runtime:
    """Return a runtime of an npm package, installed where Node.js is and the folder of packages holds it."""
    return Runtime(
        package,
        title,
        install,
        lambda folder: _version(folder / package / "package.json"),
        lambda folder: ["node", str(_SCRIPT), package, str(folder.resolve())],
    )


def _version(description: Path) -> str | None:
    if shutil.which("node") is None or not description.is_file():
        return None
    return str(json.loads(description.read_text(encoding="utf-8"))["version"])
