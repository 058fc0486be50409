"""Adaptive pools become plain ones before an export, which would write them as gathers."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lrpc.export.pytorch import require_torch

if TYPE_CHECKING:
    import torch
    from torch import nn

Windows = tuple[tuple[int, ...], tuple[int, ...]]
"""Kernel and stride of a pool."""


def spell_adaptive_pools(module: nn.Module, example: torch.Tensor) -> None:
    """Make adaptive pools plain ones, in place, where all their windows are alike; others see values in plain order.

    Windows are alike where 8 positions become 7, or where the size stays. Where the size is a multiple of the result's,
    an export writes a pool itself. The others would be gathers, even that one where channels come last in memory.
    They stay layers, because an average pool has its own rule.
    """
    torch = require_torch()
    plain = {
        getattr(torch.nn, f"Adaptive{kind}Pool{d}d"): getattr(torch.nn, f"{kind}Pool{d}d")
        for kind in ("Avg", "Max")
        for d in (1, 2, 3)
    }
    windows: dict[nn.Module, set[Windows | None]] = defaultdict(set)

    def remember(pool: nn.Module, inputs: Any, output: Any) -> None:
        found = _windows(inputs[0].shape[2:], output.shape[2:])
        windows[pool].add(found)
        if found is None and not inputs[0].is_contiguous():
            pool.register_forward_pre_hook(lambda pool, inputs: (inputs[0].contiguous(),))

    handles = [m.register_forward_hook(remember) for m in module.modules() if type(m) in plain]
    with torch.no_grad():
        module(example)
    for handle in handles:
        handle.remove()
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            (found, *others) = windows.get(child, {None})
            if found is not None and not others:
                setattr(parent, name, plain[type(child)](*found))


def _windows(before: torch.Size, after: torch.Size) -> Windows | None:
    """Return the windows of an adaptive pool, None where they differ, or where an export writes a pool itself.

    Window i of n positions that become m begins at floor(i n / m), and ends before ceil((i + 1) n / m).
    """
    if before != after and all(n % m == 0 for n, m in zip(before, after, strict=True)):
        return None
    kernel, stride = [], []
    for n, m in zip(before, after, strict=True):
        starts = [i * n // m for i in range(m)]
        sizes = {-(-(i + 1) * n // m) - start for i, start in enumerate(starts)}
        steps = {second - first for first, second in pairwise(starts)} or {1}
        if len(sizes) > 1 or len(steps) > 1:
            return None
        kernel.append(sizes.pop())
        stride.append(steps.pop())
    return tuple(kernel), tuple(stride)
