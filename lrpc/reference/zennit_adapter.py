"""zennit as a reference: the same composite on the torch model, layer by layer, in any dtype.

It knows zennit 0.5.1 and 1.0.0. What is put right first, on a copy of the module: 0.5.1 folds a BatchNorm without
setting its eps to 0, so that each still divides by sqrt(1 + eps); here eps moves into the variance beforehand, which
leaves the function as it is, for 1.0.0 too. 1.0.0 leaves the `state_dict()` of what it explained altered: the copy's.
Functions that zennit has a module for become modules (`lrpc.reference.functional`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from lrpc.reference.folds import Fold, folds
from lrpc.reference.functional import made_of, modular, named_leaves, path_in
from lrpc.reference.oracle import ReferenceResult
from lrpc.reference.zennit_tutorial import tutorial_composite
from lrpc.rules.constructors import Bound, Epsilon
from lrpc.rules.stabilizer import Stabilizer
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
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, FrozenBatchNorm2d)


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
    Layers are named as lrpc names them: module paths, `:1`, `:2` for repeated calls, and `X.add` for a `+` of X that
    became a Sum module. The result's note says what became one without zennit's canonizers.
    Raises LrpcError where zennit is missing, has no such composite, or cannot explain the module.
    """
    model, built = prepared_zennit(module, composite, dtype, x.shape[1:], **parameters)
    x_tensor = torch.as_tensor(x).to(dtype).requires_grad_()
    with built.context(model) as modified:
        record = _Recorder(modified)
        output = modified(x_tensor)
        (relevance,) = torch.autograd.grad(output, x_tensor, torch.as_tensor(seed).to(dtype))
        record.remove()
    found = output.detach().numpy(), relevance.numpy(), record.activations(), record.arriving()
    return ReferenceResult(*found, note=made_of(model))


def prepared_zennit(
    module: nn.Module, composite: str, dtype: torch.dtype, shape: Sequence[int], **parameters: Any
) -> tuple[nn.Module, Any]:
    """Return a cured copy of the module, and zennit's composite for it. shape: of one sample."""
    _refuse(composite, parameters)
    model = _prepared(module, dtype)
    example = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    with _running(module, shape):
        folded = folds(model, example)
    if composite != "tutorial":  # which has no rule for what would become modules, and counts those of the network
        with _canonized(model):
            model = modular(model, example)
    return model, _composite(composite, model, parameters, folded, len(shape) + 1, dtype)


@contextmanager
def _running(module: nn.Module, shape: Sequence[int]) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise LrpcError(
            f"{type(module).__name__} cannot run on a batch of shape {(1, *shape)}: {reason}",
            hint="Is it the PyTorch model that the file was exported from?",
        ) from error


@contextmanager
def _canonized(model: nn.Module) -> Iterator[None]:
    """Make the residual sums modules that zennit's own canonizers can make modules, while this lasts."""
    made = _sums().apply(model)
    yield
    for canonizer in made:
        canonizer.remove()


def _prepared(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    model: nn.Module = copy.deepcopy(module).eval().to(dtype).requires_grad_(False)
    for child in model.modules():
        if isinstance(child, _BATCH_NORMS) and child.running_var is not None:
            child.running_var += child.eps
            child.eps = 0.0
            if child.weight is None:
                child.weight = nn.Parameter(torch.ones_like(child.running_var), requires_grad=False)
                child.bias = nn.Parameter(torch.zeros_like(child.running_var), requires_grad=False)
        if hasattr(child, "inplace"):
            setattr(child, "inplace", False)  # noqa: B010
    return model


def _refuse(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise LrpcError where zennit is missing, or has no such composite with such parameters."""
    try:
        import zennit  # noqa: F401
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
    if name == "tutorial" and parameters.get("zero_params"):
        raise LrpcError("The tutorial of the issue keeps its biases.", hint="Use --reference oracle.")


def _composite(
    name: str,
    model: nn.Module,
    parameters: Mapping[str, Any],
    folded: Sequence[Fold],
    rank: int,
    dtype: torch.dtype,
) -> Any:
    from zennit import composites
    from zennit.canonizers import CompositeCanonizer, NamedMergeBatchNorm

    merge = NamedMergeBatchNorm(
        [([path_in(model, path) for path in linears], path_in(model, n)) for linears, n in folded]
    )
    bounds: dict[str, Any] = {key: _bound(parameters[key], rank, dtype) for key in ("low", "high") if key in parameters}
    if name == "tutorial":
        return tutorial_composite(model, [merge], **({**parameters} | bounds))
    given = {key: value for key, value in parameters.items() if key not in ("sum_stabilizer", "share_bias")}
    given |= {key: _stabilizer(given[key]) for key in ("epsilon", "stabilizer") if key in given}
    constructor: Callable[..., Any] = composites.COMPOSITES["epsilon_plus" if name == "epsilon" else name]
    if first := _first(name, parameters):
        given["layer_map"] = first
    return constructor(**(given | bounds), canonizers=[CompositeCanonizer((merge, _sums()))])


def _first(name: str, parameters: Mapping[str, Any]) -> list[tuple[Any, Any]]:
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


def _sums() -> Any:
    """Return what makes every block of a torchvision ResNet call a Sum module."""
    from zennit.canonizers import CompositeCanonizer
    from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer

    return CompositeCanonizer((ResNetBottleneckCanonizer(), ResNetBasicBlockCanonizer()))


class _Recorder:
    """Record outputs and their gradients of all leaf modules, under the names that lrpc gives layers."""

    def __init__(self, model: nn.Module) -> None:
        self._outputs: dict[str, torch.Tensor] = {}
        self._gradients: dict[str, torch.Tensor] = {}
        self._calls: dict[str, int] = {}
        self._handles = [child.register_forward_hook(self._hook(names)) for names, child in named_leaves(model)]

    def _hook(self, names: Sequence[str]) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            for path in names:
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
