"""Which BatchNorm reads which linear layer, seen in a run: zennit goes by the order in which modules were added."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Fold = tuple[list[str], str]
"""The path of a linear layer in a list, and of the BatchNorm that it is folded with: zennit's NamedMergeBatchNorm."""


def folds(model: nn.Module, example: torch.Tensor) -> list[Fold]:
    """Return each BatchNorm that reads what a linear layer returns, with that layer.

    A DenseNet's, which read joined tensors, are none; zennit then passes relevance through.
    example: a batch that the model takes.
    """
    seen = _Seen()
    handles = [
        child.register_forward_hook(seen.after(path))
        for path, child in model.named_modules()
        if not any(child.children())
    ]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return seen.folds


class _Seen:
    def __init__(self) -> None:
        self.folds: list[Fold] = []
        self._results: list[tuple[str, torch.Tensor]] = []

    def after(self, path: str) -> Any:
        from torchvision.ops import FrozenBatchNorm2d
        from zennit.types import BatchNorm, Linear

        def hook(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            if isinstance(module, Linear):
                self._results.append((path, output))  # kept, so that no other tensor takes its place
            elif isinstance(module, (BatchNorm, FrozenBatchNorm2d)):
                self.folds += [([linear], path) for linear, result in self._results if result is inputs[0]]

        return hook
