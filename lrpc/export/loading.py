"""PyTorch models by name: torchvision's, and what a factory of the user's builds."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrpc.bundle.input_spec import InputSpec
from lrpc.export.pytorch import INSTALL_HINT, quiet, require_torch
from passes.errors import LrpcError
from passes.loading.file_errors import file_errors, is_file

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Loaded:
    """A torch model to export. spec: its input; None where neither the model nor the user tells."""

    module: nn.Module
    source: str
    weights: str
    spec: InputSpec | None


def load_torch(
    spec: str,
    *,
    weights: str = "none",
    input_shape: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Loaded:
    """Build a torch model in eval mode.

    spec: `torchvision:NAME`, or `package.module:factory`, whose result may tell its input in an
    attribute `lrpc_input` = {"shape", "mean", "std", "classes"}.
    weights: "none" (random, seed 0), "DEFAULT" (torchvision's pretrained ones, downloaded) or the path
    of a state dict.  input_shape, mean, std: win over what the model tells.
    Raises LrpcError for a model that does not exist, a download that fails, weights that do not fit.
    """
    torch = require_torch()
    package, _, name = spec.partition(":")
    if not package or not name:
        raise LrpcError(f"{spec!r} names no model.", hint="Write torchvision:resnet50, or package.module:factory.")
    torch.manual_seed(0)
    load = _load_torchvision if package == "torchvision" else _load_factory
    module, told = load(package, name, weights)
    if weights not in ("none", "DEFAULT"):
        _load_weights(module, Path(weights))
    shape = tuple(input_shape) if input_shape else (told.shape if told else None)
    if shape is None:
        return Loaded(module.eval(), spec, weights, None)
    told = replace(told, shape=shape) if told else InputSpec(shape)
    told = replace(told, mean=list(mean) if mean else told.mean, std=list(std) if std else told.std)
    return Loaded(module.eval(), spec, weights, told)


def _load_torchvision(package: str, name: str, weights: str) -> tuple[nn.Module, InputSpec | None]:
    try:
        from torchvision import models
    except ImportError as error:
        raise LrpcError("torchvision is not installed.", hint=INSTALL_HINT) from error
    try:
        enum = models.get_model_weights(name)
    except ValueError as error:
        known = ", ".join(models.list_models(module=models))
        raise LrpcError(f"torchvision has no model {name!r}.", hint=f"It has: {known}.") from error
    default = enum.DEFAULT
    try:
        with quiet():
            module = models.get_model(name, weights=default if weights == "DEFAULT" else None)
    except OSError as error:  # urllib's errors, and a full disk
        raise LrpcError(
            f"The pretrained weights of {name} could not be downloaded: {error}",
            hint="Without a network: --weights none for random ones, or --weights FILE.pt for a state dict.",
        ) from error
    preset = default.transforms()
    side = _side(module, preset)
    spec = InputSpec((3, side, side), list(preset.mean), list(preset.std), list(default.meta["categories"]))
    return module, spec


def _side(module: nn.Module, preset: Any) -> int:
    """Return the side of a picture: what the module was built for, else what the pretrained weights take."""
    built_for = getattr(module, "image_size", None)  # a ViT without weights takes smaller ones than some weights do
    return built_for if isinstance(built_for, int) else getattr(preset, "crop_size", [224])[0]


def _load_factory(package: str, name: str, weights: str) -> tuple[nn.Module, InputSpec | None]:
    torch = require_torch()
    if weights == "DEFAULT":
        raise LrpcError("--weights DEFAULT is for torchvision's models.", hint="Give the path of a state dict.")
    sys.path.insert(0, os.getcwd())
    try:
        module = getattr(importlib.import_module(package), name)()
    except (ImportError, AttributeError) as error:
        raise LrpcError(f"{package}:{name} cannot be imported: {error}") from error
    finally:
        sys.path.remove(os.getcwd())
    if not isinstance(module, torch.nn.Module):
        raise LrpcError(f"{package}:{name}() returned a {type(module).__name__}, not a torch module.")
    told = getattr(module, "lrpc_input", None)
    if told is None:
        return module, None
    return module, InputSpec(tuple(told["shape"]), told.get("mean"), told.get("std"), told.get("classes"))


def _load_weights(module: nn.Module, path: Path) -> None:
    torch = require_torch()
    if not is_file(path):
        raise LrpcError(f"{path} does not exist.", hint="--weights takes none, DEFAULT or the path of a state dict.")
    with file_errors(path), path.open("rb"):
        pass  # what the system says of the file is not what torch says of its content
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise LrpcError(f"{path} is not a file that torch can load, or it is truncated.") from error
    try:
        module.load_state_dict(state)
    # The content decides what it stumbles over: names that are no text, values that are no tensors.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise LrpcError(f"{path} does not fit {type(module).__name__}: {reason}") from error
