"""Modules in the place of functions: zennit has rules for modules only, and gives functions the gradient.

A residual `+` so hands its relevance to both branches whole, where a Sum module shares it out. A module is run once to
see which functions that zennit has a module for it calls itself; each call then goes through a module of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from passes.errors import LrpcError

_SUMS = ("add", "add_")
_AVERAGES = ("mean", *(f"{kind}avg_pool{d}d" for kind in ("", "adaptive_") for d in (1, 2, 3)))
_MAXIMA = tuple(f"max_pool{d}d" for d in (1, 2, 3))
_ACTIVATIONS = (
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "relu", "relu6", "relu_", "selu",
    "sigmoid", "silu", "softplus", "tanh",
)  # fmt: skip
_WHOLE = ("mean", "globalaveragepool", "reducemean")
"""What files call a mean over all positions, pools over them too."""
_CONTAINERS = "torch.nn.modules.container"
_HINT = "Use --reference oracle, which takes any model that compiles."


class _Called(nn.Module):
    """One call of a function, with all of its arguments but the first; subclasses are of a kind that zennit knows."""

    def __init__(self, function: Callable[..., torch.Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)
        self.function, self.args, self.kwargs = function, tuple(args), dict(kwargs)
        if "inplace" in self.kwargs:
            self.kwargs["inplace"] = False  # what a hook keeps must stay what it is

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, *self.args, **self.kwargs)


class _Average(_Called, nn.AvgPool1d):
    """A mean or an average pool."""


class _Maximum(_Called, nn.MaxPool1d):
    """A max pool."""


class _Activation(_Called, nn.ReLU):
    """An activation."""


_KINDS: dict[str, type[_Called]] = {
    **dict.fromkeys(_AVERAGES, _Average),
    **dict.fromkeys(_MAXIMA, _Maximum),
    **dict.fromkeys(_ACTIVATIONS, _Activation),
}
_OUT_OF_PLACE = {"relu_": torch.relu}


class Modular(nn.Module):
    """A module that calls modules where `model` calls functions. layers: what files may call each of them."""

    def __init__(self, model: nn.Module, calls: _Calls) -> None:
        super().__init__()
        self.model = model
        self.made = nn.ModuleList(calls.made.values())
        self.layers = [calls.names[key] for key in calls.made]
        self._calls = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the model."""
        return self._calls.run(self.model, x)


Key = tuple[str, str, int]
"""The path of the module that calls a function, the function's name, and how many such calls came before."""


class _Calls(TorchFunctionMode):
    """Sees every function that a model calls; lets those that a module was made for go through it.

    learning: makes modules, for functions of what depends on the input.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.made: dict[Key, nn.Module] = {}
        self.names: dict[Key, tuple[str, ...]] = {}
        self.learning = True
        self._inside: list[tuple[str, nn.Module]] = []
        self._seen: Counter[tuple[str, str]] = Counter()
        self._named: Counter[str] = Counter()
        self.entered: Counter[str] = Counter()
        self._handles: list[Any] = []
        for path, child in model.named_modules():
            self._handles += [
                child.register_forward_pre_hook(partial(self._enter, path)),
                child.register_forward_hook(self._leave, always_call=True),
            ]

    def _enter(self, path: str, module: nn.Module, inputs: Any) -> None:
        self._inside.append((path, module))
        self.entered[path] += self.learning and any(_depends(value) for value in inputs)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._inside.pop()

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def run(self, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        self._inside.clear()
        self._seen.clear()
        with self:
            output: torch.Tensor = model(x)
        return output

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if not (name in _SUMS or name in _KINDS) or not self._inside or _is_layer(self._inside[-1][1]):
            return func(*args, **kwargs)
        path = self._inside[-1][0]
        key = (path, name, self._seen[path, name])
        self._seen[path, name] += 1
        if self.learning:
            self._learn(key, func, args, kwargs)
        if key not in self.made:
            return func(*args, **kwargs)
        operands = torch.stack(args[:2], dim=-1) if name in _SUMS else args[0]
        return self.made[key](operands)

    def _learn(self, key: Key, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        path, name, _ = key
        if not any(_depends(value) for value in args):
            return
        self.names[key] = tuple(self._repeated(path, alias) for alias in _file_names(name, args[1:], kwargs))
        made = _sum(args, kwargs) if name in _SUMS else _called(name, func, args, kwargs)
        if made is not None:
            self.made[key] = made

    def _repeated(self, path: str, name: str) -> str:
        """Return what lrpc calls the layer: repeats are counted, those that stay functions too."""
        layer = f"{path}.{name}" if path else name
        self._named[layer] += 1
        return f"{layer}:{self._named[layer] - 1}" if self._named[layer] > 1 else layer


def _file_names(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what files may call a function's layer: exporters differ. args: all but the first."""
    own = name.rstrip("_")
    sizes: Any = args[0] if args else kwargs.get("output_size")
    if name == "mean" or (name.startswith("adaptive") and {*np.ravel(sizes)} == {1}):
        return tuple(dict.fromkeys((own, *_WHOLE)))
    if name in _KINDS and "pool" in name:
        return own, "maxpool" if name in _MAXIMA else "averagepool"
    return (own,)


