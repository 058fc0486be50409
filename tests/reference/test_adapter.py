"""The zennit adapter: every layer reported under lrpc's name, the caller's module left alone."""

import numpy as np
import pytest
import torch
import torchvision

import lrpc
from lrpc.export import module_to_proto
from lrpc.inspect.validate import COMPARED
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
