"""From a loaded PyTorch model to an ONNX file that tells what pictures it takes."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort

from lrpc.bundle.atomic import beside
from lrpc.export.conversion import write_module
from lrpc.export.loading import Loaded
from lrpc.export.pytorch import require_torch
from lrpc.version import VERSION
from passes.errors import LrpcError

if TYPE_CHECKING:
    import torch
    from torch import nn


def export(loaded: Loaded, output: str | Path) -> Path:
    """Write a loaded model as one self-contained ONNX file with a dynamic batch.

    The weights of one above 2 GB are written beside it, into a file with .data behind its name.
    Raises LrpcError where the input's shape is unknown, or the file disagrees with the module.
    """
    torch = require_torch()
    if loaded.spec is None:
        raise LrpcError(f"{loaded.source} does not tell its input.", hint="Give --input-shape, as in 3,224,224.")
    path = Path(output)
    if not path.parent.is_dir():
        raise LrpcError(f"{path.parent} is no folder to write {path.name} into.")
    torch.manual_seed(0)
    example = torch.randn(2, *loaded.spec.shape)
    told = {"lrpc.source": loaded.source, "lrpc.weights": loaded.weights, "lrpc.version": VERSION}
    with beside(path) as draft:
        write_module(loaded.module, example, draft / path.name, loaded.spec.to_metadata() | told)
        _check_same(loaded.module, draft / path.name, example)
        for file in weight_files(draft / path.name):
            os.replace(file, path.with_name(file.name))
        os.replace(draft / path.name, path)
    return path


def weight_files(path: Path) -> list[Path]:
    """Return the files that hold a model's weights, none where its own file does."""
    weights = onnx.load(path, load_external_data=False).graph.initializer
    places = {entry.value for weight in weights for entry in weight.external_data if entry.key == "location"}
    return [path.with_name(place) for place in sorted(places)]


def _check_same(module: nn.Module, path: Path, example: torch.Tensor) -> None:
    torch = require_torch()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (actual,) = session.run(["output"], {"input": example.numpy()})
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(example).numpy()
    difference = float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not difference < 1e-3:
        raise LrpcError(f"The exported file computes something else than the module: off by {difference:.1e}.")
