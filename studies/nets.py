"""The networks that docs/architectures.md tells of: torchvision's builders, and what other fields are made of.

All with random weights from a fixed seed, and BatchNorm statistics that forward passes have settled: fresh ones leave
every channel of a deep network nearly constant, where errors say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torchvision import models

FUNCTIONAL_SUM = "its residual sums are no modules: zennit copies relevance there"
FUNCTIONAL_MEAN = "its pooling is no module: zennit takes its gradient"
FUNCTIONAL_RELU = "its ReLUs are no modules: zennit takes their gradient"
BEHIND = "zennit merges a convolution with the BatchNorm that is registered behind it, which is another block's"
GATED = "its gates are products, for which zennit has no rule"
RESIZED = "zennit takes the gradient of its resizing"

FAMILIES: dict[str, str] = {
    "alexnet": "",
    "convnext": FUNCTIONAL_SUM,
    "deeplabv3": RESIZED,
    "densenet": BEHIND,
    "ecg": FUNCTIONAL_SUM,
    "efficientnet": GATED,
    "fcn": RESIZED,
    "googlenet": FUNCTIONAL_RELU,
    "inception": FUNCTIONAL_RELU,
    "lraspp": GATED,
    "maxvit": "",
    "mc3": FUNCTIONAL_SUM,
    "mnasnet": FUNCTIONAL_SUM,
    "mobilenet_v2": FUNCTIONAL_SUM,
    "mobilenet_v3": GATED,
    "mvit": "",
    "r2plus1d": FUNCTIONAL_SUM,
    "r3d": FUNCTIONAL_SUM,
    "regnet_x": FUNCTIONAL_SUM,
    "regnet_y": GATED,
    "resnet": "",
    "resnext": "",
    "s3d": BEHIND,
    "shufflenet": FUNCTIONAL_MEAN,
    "squeezenet": "",
    "swin": "",
    "unet": RESIZED,
    "vgg": "",
    "vit": "",
    "wide_resnet": "",
}
"""By how a builder's name begins: why zennit is no reference for it, "" where it is one."""

TRANSFORMERS = ("maxvit", "mvit", "swin", "vit")
LOW, HIGH = -2.0, 2.0
"""The range of the inputs that are explained."""


class UNet(nn.Module):
    """Levels of two convolutions, skips by concatenation, bilinear upsampling: one map of 3 classes."""

    def __init__(self, width: int = 8, levels: int = 1) -> None:
        super().__init__()
        widths = [width << level for level in range(levels + 1)]
        self.down = nn.ModuleList(_double(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        pairs = list(pairwise(widths))[::-1]
        self.merged = nn.ModuleList(_double(low + high, low) for low, high in pairs)
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 3, h, w) of an (n, 3, h, w) whose sides are multiples of 2 to the number of levels."""
        skips: list[torch.Tensor] = []
        for block in self.down:
            x = block(self.pool(x) if skips else x)
            skips.append(x)
        for block, skip in zip(self.merged, skips[-2::-1], strict=True):
            x = block(torch.cat([skip, self.up(x)], dim=1))
        scores: torch.Tensor = self.head(x)
        return scores


class ECGNet(nn.Module):
    """A residual network over 12 leads, as those that read electrocardiograms."""

    def __init__(self, width: int = 16, blocks: int = 4) -> None:
        super().__init__()
        widths = [width * (1 + level) for level in range(blocks + 1)]
        self.stem = nn.Sequential(nn.Conv1d(12, width, 15, 2, 7, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.bodies = nn.ModuleList(_strided(a, b) for a, b in pairwise(widths))
        self.shortcuts = nn.ModuleList(nn.Sequential(nn.MaxPool1d(2), nn.Conv1d(a, b, 1)) for a, b in pairwise(widths))
        self.head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(widths[-1], 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 5) of an (n, 12, samples)."""
        x = self.stem(x)
        for body, shortcut in zip(self.bodies, self.shortcuts, strict=True):
            x = body(x) + shortcut(x)
        scores: torch.Tensor = self.head(x)
        return scores


class Scores(nn.Module):
    """What a network that returns several maps calls "out"."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map of scores, (n, classes, h, w)."""
        scores: torch.Tensor = self.network(x)["out"]
        return scores


def _double(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def _strided(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.BatchNorm1d(inputs), nn.ReLU(), nn.Conv1d(inputs, outputs, 7, 2, 3), nn.BatchNorm1d(outputs), nn.ReLU(),
        nn.Dropout(0.2), nn.Conv1d(outputs, outputs, 7, padding=3),
    )  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A network. family: how `FAMILIES` calls it.  make: builds it, untrained.  shape: of one sample."""

    name: str
    family: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]

    @property
    def refused(self) -> bool:
        """Whether lrpc has no rules for its attention."""
        return self.family in TRANSFORMERS

    def settled(self) -> nn.Module:
        """Build it from seed 0, and settle its BatchNorm statistics.

        Deep networks of SiLU double any error in the statistics: where these are of normally distributed inputs, the
        scores of EfficientNetV2-L for uniform ones, which are explained, grow to thousands, and PyTorch's own are off
        by a tenth in float32.
        """
        torch.manual_seed(0)
        module = self.make()
        if self.refused:
            return module.eval()
        generator = torch.Generator().manual_seed(2)
        if self.family == "efficientnet":
            batch = LOW + (HIGH - LOW) * torch.rand(16, *self.shape, generator=generator)
        else:
            batch = torch.randn(4, *self.shape, generator=generator)
        settle(module, batch, rounds=1)
        return module

    def inputs(self, count: int) -> np.ndarray:
        """Return random inputs between `LOW` and `HIGH`, float32, to be explained."""
        return np.random.default_rng(1).uniform(LOW, HIGH, (count, *self.shape)).astype(np.float32)


def settle(module: nn.Module, batch: torch.Tensor, rounds: int = 2) -> None:
    """Set BatchNorm statistics by forward passes, with affine parameters that are not trivial; leaves eval mode."""
    generator = torch.Generator().manual_seed(1)
    norms = [m for m in module.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.normal_(0, 0.2, generator=generator)
    module.train()
    with torch.no_grad():
        for _ in range(rounds):
            module(batch)
    module.eval()


_CLIPS = {"mvit": (3, 16, 224, 224), "s3d": (3, 16, 224, 224)}
"""Those that take no smaller ones."""


def _torchvision(name: str) -> Net:
    family = max((f for f in FAMILIES if name.startswith(f)), key=len)
    options: dict[str, object] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    whole = family in ("alexnet", "vgg") or family in TRANSFORMERS
    side = 224 if whole else 96
    if name in models.list_models(module=models.segmentation):
        options["weights_backbone"] = None
        return Net(name, family, lambda: Scores(models.get_model(name, **options)), (3, side, side))
    shape: tuple[int, ...] = (3, side, side)
    if name in models.list_models(module=models.video):
        shape = _CLIPS.get(family, (3, 4, 32, 32))
    return Net(name, family, lambda: models.get_model(name, **options), shape)


def _all() -> dict[str, Net]:
    names = [name for part in (models, models.segmentation, models.video) for name in models.list_models(module=part)]
    nets = [_torchvision(name) for name in names]
    nets.append(Net("unet", "unet", lambda: UNet(16, 3), (3, 64, 64)))
    nets.append(Net("ecg", "ecg", ECGNet, (12, 1024)))
    return {net.name: net for net in nets}


NETS = _all()
"""Every builder of torchvision for pictures, maps and video; a U-Net and a network for electrocardiograms."""