def _sum(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module | None:
    """Return a Sum module for the sum of two tensors of one shape that both depend on the input."""
    from zennit.layer import Sum

    if len(args) != 2 or kwargs or not all(_depends(value) for value in args) or args[0].shape != args[1].shape:
        return None
    made: nn.Module = Sum()
    return made


def _called(name: str, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module | None:
    if not _depends(args[0]) or kwargs.get("return_indices"):
        return None
    return _KINDS[name](_OUT_OF_PLACE.get(name, func), args[1:], kwargs)


def _depends(value: Any) -> bool:
    """Whether a value is computed from the input: nothing else of a model wants a gradient when it is learned."""
    return isinstance(value, torch.Tensor) and value.requires_grad


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is one of torch's own layers, or a kind of one: what it calls is what it is."""
    own = (kind.__module__ for kind in type(module).__mro__ if kind is not nn.Module)
    layer = any(name.startswith("torch.nn.modules.") and not name.startswith(_CONTAINERS) for name in own)
    return layer and not any(module.children())


def modular(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return a module that computes the same by modules, `model` itself where it calls no such function.

    model: in eval mode, without parameters that want a gradient; it is changed.  example: a batch that it takes.
    Raises LrpcError where the model computes something else by modules, as where it adds to a tensor in its place.
    """
    calls = _Calls(model)
    example = example.detach()
    with torch.no_grad():
        expected = model(example)
    calls.run(model, example.clone().requires_grad_())
    calls.learning = False
    _refuse_repeats(model, calls.entered)
    if not calls.made:
        calls.remove()
        return model
    result = Modular(model, calls)
    with torch.no_grad():
        output = result(example)
    if output.shape != expected.shape or not torch.allclose(output, expected, rtol=1e-4, atol=1e-6):
        raise LrpcError(
            f"{type(model).__name__} computes something else where its functions ({_few(result.layers)}) are made the "
            "modules that zennit needs; does it change tensors in their place?",
            hint=_HINT,
        )
    return result


def _refuse_repeats(model: nn.Module, entered: Mapping[str, int]) -> None:
    from zennit.layer import Sum
    from zennit.types import AvgPool, Linear

    for path, child in model.named_modules():
        if entered[path] > 1 and isinstance(child, (AvgPool, Linear, Sum)):
            raise LrpcError(
                f"{type(model).__name__} calls {path} {entered[path]} times, and zennit keeps the last input of a "
                "module only.",
                hint=_HINT,
            )


def named_leaves(model: nn.Module) -> Iterator[tuple[tuple[str, ...], nn.Module]]:
    """Yield all modules without modules inside, under the names that lrpc may have for them."""
    inner = model.model if isinstance(model, Modular) else model
    for path, child in inner.named_modules():
        if not any(child.children()):
            yield (path.replace(".canonizer_sum", ".add"),), child
    if isinstance(model, Modular):
        yield from zip(model.layers, model.made, strict=True)


def path_in(model: nn.Module, path: str) -> str:
    """Return where a module is that had a path before the model was made modular."""
    return f"model.{path}" if isinstance(model, Modular) and path else "model" if isinstance(model, Modular) else path


def made_of(model: nn.Module) -> str:
    """Return a sentence on what was made modules, "" where nothing was."""
    if not isinstance(model, Modular):
        return ""
    return (
        f"zennit knows modules only: for this comparison {len(model.layers)} functions of the PyTorch model became "
        f"modules, with the outputs unchanged ({_few(model.layers)})."
    )


def _few(layers: Sequence[tuple[str, ...]]) -> str:
    names = [names[0] for names in layers[:3]]
    return ", ".join(names) + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")
