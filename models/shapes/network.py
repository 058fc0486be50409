"""ResNet-50 in miniature: bottleneck blocks, BatchNorm, strided 1x1 shortcuts, named as torchvision's."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from models.shapes.dataset import CLASSES, SIZE

MEAN, STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]
_WIDTHS = (32, 48, 72, 96)
_EXPANSION = 2
_DEPTH = 2


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around which a shortcut leads."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(body(x) + shortcut(x))."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        identity = x if self.downsample is None else self.downsample(x)
        joined: torch.Tensor = self.relu(out + identity)
        return joined


class ShapesResNet(nn.Module):
    """(n, 3, 64, 64), normalised by MEAN and STD, to scores (n, 10)."""

    lrpc_input: ClassVar = {"shape": [3, SIZE, SIZE], "mean": MEAN, "std": STD, "classes": list(CLASSES)}
    """Tells `lrpc export` what pictures the network takes."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, 2, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 32
        for stage, width in enumerate(_WIDTHS, start=1):
            strides = [1 if stage == 1 else 2] + [1] * (_DEPTH - 1)
            blocks = []
            for stride in strides:
                blocks.append(Bottleneck(channels, width, stride))
                channels = width * _EXPANSION
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class scores."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        scores: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def shapes_resnet() -> ShapesResNet:
    """Build the network, with random weights."""
    return ShapesResNet()
