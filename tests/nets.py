"""Small torch networks as data: each exercises what the large ones do not.

Every network is deterministic, and its BatchNorm statistics come from real forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import torch
from torch import nn

from lrpc.bundle.input_spec import InputSpec
from lrpc.export import module_to_proto
from studies.nets import settle


@dataclass(frozen=True)
class Net:
    """build: makes the module.  shape: of one sample.  compared: how many layers zennit reports."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    compared: int


class Residual(nn.Module):
    """relu(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.shortcut is None else self.shortcut(x)
        joined: torch.Tensor = self.relu(identity + self.body(x))
        return joined


def _conv_net(*layers: nn.Module) -> nn.Sequential:
    """Layers between a first convolution and a head, for 12 x 12 pictures of 3 channels."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def _conv(inputs: int = 8, outputs: int = 8, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2, **options})


def _residual(stride: int = 1) -> Residual:
    body = nn.Sequential(
        _conv(bias=False), nn.BatchNorm2d(8), nn.ReLU(), _conv(stride=stride, bias=False), nn.BatchNorm2d(8)
    )
    if stride == 1:
        return Residual(body)
    return Residual(body, nn.Sequential(_conv(kernel=1, stride=stride, bias=False), nn.BatchNorm2d(8)))


def _transposed(groups: int) -> nn.Module:
    return nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1, groups=groups)


def _one_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3, 2, 1),
        nn.Conv1d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip


def _three_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(4, 4, 3, stride=(1, 2, 2), padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip


PICTURE = (3, 12, 12)

NETS: dict[str, Net] = {
    "dilated": Net(lambda: _conv_net(_conv(dilation=2, padding=2), nn.ReLU()), PICTURE, 4),
    "grouped": Net(lambda: _conv_net(_conv(groups=2), nn.ReLU()), PICTURE, 4),
    "depthwise": Net(lambda: _conv_net(_conv(groups=8), nn.ReLU(), _conv(kernel=1), nn.ReLU()), PICTURE, 5),
    "strided without bias": Net(lambda: _conv_net(_conv(stride=2, bias=False), nn.ReLU()), PICTURE, 4),
    "even kernel": Net(lambda: _conv_net(_conv(kernel=4, stride=3, padding=1), nn.ReLU()), PICTURE, 4),
    "even kernel, same padding": Net(lambda: _conv_net(_conv(kernel=4, padding="same"), nn.ReLU()), PICTURE, 4),
    "same padding first": Net(
        lambda: nn.Sequential(_conv(3, kernel=2, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 4)),
        PICTURE,
        2,
    ),
    "transposed": Net(lambda: _conv_net(_transposed(1), nn.ReLU()), PICTURE, 4),
    "transposed in groups": Net(lambda: _conv_net(_transposed(2), nn.ReLU()), PICTURE, 4),
    "one-dimensional": Net(_one_dimensional, (2, 16), 5),
    "three-dimensional": Net(_three_dimensional, (1, 6, 8, 8), 5),
    "average pool, padding counted": Net(
        lambda: _conv_net(nn.AvgPool2d(3, 2, 1, count_include_pad=True), _conv(), nn.ReLU()), PICTURE, 5
    ),
    "average pool, padding not counted": Net(
        lambda: _conv_net(nn.AvgPool2d(3, 2, 1, count_include_pad=False), _conv(), nn.ReLU()), PICTURE, 5
    ),
    "average pool, ceil mode": Net(
        lambda: _conv_net(nn.AvgPool2d(3, 2, 0, ceil_mode=True), _conv(), nn.ReLU()), PICTURE, 5
    ),
    "average pool, overlapping": Net(lambda: _conv_net(nn.AvgPool2d(3, 1), _conv(), nn.ReLU()), PICTURE, 5),
    "max pool, overlapping": Net(lambda: _conv_net(nn.MaxPool2d(3, 2, 1), _conv(), nn.ReLU()), PICTURE, 5),
    "max pool, ceil mode": Net(lambda: _conv_net(nn.MaxPool2d(3, 2, ceil_mode=True), _conv(), nn.ReLU()), PICTURE, 5),
    "leaky relu": Net(lambda: _conv_net(nn.LeakyReLU(0.1), _conv(), nn.LeakyReLU(0.1)), PICTURE, 4),
    "gelu": Net(lambda: _conv_net(nn.GELU(), _conv(), nn.GELU()), PICTURE, 4),
    "gelu by tanh": Net(lambda: _conv_net(nn.GELU("tanh"), _conv(), nn.GELU("tanh")), PICTURE, 4),
    "tanh": Net(lambda: _conv_net(nn.Tanh(), _conv(), nn.Tanh()), PICTURE, 4),
    "batch norm": Net(lambda: _conv_net(_conv(bias=False), nn.BatchNorm2d(8), nn.ReLU()), PICTURE, 4),
    "residual": Net(lambda: _conv_net(_residual(), _residual()), PICTURE, 9),
    "strided shortcut": Net(lambda: _conv_net(_residual(), _residual(stride=2)), PICTURE, 10),
    "residual inside residual": Net(
        lambda: _conv_net(Residual(nn.Sequential(_residual(), _conv(), nn.BatchNorm2d(8)))), PICTURE, 8
    ),
    "dense": Net(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)
        ),
        (3, 4, 4),
        3,
    ),
}


def built(net: Net) -> nn.Module:
    """Build a network and let real batches set its BatchNorm statistics and affine parameters."""
    torch.manual_seed(0)
    module = net.build()
    settle(module, torch.randn(16, *net.shape))
    return module


def inputs(net: Net, count: int = 3) -> np.ndarray:
    """Fixed inputs within [-2, 2]."""
    return np.random.default_rng(7).uniform(-2, 2, (count, *net.shape)).astype(np.float32)


@cache
def exported(name: str) -> tuple[nn.Module, onnx.ModelProto]:
    """One of NETS as a torch module, and as ONNX."""
    module = built(NETS[name])
    return module, module_to_proto(module, torch.from_numpy(inputs(NETS[name])))


def pictures(spec: InputSpec) -> np.ndarray:
    """Three fixed inputs in the range of the model's input: smooth blobs with grain."""
    rng = np.random.default_rng(11)
    coarse = torch.from_numpy(rng.random((3, 3, 8, 8))).float()
    smooth = torch.nn.functional.interpolate(coarse, spec.shape[1:], mode="bicubic").numpy()
    values = np.clip(smooth + 0.15 * rng.standard_normal(smooth.shape), 0, 1)
    mean, std = (np.reshape(v, (1, -1, 1, 1)) for v in (spec.mean, spec.std))
    return ((values - mean) / std).astype(np.float32)
