"""Networks that join their branches by zennit's Sum module on a stack, and what they are exported with."""

from __future__ import annotations

import io

import onnx
import torch
from torch import nn
from zennit.layer import Sum

from lrpc.export import module_to_proto
from lrpc.export.pytorch import quiet
from tests.nets import PICTURE, Net


class Joined(nn.Module):
    """relu(sum of all branches of x), the sum being a module, as zennit's documentation has it."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches, self.sum, self.relu = nn.ModuleList(branches), Sum(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.sum(torch.stack([branch(x) for branch in self.branches], dim=-1)))


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


def _body(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, outputs, stride=stride), nn.ReLU(), *_conv(outputs, outputs))


def _net(*blocks: nn.Module, width: int = 8) -> nn.Sequential:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *blocks, *head)


def _nested() -> nn.Sequential:
    inner = nn.Sequential(Joined(nn.Identity(), _body(8, 8)), *_conv(8, 12, stride=2))
    return _net(Joined(_conv(8, 12, 1, stride=2), inner), Joined(nn.Identity(), _body(12, 12)), width=12)


SUM_NETS: dict[str, Net] = {
    "two branches": Net(lambda: _net(Joined(nn.Identity(), _body(8, 8)), Joined(nn.Identity(), _body(8, 8))), PICTURE, 9),
    "three branches": Net(lambda: _net(Joined(nn.Identity(), _body(8, 8), _conv(8, 8, 1))), PICTURE, 7),
    "nested, with a downsampling shortcut": Net(_nested, PICTURE, 12),
}  # fmt: skip


def by_torchscript(module: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    """Export with torch's older exporter, the batch dynamic."""
    file = io.BytesIO()
    names = {"input_names": ["input"], "output_names": ["output"]}
    axes = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
    with quiet():
        torch.onnx.export(module.eval(), (example,), file, dynamo=False, opset_version=17, **names, **axes)
    return onnx.load_from_string(file.getvalue())


EXPORTERS = {"dynamo": module_to_proto, "torchscript": by_torchscript}
