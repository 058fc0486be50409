"""A runtime as `lrpc conformance` knows it: how to tell whether it is there, and how to start it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Runtime:
    """name: as in `lrpc.emit.capabilities.LACKS`.  title: what tables call it.  install: the command that installs it.

    version: given the folder of JS packages, the installed version, None where there is none.
    command: given that folder, what to start with the folders of jobs (`job.py`) behind it.
    """

    name: str
    title: str
    install: str
    version: Callable[[Path], str | None]
    command: Callable[[Path], list[str]]
