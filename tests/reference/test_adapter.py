"""The zennit adapter: every layer reported under lrpc's name, the caller's module left alone."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

import lrpc
from lrpc.export import module_to_proto
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import COMPARED, compare
from lrpc.reference import run_zennit
from passes.errors import LrpcError


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


def fingerprint(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_it_reports_every_layer_that_lrpc_compares_and_leaves_the_module_alone(resnet18):
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    before = fingerprint(resnet18)
    seed = np.eye(1000, dtype=np.float32)[:1]
    result = run_zennit(resnet18, "epsilon_plus", {}, x, seed)
    proto = module_to_proto(resnet18, torch.from_numpy(x))
    after = resnet18.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    plan = lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
    compared = {row.layer for row in plan.rows if row.kind in COMPARED}
    assert len(compared) == 31
    assert compared <= result.arriving.keys()
    np.testing.assert_array_equal(result.arriving["fc"], seed)
    assert result.relevance.dtype == np.float64


@pytest.mark.parametrize(
    ("composite", "parameters", "message"),
    [
        ("deconvnet", {}, "has no composite 'deconvnet'"),
        ("epsilon_gamma_box", {"low": -1, "high": 1, "zero_params": "bias"}, "bias-free"),
        ("tutorial", {"low": -1, "high": 1, "zero_params": "bias"}, "keeps its biases"),
        ("epsilon_plus", {"share_bias": True}, "shares no bias out"),
        ("epsilon_plus", {"stabilizer": lrpc.Stabilizer(floor=1e-9)}, "no stabilizer"),
    ],
)
def test_what_zennit_cannot_answer_is_refused(composite, parameters, message):
    x, seed = np.zeros((1, 4), np.float32), np.ones((1, 2), np.float32)
    with pytest.raises(LrpcError, match=message):
        run_zennit(torch.nn.Linear(4, 2), composite, parameters, x, seed)


class Dense(nn.Module):
    """A BatchNorm reads joined tensors, next to a convolution of another width; two others do follow one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.plain = nn.BatchNorm2d(4, affine=False)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.joined = nn.BatchNorm2d(8)
        self.third = nn.Conv2d(8, 4, 1, bias=False)
        self.frozen = FrozenBatchNorm2d(4, eps=0.1)
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.plain(self.first(x)))
        x = self.relu(self.joined(torch.cat([self.second(x), x], dim=1)))
        return self.head(self.pool(self.relu(self.frozen(self.third(x)))).flatten(1))


def test_batchnorms_are_folded_with_the_layers_that_they_read():
    """zennit goes by the order of modules, folds no frozen BatchNorm (0.5.1), and fails on one without weights."""
    torch.manual_seed(0)
    module = Dense()
    for norm in (module.joined, module.frozen):
        norm.weight.data.uniform_(0.5, 2)
        norm.bias.data.uniform_(-1, 1)
    with torch.no_grad():
        module.train()(torch.randn(8, 3, 8, 8))
    module.eval()
    x = np.random.default_rng(0).uniform(-2, 2, (2, 3, 8, 8)).astype(np.float32)
    seed, before = np.eye(5, dtype=np.float32)[:2], fingerprint(module)
    runs = [run_zennit(module, "epsilon_plus", {}, x, seed, dtype) for dtype in ("float64", "float32")]
    with torch.no_grad():
        np.testing.assert_allclose(runs[1].output, module(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-6)
    plan = lrpc.plan_model(module_to_proto(module, torch.from_numpy(x)), composite=lrpc.composites.epsilon_plus())
    result = compare(plan, run_traced(plan, x, seed), "zennit", *runs)
    assert result.passed, (result.missing, result.failures)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
