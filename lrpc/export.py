"""From a PyTorch model to an ONNX file that keeps what lrpc needs to know of it.

BatchNorm stays in the file, so that folding it is a pass that everybody can see; every node carries its
layer's name, its module's class and the module's place among the leaves; the model carries what
pictures it takes.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.helper
import onnx.shape_inference
import onnxruntime as ort

import lrpc
from lrpc.image import InputSpec
from passes.errors import LrpcError
from passes.names import name_layers
from passes.upgrade import OPSET

if TYPE_CHECKING:
    import torch
    from torch import nn

INSTALL_HINT = "Install it with: pip install 'lrpc[torch]'"


@dataclass(frozen=True)
class Loaded:
    """A torch model to export. spec: its input; None where neither the model nor the user tells."""

    module: nn.Module
    source: str
    weights: str
    spec: InputSpec | None


def export(loaded: Loaded, output: str | Path) -> Path:
    """Write a loaded model as one self-contained ONNX file with a dynamic batch.

    Raises LrpcError where the input's shape is unknown, or the file disagrees with the module.
    """
    torch = _torch()
    if loaded.spec is None:
        raise LrpcError(f"{loaded.source} does not tell its input.", hint="Give --input-shape, as in 3,224,224.")
    path = Path(output)
    if not path.parent.is_dir():
        raise LrpcError(f"{path.parent} is no folder to write {path.name} into.")
    torch.manual_seed(0)
    example = torch.randn(2, *loaded.spec.shape)
    proto = module_to_proto(loaded.module, example)
    metadata = {**loaded.spec.to_metadata(), "lrpc.source": loaded.source, "lrpc.weights": loaded.weights}
    onnx.helper.set_model_props(proto, metadata | {"lrpc.version": lrpc.__version__})
    _check_same(loaded.module, proto, example)
    draft = path.with_name(f".{path.name}.part")
    try:
        onnx.save(proto, draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


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
    torch = _torch()
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


def module_to_proto(module: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    """Export a torch module; it is left as it is.

    example: a batch that it takes; the first axis becomes the dynamic axis "batch".
    """
    torch = _torch()
    copied = copy.deepcopy(module).eval()
    _spell_idle_pools(copied, example)
    signature = {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1)},)}
    batch = torch.cat([example, example])[: max(2, len(example))]
    try:
        with _quiet():
            from onnxscript import optimizer

            program = torch.onnx.export(
                copied,
                (batch,),
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["output"],
                external_data=False,
                verbose=False,
                **signature,
            )
            optimizer.fold_constants(program.model)
            optimizer.remove_unused_nodes(program.model)
            proto: onnx.ModelProto = program.model_proto
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LrpcError(
            f"torch cannot export {type(module).__name__}: {reason}",
            hint="Export it with torch.onnx.export yourself, and give lrpc the file.",
        ) from error
    return _annotated(proto, module)


def _annotated(proto: onnx.ModelProto, module: nn.Module) -> onnx.ModelProto:
    """Replace the exporter's metadata, which tells local paths, by the layer, its class and its leaf index."""
    leaves = [name for name, child in module.named_modules() if not any(child.children())]
    index = {name: position for position, name in enumerate(leaves)}
    # Layers choose their names before shape arithmetic does, and types tell the two apart.
    names, modules = name_layers(onnx.shape_inference.infer_shapes(proto))
    for node, name in zip(proto.graph.node, names, strict=True):
        del node.metadata_props[:]
        node.doc_string = ""
        entries = {"lrpc.layer": name, "lrpc.module": modules[name].type}
        path = name.partition(":")[0]
        if path in index:
            entries["lrpc.leaf_index"] = str(index[path])
        for key, value in entries.items():
            if value:
                node.metadata_props.add(key=key, value=value)
    for holder in (proto, proto.graph, *proto.graph.value_info, *proto.graph.input, *proto.graph.initializer):
        del holder.metadata_props[:]
    proto.graph.name = type(module).__name__
    return proto


def _spell_idle_pools(module: nn.Module, example: torch.Tensor) -> None:
    """Make adaptive pools that keep their input's size pools with windows of 1, and others see values in plain order.

    They would be exported as gathers, the others where channels come last in memory. They stay layers, because an
    average pool has its own rule.
    """
    torch = _torch()
    idle: list[nn.Module] = []

    def remember(pool: nn.Module, inputs: Any, output: Any) -> None:
        if inputs[0].shape == output.shape:
            idle.append(pool)
        elif not inputs[0].is_contiguous():
            pool.register_forward_pre_hook(lambda pool, inputs: (inputs[0].contiguous(),))

    plain = {
        getattr(torch.nn, f"Adaptive{kind}Pool{d}d"): getattr(torch.nn, f"{kind}Pool{d}d")
        for kind in ("Avg", "Max")
        for d in (1, 2, 3)
    }
    handles = [m.register_forward_hook(remember) for m in module.modules() if type(m) in plain]
    with torch.no_grad():
        module(example)
    for handle in handles:
        handle.remove()
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if any(child is pool for pool in idle):
                setattr(parent, name, plain[type(child)](1))


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
        with _quiet():
            module = models.get_model(name, weights=default if weights == "DEFAULT" else None)
    except OSError as error:  # urllib's errors, and a full disk
        raise LrpcError(
            f"The pretrained weights of {name} could not be downloaded: {error}",
            hint="Without a network: --weights none for random ones, or --weights FILE.pt for a state dict.",
        ) from error
    preset = default.transforms()
    crop = getattr(preset, "crop_size", [224])
    spec = InputSpec((3, crop[0], crop[0]), list(preset.mean), list(preset.std), list(default.meta["categories"]))
    return module, spec


def _load_factory(package: str, name: str, weights: str) -> tuple[nn.Module, InputSpec | None]:
    torch = _torch()
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
    torch = _torch()
    if not path.is_file():
        raise LrpcError(f"{path} does not exist.", hint="--weights takes none, DEFAULT or the path of a state dict.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise LrpcError(f"{path} is not a file that torch can load, or it is truncated.") from error
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LrpcError(f"{path} does not fit {type(module).__name__}: {reason}") from error


def _check_same(module: nn.Module, proto: onnx.ModelProto, example: torch.Tensor) -> None:
    torch = _torch()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (actual,) = session.run(["output"], {"input": example.numpy()})
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(example).numpy()
    difference = float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not difference < 1e-3:
        raise LrpcError(f"The exported file computes something else than the module: off by {difference:.1e}.")


def _torch() -> Any:
    try:
        import torch
        import torch.onnx
    except ImportError as error:
        raise LrpcError("PyTorch is not installed; exporting a model needs it.", hint=INSTALL_HINT) from error
    return torch


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
