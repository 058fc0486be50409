"""torchvision's own builders, one or two of a family, under a composite that amplifies nothing, against the oracle.

docs/architectures.md tells of all of them.
"""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
import torch

import lrpc
from lrpc.emit.targets import TARGETS
from lrpc.export import module_to_proto
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle
from lrpc.reference.oracle import Oracle
from studies.nets import NETS

LIMIT, YARDSTICKS = 2e-6, 4
INPUTS = 3
"""Where rounding puts a value on the other side of 0 an error jumps: the median of several inputs counts."""

BUILDERS = (
    "densenet121", "ecg", "efficientnet_b0", "googlenet", "lraspp_mobilenet_v3_large", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "r3d_18", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "unet",
)  # fmt: skip

pytestmark = pytest.mark.slow


def errors(relevance: np.ndarray, exact: np.ndarray) -> float:
    return median(relative_error(one, other) for one, other in zip(relevance, exact, strict=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_builder_agrees_with_the_oracle(name):
    """The yardstick: what rounding does to the oracle, in float32, or on the activations that ONNX Runtime computed."""
    net = NETS[name]
    module = net.settled()
    proto = module_to_proto(module, torch.randn(2, *net.shape))
    x = net.inputs(INPUTS)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    seed = np.zeros_like(expected)
    seed[:, 1] = 1
    plan = lrpc.plan_model(proto, composite=lrpc.composites.bounded())
    exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, seed, d) for d in ("float64", "float32"))
    for target in (None, TARGETS["cpu"]):
        ours = run_traced(plan, x, seed, target)
        values = {
            node.outputs[0].name: torch.from_numpy(ours.activations[node.name]).double() for node in plan.graph.nodes
        }
        values[plan.graph.inputs[0].name] = torch.from_numpy(x).double()
        given = Oracle(plan.graph, plan.behaviours).backward(values, torch.from_numpy(seed).double())
        explained = given[plan.graph.inputs[0].name].numpy()
        yardstick = max(errors(relevance, exact.relevance) for relevance in (rounded.relevance, explained))
        error = errors(ours.relevance, exact.relevance)
        print(f"\n{name} {target and target.name}: {error:.1e}, yardstick {yardstick:.1e}")
        assert errors(ours.output, expected) < 1e-4
        assert error < max(LIMIT, YARDSTICKS * yardstick)
        per_sample = np.abs(ours.relevance).reshape(INPUTS, -1).sum(axis=1)
        assert (per_sample <= (1 + 1e-4) * np.abs(seed).reshape(INPUTS, -1).sum(axis=1)).all()
