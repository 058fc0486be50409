"""Arrays from .npy files: a header is held against its file before anything is allocated, and nothing is unpickled."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from passes.errors import LrpcError
from passes.loading.file_errors import file_errors, is_file, short_path


def read_array(path: Path, hint: str = "") -> np.ndarray:
    """Return the array in an .npy file, mapped and read-only: its values are read when they are needed.

    hint: what to do where the file is none.
    Raises LrpcError where it cannot be read, holds several arrays (.npz), Python objects or something else, or is
    shorter than its header says.
    """
    if not is_file(path):
        raise LrpcError(f"{path} does not exist." if not path.exists() else f"{path} is no file.", hint=hint)
    with file_errors(path), path.open("rb") as stream:
        start = stream.read(2)
    if start == b"PK":
        raise LrpcError(f"{short_path(path)} holds several arrays (.npz); give one (.npy).", hint=hint)
    with file_errors(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a header that Python can read only just is told below, or read
                array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError:
            raise
        # numpy lets Python parse the header, which raises whatever the text makes it stumble over.
        except Exception as error:
            message = f"{short_path(path)} is not an .npy array of numbers, or it is truncated."
            raise LrpcError(message, hint=hint) from error
    return array
