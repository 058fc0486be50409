"""Write a folder or a file whole, or not at all: beside its place first, then by renaming."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from passes.errors import LrpcError


def check_free(path: Path, marker: str, force: bool, what: str = "bundle") -> None:
    """Raise LrpcError unless `path` can be written: nothing is there, or with `force` what lrpc wrote.

    marker: the file by which a folder is known to be lrpc's.  what: what it is called.
    """
    if not path.parent.is_dir():
        raise LrpcError(f"{path.parent} is no folder to write {path.name} into.")
    if path.is_dir() and not (path / marker).is_file() and any(path.iterdir()):
        raise LrpcError(f"{path} is a folder that is no {what}; lrpc leaves it alone.", hint="Choose another name.")
    if path.exists() and not force:
        raise LrpcError(f"{path} exists already.", hint="Replace it with --force, or choose another name.")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a folder beside `path` to write into; nothing of it is left afterwards."""
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def replace(draft: Path, path: Path) -> None:
    """Move a folder to `path`, in the place of what is there."""
    if path.exists():
        with beside(path) as old:
            os.replace(path, old / "old") if path.is_dir() else path.unlink()
            os.replace(draft, path)
    else:
        os.replace(draft, path)
    path.chmod(0o755)
