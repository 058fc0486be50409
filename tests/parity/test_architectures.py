"""One small network per family of architectures, with BatchNorm statistics of its own, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.ops import SqueezeExcitation

import lrpc
from lrpc.export import module_to_proto
from lrpc.inspect.traced import run_traced
from lrpc.inspect.validate import relative_error
from lrpc.reference import run_oracle
from passes.errors import LrpcError
from tests.nets import settle
from tests.targets import DISTINCT

LIMIT, YARDSTICKS = 2e-6, 4


class UNet(nn.Module):
    """Two levels, a skip by concatenation, bilinear upsampling: one map of 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down(x)
        return self.head(torch.cat([skip, self.up(self.deep(skip))], dim=1))


def excited() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), SqueezeExcitation(8, 4), nn.Conv2d(8, 8, 3, 2), nn.Hardswish(),
        SqueezeExcitation(8, 4, scale_activation=nn.Hardsigmoid), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def efficientnet() -> nn.Module:
    return models.EfficientNet([MBConvConfig(2, 3, 2, 32, 16, 2, 1, 1)], 0.0, num_classes=5, last_channel=16)


def convnext() -> nn.Module:
    return models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], layer_scale=0.5, num_classes=5)


FAMILIES = {
    "squeeze-excitation": (excited, (3, 16, 16)),
    "efficientnet": (efficientnet, (3, 32, 32)),
    "shufflenet": (lambda: models.ShuffleNetV2([1, 1, 1], [8, 8, 16, 16, 16], num_classes=5), (3, 64, 64)),
    "convnext": (convnext, (3, 32, 32)),
    "densenet": (lambda: models.DenseNet(4, (2, 2), 8, num_classes=5), (3, 32, 32)),
    "u-net": (UNet, (3, 16, 16)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_agrees_with_the_oracle(name):
    build, shape = FAMILIES[name]
    torch.manual_seed(0)
    module = build()
    settle(module, torch.randn(8, *shape))
    proto = module_to_proto(module, torch.randn(2, *shape))
    x = np.random.default_rng(1).uniform(-2, 2, (2, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    for composite in (lrpc.composites.epsilon_plus(), lrpc.composites.epsilon_gamma_box(-2, 2)):
        plan = lrpc.plan_model(proto, composite=composite)
        seed = np.zeros_like(expected)
        seed[:, 1] = 1  # of a map, the class everywhere
        exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, seed, d) for d in ("float64", "float32"))
        yardstick = relative_error(rounded.relevance, exact.relevance)
        assert np.abs(exact.relevance).sum() > 1e-3
        for target in (None, *DISTINCT):
            ours = run_traced(plan, x, seed, target)
            assert relative_error(ours.output, expected) < 1e-4
            assert relative_error(ours.relevance, exact.relevance) < max(LIMIT, YARDSTICKS * yardstick), target


def test_a_transformer_is_refused_with_all_that_is_missing():
    module = models.VisionTransformer(16, 8, 1, 2, 16, 32, num_classes=5)
    with pytest.raises(LrpcError, match="cannot be explained"):
        lrpc.plan_model(module, example_input=torch.randn(1, 3, 16, 16), composite=lrpc.composites.epsilon_plus())
