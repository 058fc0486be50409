"""zennit as a reference: the same composite on the torch model, layer by layer, in any dtype.

What is put right first, on a copy of the module: zennit 0.5.1 folds a BatchNorm without setting its
eps to 0, so that each still divides by sqrt(1 + eps); here eps moves into the variance beforehand,
which leaves the function as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lrpc.reference.oracle import ReferenceResult
from lrpc.reference.zennit_tutorial import tutorial_composite
from lrpc.rules import Bound, Epsilon
from lrpc.stabilizer import Stabilizer
from passes.errors import LrpcError

COMPOSITES = (
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "excitation_backprop",
    "tutorial",
    "epsilon",
)
"""The names that lrpc and zennit share, `tutorial`, and `epsilon`: Epsilon for convolutions too."""
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def zennit_relevance(
    module: nn.Module,
    composite: str,
    x: np.ndarray,
    seed: np.ndarray,
    *,
    dtype: torch.dtype = torch.float64,
    **parameters: Any,
) -> ReferenceResult:
    """Explain a batch with zennit.

    composite: one of `COMPOSITES`.  parameters: the composite's own (low, high, gamma, epsilon, ...);
    low and high are numbers or one per channel.  The caller's module is left as it is.
    Layers are named as lrpc names them: module paths, `:1`, `:2` for repeated calls, and `X.add` for
    the sum that zennit's canonizer makes of a residual block's `+`.
    Raises LrpcError where zennit is missing or has no such composite.
    """
    model, built = prepared_zennit(module, composite, dtype, x.ndim, **parameters)
    x_tensor = torch.as_tensor(x).to(dtype).requires_grad_()
    with built.context(model) as modified:
        record = _Recorder(modified)
        output = modified(x_tensor)
        (relevance,) = torch.autograd.grad(output, x_tensor, torch.as_tensor(seed).to(dtype))
        record.remove()
    return ReferenceResult(output.detach().numpy(), relevance.numpy(), record.activations(), record.arriving())


def prepared_zennit(
    module: nn.Module, composite: str, dtype: torch.dtype, rank: int, **parameters: Any
) -> tuple[nn.Module, Any]:
    """Return a cured copy of the module and zennit's composite for it. rank: the number of axes of a batch."""
    model = _prepared(module, dtype)
    return model, _composite(composite, model, parameters, rank, dtype)


