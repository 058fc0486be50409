"""The runtimes that `lrpc conformance` compares: one line each, and one small module for each kind."""

from __future__ import annotations

from lrpc.inspect.conformance.runtimes import cuda, node, python
from lrpc.inspect.conformance.runtimes.runtime import Runtime

REFERENCE = "onnxruntime"

RUNTIMES: tuple[Runtime, ...] = (
    python.runtime("onnxruntime", "onnxruntime CPU", "onnxruntime", "pip install onnxruntime"),
    cuda.runtime(
        "onnxruntime-cuda", "onnxruntime CUDA", "pip install onnxruntime-gpu, on a machine with CUDA and cuDNN"
    ),
    node.runtime("onnxruntime-node", "onnxruntime-node", "npm install --ignore-scripts onnxruntime-node"),
    node.runtime("onnxruntime-web", "onnxruntime-web wasm", "npm install --ignore-scripts onnxruntime-web"),
    python.runtime("openvino", "OpenVINO CPU", "openvino", "pip install openvino"),
    python.runtime("tract", "tract", "tract", "pip install tract"),
)
"""The first one is what the others are compared with."""

__all__ = ["REFERENCE", "RUNTIMES", "Runtime"]
