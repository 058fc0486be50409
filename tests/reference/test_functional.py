"""Functions become modules for zennit: what it then computes is what it computes of modules written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from zennit.canonizers import CompositeCanonizer
from zennit.layer import Sum

import lrpc
from lrpc.export import module_to_proto
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import compare
from lrpc.reference import run_zennit, zennit_adapter
from passes.errors import LrpcError

SHAPE = (3, 8, 8)
PARAMETERS = {"epsilon_gamma_box": {"low": -2.0, "high": 2.0}}


class Net(nn.Module):
    """Two convolutions of 4 channels and a dense layer; `written` says whether by modules or by functions."""

    def __init__(self, written: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.written = written
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)
        self.sums = nn.ModuleList([Sum(), Sum()]) if written else None
        self.pool, self.act, self.small = nn.AdaptiveAvgPool2d(1), nn.ReLU(), nn.MaxPool2d(2)

    def plus(self, index: int, *branches: torch.Tensor) -> torch.Tensor:
        """Add by the Sum module of that number."""
        assert self.sums is not None
        return self.sums[index](torch.stack(branches, dim=-1))

    def end(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, by modules."""
        return self.head(self.pool(self.small(x)).flatten(1))


class Plus(Net):
    def forward(self, x):
        x = self.act(self.first(x))
        y = self.second(x)
        return self.end(self.plus(0, x, y) if self.written else x + y)


class InPlace(Net):
    def forward(self, x):
        x = self.act(self.first(x))
        y = self.second(x)
        if self.written:
            return self.end(self.plus(0, y, x))
        y += x
        return self.end(y)


class Chain(Net):
    """The sum() of Python starts with 0 + x, which is no residual, and yet the first of that name."""

    def forward(self, x):
        x = self.act(self.first(x))
        y, z = self.second(x), x * 1
        if self.written:
            return self.end(self.plus(1, self.plus(0, x, y), z))
        return self.end(sum([x, y, z]))


class Ending(Net):
    """Activation, max pool and mean are functions."""

    def forward(self, x):
        if self.written:
            return self.end(self.act(self.first(x)))
        return self.head(F.max_pool2d(F.relu(self.first(x)), 2).mean((2, 3)))


class Pooled(Net):
    """An average pool of windows, a pool over all, and an activation that is smooth."""

    def __init__(self, written: bool = False) -> None:
        super().__init__(written)
        self.windows, self.smooth = nn.AvgPool2d(2), nn.GELU()

    def forward(self, x):
        x = self.first(x)
        x = self.windows(self.smooth(x)) if self.written else F.avg_pool2d(F.gelu(x), 2)
        x = self.act(self.second(x))
        return self.head((self.pool(x) if self.written else F.adaptive_avg_pool2d(x, (1, 1))).flatten(1))


class Around(nn.Sequential):
    """A container that adds: a module that were put inside would be one of its layers."""

    def forward(self, x):
        return x + super().forward(x)


class Inside(Net):
    def __init__(self, written: bool = False) -> None:
        super().__init__(written)
        self.around = Around(self.second, nn.ReLU())
        del self.second

    def forward(self, x):
        x = self.act(self.first(x))
        return self.end(self.plus(0, x, self.act(self.around[0](x))) if self.written else self.around(x))


NETS = {
    "a residual": (Plus, 1),
    "in place": (InPlace, 1),
    "sum of a list": (Chain, 2),
    "activation, max pool, mean": (Ending, 3),
    "average pools, a smooth activation": (Pooled, 3),
    "in a container that adds": (Inside, 1),
}
"""The network, and how many of its functions become modules."""


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_gamma_box"])
@pytest.mark.parametrize(("build", "made"), NETS.values(), ids=NETS)
def test_functions_are_explained_as_modules_written_by_hand(build, made, composite):
    x = np.random.default_rng(0).uniform(-2, 2, (2, *SHAPE)).astype(np.float32)
    seed, parameters = np.eye(5, dtype=np.float32)[:2], PARAMETERS.get(composite, {})
    module = build().eval()
    found = run_zennit(module, composite, parameters, x, seed)
    by_hand = run_zennit(build(written=True).eval(), composite, parameters, x, seed)
    np.testing.assert_allclose(found.output, by_hand.output, rtol=1e-12)
    np.testing.assert_allclose(found.relevance, by_hand.relevance, rtol=1e-9, atol=1e-15)
    assert np.abs(found.relevance).sum() > 1e-3
    assert f"{made} functions of the PyTorch model became" in found.note
    assert by_hand.note == ""
    if composite != "epsilon_plus":
        return

    plan = lrpc.plan_model(
        module_to_proto(module, torch.from_numpy(x)), composite=lrpc.composites.COMPOSITES[composite](**parameters)
    )
    rounded = run_zennit(module, composite, parameters, x, seed, "float32")
    result = compare(plan, run_traced(plan, x, seed), "zennit", found, rounded)
    assert result.passed, (result.missing, result.failures)
    assert result.note == found.note


def test_on_a_resnet_it_is_what_zennits_own_canonizers_do(monkeypatch):
    torch.manual_seed(0)
    module = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5).eval()
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    seed = np.eye(5, dtype=np.float32)[:1]
    theirs = run_zennit(module, "epsilon_plus", {}, x, seed)
    monkeypatch.setattr(zennit_adapter, "_sums", lambda: CompositeCanonizer(()))
    ours = run_zennit(module, "epsilon_plus", {}, x, seed)
    assert "(layer1.0.add, layer2.0.add, layer3.0.add and 1 more)" in ours.note
    assert theirs.note == ""
    assert ours.arriving.keys() >= {f"layer{i}.0.add" for i in (1, 2, 3, 4)}
    np.testing.assert_allclose(ours.relevance, theirs.relevance, rtol=1e-12)


class Aliased(Net):
    def forward(self, x):
        x = self.act(self.first(x))
        y = self.second(x)
        y.add_(x)  # what it returns is thrown away
        return self.end(y)


class Repeated(Net):
    def forward(self, x):
        return self.end(self.second(self.act(self.second(self.act(self.first(x))))))


REFUSED = {
    "adds in place for nothing": (Aliased, SHAPE, "Aliased computes something else where its functions (add)"),
    "a layer called twice": (Repeated, SHAPE, "Repeated calls second 2 times, and zennit keeps the last input"),
    "another model": (Plus, (4, 8, 8), "Plus cannot run on a batch of shape (1, 4, 8, 8)"),
}


@pytest.mark.parametrize(("build", "shape", "message"), REFUSED.values(), ids=REFUSED)
def test_what_zennit_cannot_be_right_about_is_refused(build, shape, message):
    with pytest.raises(LrpcError) as caught:
        run_zennit(build(), "epsilon_plus", {}, np.ones((1, *shape), np.float32), np.ones((1, 5), np.float32))
    assert message in str(caught.value)
