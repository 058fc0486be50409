"""Deep models of tiny layers, to see how compiling grows with depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIZE = 4, 4


def chain(layers: int) -> onnx.ModelProto:
    """Return `layers` layers, 1x1 convolutions (`l0.conv`) and ReLUs (`l1.relu`) in turn, and a Flatten."""
    net = _Net()
    for index in range(layers):
        net.conv(f"l{index}.conv") if index % 2 == 0 else net.relu(f"l{index}.relu")
    return net.model("chain")


def residual_chain(blocks: int) -> onnx.ModelProto:
    """Return `blocks` residual blocks of five layers (conv1, relu1, conv2, add, relu2) behind a convolution."""
    net = _Net()
    net.conv("stem.conv")
    net.relu("stem.relu")
    for index in range(blocks):
        shortcut = net.last
        net.conv(f"b{index}.conv1")
        net.relu(f"b{index}.relu1")
        net.conv(f"b{index}.conv2")
        net.add(f"b{index}.add", shortcut)
        net.relu(f"b{index}.relu2")
    return net.model("residual_chain")


class _Net:
    """A network under construction; `last` is the tensor that the next layer reads."""

    def __init__(self) -> None:
        self.last = "input"
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)

    def conv(self, name: str) -> None:
        values = (self._rng.standard_normal((CHANNELS, CHANNELS, 1, 1)) / 2).astype(np.float32)
        self._weights.append(numpy_helper.from_array(values, f"{name}.weight"))
        self._layer("Conv", name, f"{name}.weight", kernel_shape=[1, 1])

    def relu(self, name: str) -> None:
        self._layer("Relu", name)

    def add(self, name: str, other: str) -> None:
        self._layer("Add", name, other)

    def model(self, name: str) -> onnx.ModelProto:
        self._nodes.append(helper.make_node("Flatten", [self.last], ["output"], name="flatten"))
        entry, end = (
            helper.make_tensor_value_info(label, TensorProto.FLOAT, ["batch", *shape])
            for label, shape in (("input", (CHANNELS, SIZE, SIZE)), ("output", (CHANNELS * SIZE * SIZE,)))
        )
        graph = helper.make_graph(self._nodes, name, [entry], [end], self._weights)
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])

    def _layer(self, op: str, name: str, *others: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, [self.last, *others], [f"{name}.out"], name=name, **attributes))
        self.last = f"{name}.out"
