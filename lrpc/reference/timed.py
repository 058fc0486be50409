"""PyTorch's gradient and zennit's explanation as functions to be timed: set up once, run many times.

A run takes what ONNX Runtime's takes, an array in host memory, and leaves the result there.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from lrpc.export import load_torch
from lrpc.reference.zennit_adapter import prepared_zennit
from passes.errors import LrpcError

Run = Callable[[np.ndarray], np.ndarray]
"""Take a batch, float32 (n, *input shape), and return what arrives at the input, of the same shape."""


def gradient_pass(source: str, weights: str, device: str, threads: int) -> Run:
    """Return a run of the plain gradient of class 0, in eval mode.

    source, weights: the model as `load_torch` takes it.  device: "cpu" or "cuda".  threads: of the CPU.
    Raises LrpcError where there is no such model or device.
    """
    model = copy.deepcopy(_loaded(source, weights)).eval()
    return _run(model.requires_grad_(False), device, threads)


def zennit_pass(
    source: str,
    weights: str,
    composite: str,
    parameters: Mapping[str, Any],
    shape: Sequence[int],
    device: str,
    threads: int,
) -> Run:
    """Return a run of zennit's explanation of class 0; its hooks are registered once.

    composite, parameters: as in `zennit_relevance`.  shape: of one sample.  The others, and errors: as
    in `gradient_pass`.
    """
    model, built = prepared_zennit(_loaded(source, weights), composite, torch.float32, shape, **parameters)
    run = _run(model, device, threads)
    built.register(model)
    return run


def libraries() -> None:
    """Do nothing: PyTorch and zennit are loaded by now."""
    import zennit.composites  # noqa: F401


@functools.cache
def _loaded(source: str, weights: str) -> nn.Module:
    return load_torch(source, weights=weights).module


def _run(model: nn.Module, device: str, threads: int) -> Run:
    if device == "cuda" and not torch.cuda.is_available():
        raise LrpcError(
            "PyTorch finds no CUDA device here.", hint="Install a PyTorch with CUDA, or use --provider cpu."
        )
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # as ONNX Runtime is run; matrix products have it off by themselves
    model = model.to(device)

    def run(x: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(x).to(device).requires_grad_()
        output = _output(model, tensor)
        seed = torch.zeros_like(output)
        seed[:, 0] = 1
        (result,) = torch.autograd.grad(output, tensor, seed)
        array: np.ndarray = result.cpu().numpy()
        return array

    return run


def _output(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    try:
        output: torch.Tensor = model(x)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise LrpcError(
            f"The PyTorch model cannot run on a batch of shape {tuple(x.shape)}: {reason}",
            hint="Is --torch the model that the file was exported from?",
        ) from error
    return output
