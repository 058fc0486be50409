"""Independent references: the formulas in float64, and zennit. They share no code with the lowering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lrpc.rules.behaviours import Behaviour
from passes.errors import LrpcError
from passes.graph import Graph

if TYPE_CHECKING:
    from torch import nn

    from lrpc.reference.oracle import ReferenceResult


def run_oracle(
    graph: Graph,
    behaviours: Mapping[str, Behaviour],
    x: np.ndarray,
    seed: np.ndarray,
    dtype: str = "float64",
    others: Mapping[str, np.ndarray] | None = None,
) -> ReferenceResult:
    """Explain a batch by definition. dtype: "float64" or "float32".  others: the inputs beside the first, by name."""
    torch = require_torch()
    from lrpc.reference.oracle import Oracle

    return Oracle(graph, behaviours, getattr(torch, dtype))(x, seed, others)


def run_zennit(
    module: nn.Module,
    composite: str,
    parameters: Mapping[str, Any],
    x: np.ndarray,
    seed: np.ndarray,
    dtype: str = "float64",
) -> ReferenceResult:
    """Explain a batch with zennit. parameters: the composite's. dtype: "float64" or "float32"."""
    torch = require_torch()
    from lrpc.reference.zennit_adapter import zennit_relevance

    return zennit_relevance(module, composite, x, seed, dtype=getattr(torch, dtype), **parameters)


def require_torch() -> Any:
    """Return the module torch. Raises LrpcError, which tells how to install it, where there is none."""
    try:
        import torch
    except ImportError as error:
        raise LrpcError(
            "PyTorch is not installed; the references need it.", hint="Install it with: pip install 'lrpc[torch]'"
        ) from error
    return torch
