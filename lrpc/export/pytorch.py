"""PyTorch itself: imported only where it is needed, and kept quiet."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from passes.errors import LrpcError

INSTALL_HINT = "Install it with: pip install 'lrpc[torch]'"


def require_torch() -> Any:
    """Return the module torch. Raises LrpcError, which tells how to install it, where there is none."""
    try:
        import torch
        import torch.onnx
    except ImportError as error:
        raise LrpcError("PyTorch is not installed; exporting a model needs it.", hint=INSTALL_HINT) from error
    return torch


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's progress prints, logs and deprecation warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    sink = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
