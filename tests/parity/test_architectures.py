"""One small network per family of architectures, with BatchNorm statistics of its own, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
from torchvision.ops import SqueezeExcitation

import lrpc
from lrpc.export import module_to_proto
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.ops import OPS
from lrpc.reference import run_oracle
from passes.errors import LrpcError
from passes.loading.load import load
from passes.pipeline import canonize
from studies.nets import UNet, settle
from tests.targets import DISTINCT

LIMIT, YARDSTICKS = 2e-6, 4


def excited() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), SqueezeExcitation(8, 4), nn.Conv2d(8, 8, 3, 2), nn.Hardswish(),
        SqueezeExcitation(8, 4, scale_activation=nn.Hardsigmoid), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def efficientnet() -> nn.Module:
    return models.EfficientNet([MBConvConfig(2, 3, 2, 32, 16, 2, 1, 1)], 0.0, num_classes=5, last_channel=16)


def convnext() -> nn.Module:
    return models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], layer_scale=0.5, num_classes=5)


def grouped() -> nn.Module:
    """Normalises groups of channels and single ones, and moves values between channels and positions."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.Mish(), nn.PixelShuffle(2),
        nn.Conv2d(4, 8, 3, 2, 1), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), nn.PixelUnshuffle(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip


class Attended(nn.Module):
    """Channels in another order, mirrored; a gate by channel, then one by position, of means and maxima (CBAM)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.channels = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8))
        self.positions = nn.Conv2d(2, 1, 7, padding=3)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x[:, [2, 1, 0]].flip(3)[:, :, 1:])
        gate = self.channels(x.mean((2, 3))) + self.channels(x.amax((2, 3)))
        x = x * torch.sigmoid(gate)[:, :, None, None]
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        scores: torch.Tensor = self.head((x * torch.sigmoid(self.positions(seen))).sum((2, 3)))
        return scores


FAMILIES = {
    "squeeze-excitation": (excited, (3, 16, 16)),
    "efficientnet": (efficientnet, (3, 32, 32)),
    "shufflenet": (lambda: models.ShuffleNetV2([1, 1, 1], [8, 8, 16, 16, 16], num_classes=5), (3, 64, 64)),
    "convnext": (convnext, (3, 32, 32)),
    "densenet": (lambda: models.DenseNet(4, (2, 2), 8, num_classes=5), (3, 32, 32)),
    "u-net": (UNet, (3, 16, 16)),
    "norms of groups": (grouped, (3, 16, 16)),
    "attention by channel and position": (Attended, (3, 16, 16)),
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


TRANSFORMERS = {
    "vit": (
        lambda: models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5),
        {"Add", "Expand", "MatMul", "Shape", "Softmax"},
    ),
    "swin": (
        lambda: models.SwinTransformer([4, 4], 16, [2], [2], [4, 4], num_classes=5),
        {"Add", "Concat", "MatMul", "Softmax"},
    ),
    "swin v2": (
        lambda: models.SwinTransformer(
            [4, 4], 16, [2], [2], [4, 4], num_classes=5, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2
        ),
        {"Add", "Concat", "Div", "Expand", "MatMul", "Mul", "ReduceL2", "Shape", "Softmax"},
    ),
    "maxvit": (
        lambda: models.MaxVit((32, 32), 16, 4, [16], [1], 8, 0.0, num_classes=5),
        {"Add", "Einsum", "Softmax"},
    ),
}
"""Small ones of the ops that the large are made of, and which of these are missing."""


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_transformer_is_refused_with_every_layer_that_is_missing(name):
    build, missing = TRANSFORMERS[name]
    torch.manual_seed(0)
    proto = module_to_proto(build().eval(), torch.randn(2, 3, 32, 32))
    graph = canonize(load(proto))
    with pytest.raises(LrpcError, match=rf"of {len(graph.nodes)} layers of \S+ cannot be explained") as caught:
        lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
    problems = caught.value.problems
    assert {problem.op for problem in problems} == missing
    assert {node.name for node in graph.nodes if node.op not in OPS} <= {problem.layer for problem in problems}
    assert all(problem.reason in str(caught.value) for problem in problems)
