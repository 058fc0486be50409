"""The composite of zennit's issue 148: by definition it is zennit's, and on ResNet-50 it explodes as the issue says.

Both sides run in float64 on the same numbers: weights are folded and rounded to float32 beforehand, because this
composite amplifies that rounding alone by seven decades.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import lrpc
from lrpc.export import load_torch, module_to_proto
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle, run_zennit
from lrpc.rules.kinds import LINEAR, Kind
from tests.nets import NETS, built, inputs, pictures

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(module: nn.Module, example: torch.Tensor) -> nn.Module:
    """The same function with every BatchNorm behind a convolution made a mere bias, so that folding is exact."""
    graph = lrpc.plan_model(module_to_proto(module, example), composite=lrpc.composites.epsilon_plus()).graph
    weights = {node.name: node.inputs[1:3] for node in graph.nodes if node.op in ("Conv", "ConvTranspose", "Gemm")}
    result = copy.deepcopy(module)
    before = None
    for path, leaf in [(p, m) for p, m in result.named_modules() if not any(m.children())]:
        if isinstance(leaf, _NORMS) and before in weights:
            weight, bias = (torch.from_numpy(np.array(tensor.values)) for tensor in weights[before])
            result.get_submodule(before).weight.data = weight
            result.get_submodule(before).bias = nn.Parameter(torch.zeros_like(bias))
            leaf.weight.data, leaf.bias.data = torch.ones_like(bias), bias
            leaf.running_mean, leaf.running_var, leaf.eps = torch.zeros_like(bias), torch.ones_like(bias), 0.0
        before = path
    return result


def both(module, x, seed, low, high):
    plan = lrpc.plan_model(module_to_proto(module, torch.from_numpy(x)), composite=lrpc.composites.tutorial(low, high))
    zennit = run_zennit(module, "tutorial", {"low": low, "high": high}, x, seed)
    return plan, run_oracle(plan.graph, plan.behaviours, x, seed), zennit


def compared(plan):
    return [row.layer for row in plan.rows if row.kind in (*LINEAR, Kind.MAX_POOL, Kind.AVERAGE_POOL)]


@pytest.mark.parametrize("name", NETS)
def test_by_definition_it_is_zennits(name):
    x = inputs(NETS[name])
    module = folded(built(NETS[name]), torch.from_numpy(x))
    with torch.no_grad():
        classes = module(torch.from_numpy(x)).shape[1]
    plan, ours, zennit = both(module, x, np.eye(classes, dtype=np.float32)[[0, 1, 2]], -2.0, 2.0)
    layers = compared(plan)
    assert len(layers) == NETS[name].compared - sum(row.kind is Kind.SUM for row in plan.rows)
    for layer in layers:
        finite = np.isfinite(zennit.arriving[layer])  # zennit divides by 0 where lrpc's quotient is 0
        assert finite.mean() > 0.5, layer
        assert relative_error(ours.arriving[layer][finite], zennit.arriving[layer][finite]) < 1e-7, (
            layer
        )  # ONNX keeps attributes in float32
    assert np.abs(ours.relevance).sum() > 1e-3


@pytest.mark.slow
def test_on_resnet50_it_explodes_and_is_zennits():
    loaded = load_torch("torchvision:resnet50")
    x = pictures(loaded.spec)[:1]
    module = folded(loaded.module, torch.from_numpy(x))
    seed = np.eye(1000, dtype=np.float32)[[1]]
    plan, ours, zennit = both(module, x, seed, loaded.spec.low, loaded.spec.high)
    assert np.isfinite(zennit.relevance).all()
    errors = {layer: relative_error(ours.arriving[layer], zennit.arriving[layer]) for layer in compared(plan)}
    spread = float(np.ptp(zennit.relevance))
    print(f"\ntutorial on resnet50: max - min {spread:.1e}, worst float64 error {max(errors.values()):.1e}")
    assert len(errors) == 53 + 1 + 2
    assert spread > 1e25
    assert max(errors.values()) < 1e-4
    assert relative_error(ours.relevance, zennit.relevance) < 1e-4
