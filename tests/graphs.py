"""Small ONNX models, built by hand and fast to compile, with weights from a fixed seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lrpc.compiler import Compiled

SHAPES = "models/shapes/shapes.onnx"
"""The trained network, relative to the repository."""

METADATA = {
    "lrpc.input": '{"shape": [3, 8, 8], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}',
    "lrpc.classes": '["ant", "bee", "cat", "dog", "elk"]',
}


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    opset: int = 18,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    helper.set_model_props(proto, metadata or {})
    onnx.checker.check_model(proto)
    return proto


def small_resnet(
    batch: int | str = "batch", metadata: dict[str, str] | None = METADATA, opset: int = 18
) -> onnx.ModelProto:
    """Conv, BatchNorm, Relu, MaxPool, one residual block with a strided shortcut, average pool, Gemm."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    weights = {
        "conv1.weight": normal(8, 3, 3, 3),
        "block.conv1.weight": normal(8, 8, 3, 3),
        "block.conv1.bias": normal(8),
        "block.conv2.weight": normal(8, 8, 3, 3),
        "block.shortcut.weight": normal(8, 8, 1, 1),
        "fc.weight": normal(5, 8),
        "fc.bias": normal(5),
    }
    for name in ("bn1", "block.bn2"):
        weights |= {
            f"{name}.weight": 1 + 0.1 * normal(8),
            f"{name}.bias": 0.1 * normal(8),
            f"{name}.mean": 0.1 * normal(8),
            f"{name}.var": (0.5 + rng.random(8)).astype(np.float32),
        }

    def batch_norm(name: str, x: str) -> onnx.NodeProto:
        parameters = [f"{name}.{key}" for key in ("weight", "bias", "mean", "var")]
        return helper.make_node("BatchNormalization", [x, *parameters], [f"{name}.out"])

    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight"], ["c1"], **same),
        batch_norm("bn1", "c1"),
        helper.make_node("Relu", ["bn1.out"], ["r1"], name="relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], name="maxpool", strides=[1, 1], **same),
        helper.make_node("Conv", ["p1", "block.conv1.weight", "block.conv1.bias"], ["c2"], strides=[2, 2], **same),
        helper.make_node("Relu", ["c2"], ["r2"], name="block.relu"),
        helper.make_node("Conv", ["r2", "block.conv2.weight"], ["c3"], **same),
        batch_norm("block.bn2", "c3"),
        helper.make_node("Conv", ["p1", "block.shortcut.weight"], ["s"], kernel_shape=[1, 1], strides=[2, 2]),
        helper.make_node("Add", ["block.bn2.out", "s"], ["a"], name="block.add"),
        helper.make_node("Relu", ["a"], ["r3"], name="block.relu2"),
        helper.make_node("GlobalAveragePool", ["r3"], ["g"], name="avgpool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    return model(nodes, weights, {"x": [batch, 3, 8, 8]}, {"y": [batch, 5]}, opset, metadata)


def picture(count: int = 2, seed: int = 0) -> np.ndarray:
    """Inputs for `small_resnet`, inside the range that its metadata tells."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, (count, 3, 8, 8)).astype(np.float32)


def saved(compiled: Compiled, path: Path, single_file: bool = False, **options: Any) -> Path:
    """Save what was compiled, with further options of `compile`, as one file or as a folder; return where."""
    return (compiled.variant(**options) if options else compiled).save(path, single_file=single_file)
