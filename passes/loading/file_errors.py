"""What the operating system says of files, in plain words: the one place that turns its errors into an LrpcError."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from passes.errors import LrpcError

_REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "this user has no permission",
    errno.EPERM: "this user has no permission",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its links lead round in a circle",
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the disk is read-only",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
    errno.EIO: "the disk reports an error",
    errno.EXDEV: "it lies on another disk",
    errno.ENXIO: "it is no regular file",
    errno.EINVAL: "the system takes no such name or file here",
}
_NO_NAME = "no file can have this name"


@contextmanager
def file_errors(path: str | Path, verb: str = "read", hint: str = "") -> Iterator[None]:
    """Raise LrpcError for what the system reports while `path` is opened, read or written.

    verb: what cannot be done with it, "read" or "written".  A pipe that its reader has closed is left to the caller.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise LrpcError(f"{short_path(path)} cannot be {verb}: {reason}.", hint=hint) from error


def is_file(path: str | Path) -> bool:
    """Whether a regular file is there; a name that no file can have is none, where pathlib raises OSError."""
    try:
        return Path(path).is_file()
    except OSError as error:
        raise LrpcError(f"{short_path(path)} cannot be read: {reason_of(error)}.") from error


def told(error: OSError | ValueError) -> str:
    """Return a sentence for an error that nobody has told the path of; most name their file themselves."""
    name, reason = getattr(error, "filename", None), reason_of(error)
    return f"{short_path(name)}: {reason}." if name else f"A file cannot be read or written: {reason}."


def reason_of(error: OSError | ValueError) -> str | None:
    """Return why, in plain words; None for a ValueError that does not come from a file's name."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        named = isinstance(error, UnicodeEncodeError) or "null byte" in str(error) or "null character" in str(error)
        return _NO_NAME if named else None
    if error.errno is None:
        return str(error) or type(error).__name__
    return _REASONS.get(error.errno) or os.strerror(error.errno)


def short_path(path: object, longest: int = 120) -> str:
    """Return a path as it is printed: its middle left out where it is long."""
    text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"
