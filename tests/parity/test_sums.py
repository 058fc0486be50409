"""Branches that zennit's Sum joins, under every composite that both have, layer by layer against zennit in float64."""

from functools import cache

import numpy as np
import pytest
import torch
from zennit.layer import Sum

import lrpc
from lrpc.emit.targets import TARGETS
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import COMPARED, COPIES, relative_error, rounding_copies
from lrpc.reference import run_zennit
from lrpc.reference.zennit_adapter import COMPOSITES
from tests.nets import built, inputs
from tests.parity.sum_nets import EXPORTERS, SUM_NETS

PARAMETERS = {"epsilon_gamma_box": {"low": -2.0, "high": 2.0}}
SHARED = [name for name in COMPOSITES if name not in ("tutorial", "epsilon")]
CASES = [("dynamo", name) for name in SHARED] + [("torchscript", "excitation_backprop")]
YARDSTICKS, FLOOR = 4, 16 * 2.0**-23
"""How many times zennit's own float32 error ours may be; a few roundings are always allowed."""


@cache
def exported(name, exporter):
    module = built(SUM_NETS[name])
    return module, EXPORTERS[exporter](module, torch.from_numpy(inputs(SUM_NETS[name])))


@pytest.mark.parametrize(("exporter", "composite"), CASES)
@pytest.mark.parametrize("name", SUM_NETS)
def test_parity(name, exporter, composite):
    module, proto = exported(name, exporter)
    parameters = PARAMETERS.get(composite, {})
    plan = lrpc.plan_model(proto, composite=lrpc.composites.COMPOSITES[composite](**parameters))
    x = np.concatenate([rounding_copies(sample[None]) for sample in inputs(SUM_NETS[name])])
    seed = np.repeat(np.eye(5, dtype=np.float32)[[0, 1, 2]], COPIES, axis=0)
    exact = run_zennit(module, composite, parameters, x[::COPIES], seed[::COPIES])
    rounded = run_zennit(module, composite, parameters, x, seed, "float32")
    layers = [row.layer for row in plan.rows if row.kind in COMPARED]
    assert len(layers) == SUM_NETS[name].compared
    for target in (None, TARGETS["cpu"]):
        ours = run_traced(plan, x, seed, target)
        for layer in layers:
            wanted = exact.arriving[layer]
            check(layer, ours.arriving[layer], rounded.arriving[layer], wanted)
        check("input", ours.relevance, rounded.relevance, exact.relevance)


@pytest.mark.parametrize("name", SUM_NETS)
def test_both_of_torchs_exporters_give_the_same_layers(name):
    plans = [lrpc.plan_model(exported(name, e)[1], composite=lrpc.composites.epsilon_plus()) for e in EXPORTERS]
    weighted = [[(row.layer, row.op) for row in plan.rows if row.kind in COMPARED] for plan in plans]
    assert weighted[0] == weighted[1]
    sums = [row.layer for row in plans[0].rows if row.op == "Sum"]
    modules = [path for path, module in exported(name, "dynamo")[0].named_modules() if type(module).__name__ == "Sum"]
    assert sorted(sums) == sorted(modules)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_what_zennits_canonizers_put_in_the_place_of_a_plus_is_called_after_the_plus(exporter):
    class Canonized(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.canonizer_sum = torch.nn.Conv2d(3, 3, 1), Sum()

        def forward(self, x):
            return self.canonizer_sum(torch.stack([x, self.conv(x)], dim=-1))

    proto = EXPORTERS[exporter](torch.nn.Sequential(Canonized()), torch.zeros(2, 3, 4, 4))
    plan = lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
    assert [row.layer for row in plan.rows] == ["0.conv", "0.add.branch0", "0.add"]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_sum_that_is_no_module_has_torchs_name(exporter):
    class Functional(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.conv(x).sum(dim=1)

    proto = EXPORTERS[exporter](Functional(), torch.zeros(2, 3, 4, 4))
    plan = lrpc.plan_model(proto, composite=lrpc.composites.epsilon_plus())
    assert [(row.layer, row.op) for row in plan.rows] == [("conv", "Conv"), ("sum", "ReduceSum")]


def check(layer, ours, rounded, wanted):
    """The median over roundings of our error is at most four times that of zennit in float32, sample by sample."""
    assert np.abs(wanted).sum() > 1e-3
    for index, expected in enumerate(wanted):
        copies = slice(index * COPIES, (index + 1) * COPIES)
        error, yardstick = (np.median([relative_error(v, expected) for v in run[copies]]) for run in (ours, rounded))
        assert error <= max(YARDSTICKS * yardstick, FLOOR), (layer, index, error, yardstick)
