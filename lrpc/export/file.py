"""From a loaded PyTorch model to an ONNX file that tells what pictures it takes."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.helper
import onnxruntime as ort

import lrpc
from lrpc.export.conversion import module_to_proto
from lrpc.export.loading import Loaded
from lrpc.export.pytorch import require_torch
from passes.errors import LrpcError

if TYPE_CHECKING:
    import torch
    from torch import nn


def export(loaded: Loaded, output: str | Path) -> Path:
    """Write a loaded model as one self-contained ONNX file with a dynamic batch.

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


def _check_same(module: nn.Module, proto: onnx.ModelProto, example: torch.Tensor) -> None:
    torch = require_torch()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (actual,) = session.run(["output"], {"input": example.numpy()})
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(example).numpy()
    difference = float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not difference < 1e-3:
        raise LrpcError(f"The exported file computes something else than the module: off by {difference:.1e}.")