def _prepared(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    model: nn.Module = copy.deepcopy(module).eval().to(dtype)
    for child in model.modules():
        if isinstance(child, _BATCH_NORMS) and child.running_var is not None:
            child.running_var += child.eps
            child.eps = 0.0
        if hasattr(child, "inplace"):
            setattr(child, "inplace", False)  # noqa: B010
    return model


def _composite(name: str, model: nn.Module, parameters: dict[str, Any], rank: int, dtype: torch.dtype) -> Any:
    try:
        from zennit import composites
    except ImportError as error:
        raise LrpcError("zennit is not installed.", hint="Install it with: pip install 'lrpc[torch]'") from error
    if name not in COMPOSITES:
        raise LrpcError(
            f"zennit has no composite {name!r}; it is a reference for {', '.join(COMPOSITES)}.",
            hint="Use --reference oracle, which takes any rules.",
        )
    if name == "epsilon_gamma_box" and parameters.get("zero_params"):
        raise LrpcError(
            "With the bias zeroed, zennit's Gamma tests the biased pre-activation and lrpc's the bias-free one.",
            hint="Use --reference oracle.",
        )
    if parameters.get("share_bias"):
        raise LrpcError("zennit shares no bias out among the inputs.", hint="Use --reference oracle.")
    bounds: dict[str, Any] = {key: _bound(parameters[key], rank, dtype) for key in ("low", "high") if key in parameters}
    if name == "tutorial" and parameters.get("zero_params"):
        raise LrpcError("The tutorial of the issue keeps its biases.", hint="Use --reference oracle.")
    if name == "tutorial":
        return tutorial_composite(model, **(parameters | bounds))
    given = {key: value for key, value in parameters.items() if key not in ("sum_stabilizer", "share_bias")}
    given |= {key: _stabilizer(given[key]) for key in ("epsilon", "stabilizer") if key in given}
    constructor: Callable[..., Any] = composites.COMPOSITES["epsilon_plus" if name == "epsilon" else name]
    if first := _first(name, parameters):
        given["layer_map"] = first
    return constructor(**(given | bounds), canonizers=[_canonizer(model)])


def _first(name: str, parameters: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the entries that come before those of zennit's composite."""
    from zennit import rules
    from zennit.layer import Sum
    from zennit.types import Convolution

    entries: list[tuple[Any, Any]] = []
    if parameters.get("sum_stabilizer") is not None:
        entries.append((Sum, rules.Norm(stabilizer=_stabilizer(parameters["sum_stabilizer"]))))
    if name == "epsilon":
        entries.append((Convolution, rules.Epsilon(epsilon=_stabilizer(parameters.get("epsilon", 1e-6)))))
    return entries


def _stabilizer(value: Epsilon) -> Any:
    from zennit.core import Stabilizer as ZennitStabilizer

    stabilizer = Stabilizer.of(value)
    if stabilizer.floor or not stabilizer.signed:
        raise LrpcError(f"zennit has no stabilizer {stabilizer}.", hint="Use --reference oracle.")
    return ZennitStabilizer(stabilizer.epsilon, stabilizer.clip, stabilizer.scale == "rms", stabilizer.axes)


def _bound(value: Bound, rank: int, dtype: torch.dtype) -> torch.Tensor:
    bound = torch.tensor(value, dtype=dtype)
    return bound.reshape(1, -1, *[1] * (rank - 2)) if bound.ndim else bound


def _canonizer(model: nn.Module) -> Any:
    """Fold BatchNorms, and make every block whose forward adds a residual call a Sum module."""
    from zennit.canonizers import CompositeCanonizer, SequentialMergeBatchNorm
    from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer

    return CompositeCanonizer((
        SequentialMergeBatchNorm(),
        ResNetBottleneckCanonizer(),
        ResNetBasicBlockCanonizer(),
        _residual_canonizer(),
    ))  # fmt: skip


def _residual_canonizer() -> Any:
    """Do for any block with a `lrpc_branches` method what zennit's ResNet canonizers do for torchvision's.

    `lrpc_branches(x)` returns the two operands of the block's `+`, `lrpc_after(sum)` what follows it.
    """
    from zennit.canonizers import AttributeCanonizer
    from zennit.layer import Sum

    def forward(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        block: Any = self
        stacked = torch.stack(block.lrpc_branches(x), dim=-1)
        result: torch.Tensor = block.lrpc_after(block.canonizer_sum(stacked))
        return result

    def attributes(name: str, module: nn.Module) -> dict[str, Any] | None:
        if not hasattr(module, "lrpc_branches"):
            return None
        return {"forward": forward.__get__(module), "canonizer_sum": Sum()}

    return AttributeCanonizer(attributes)


class _Recorder:
    """Record outputs and their gradients of all leaf modules, under the names that lrpc gives layers."""

    def __init__(self, model: nn.Module) -> None:
        self._outputs: dict[str, torch.Tensor] = {}
        self._gradients: dict[str, torch.Tensor] = {}
        self._calls: dict[str, int] = {}
        self._handles = [
            child.register_forward_hook(self._hook(path.replace(".canonizer_sum", ".add")))
            for path, child in model.named_modules()
            if not any(child.children())
        ]

    def _hook(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            repeat = self._calls.get(path, 0)
            self._calls[path] = repeat + 1
            name = f"{path}:{repeat}" if repeat else path
            self._outputs[name] = output.detach()
            if output.requires_grad:
                output.register_hook(partial(self._store, name))  # type: ignore[no-untyped-call]

        return hook

    def _store(self, name: str, gradient: torch.Tensor) -> None:
        self._gradients[name] = gradient.detach()

    def activations(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self._outputs.items()}

    def arriving(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self._gradients.items()}

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
