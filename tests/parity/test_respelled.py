"""A respelled operator obeys the rule that its user expects of it, under every composite.

The expectation knows neither canonization nor rules as lrpc has them: the user's own layers in torch, in float64, and
for each the formula of its rule by autograd, or zennit where the layer has a weight.
"""

import numpy as np
import pytest
import torch

import lrpc
from lrpc.emit.targets import TARGETS
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle, run_zennit
from lrpc.rules.stabilizer import Stabilizer
from tests.graphs import model
from tests.parity.respelled import CASES, RULES

LIMIT, YARDSTICKS = 2e-6, 4
"""A float32 result errs by LIMIT, or by this many times what the oracle errs by in float32."""
BOX = {"low": -4.0, "high": 4.0}
STABILIZERS = {"plain": Stabilizer(0.1), "rms": Stabilizer(0.25, scale="rms")}
"""Large ones, so that it shows where they act."""


def parameters(composite, stabilizer):
    if composite == "tutorial":
        return BOX
    if "gradient" in RULES[composite]["linear"]:
        return {}
    given = {"stabilizer": stabilizer} | (BOX if composite == "epsilon_gamma_box" else {})
    return given | ({"epsilon": stabilizer} if composite.startswith("epsilon") else {})


def expected(case, composite, stabilizer, x, seed):
    """Explain the user's own layers, from the last one down."""
    inputs = [torch.from_numpy(x).double()]
    for _, layer in case.layers:
        inputs.append(layer(inputs[-1]).detach())
    relevance = torch.from_numpy(seed).double()
    for (sort, layer), value in reversed(list(zip(case.layers, inputs, strict=False))):
        relevance = explained(layer, RULES[composite].get(sort, "gradient"), composite, stabilizer, value, relevance)
    return inputs[-1].numpy(), relevance.numpy()


def explained(layer, rule, composite, stabilizer, x, relevance):
    if rule == "pass":
        return relevance
    if rule == "zennit":
        known = "excitation_backprop" if composite == "bounded" else composite  # z_plus for layers with a weight
        run = run_zennit(layer, known, parameters(known, stabilizer), x.numpy(), relevance.numpy())
        return torch.from_numpy(run.relevance)
    if rule == "gradient":
        return pulled(layer, x, relevance)
    values = x.abs() if rule == "split" else x
    return values * pulled(layer, values, relevance / stabilized(layer(values), stabilizer))


def stabilized(z, stabilizer):
    margin = torch.full_like(z, stabilizer.epsilon)
    if stabilizer.scale == "rms":
        margin = margin * z.flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (z.ndim - 1))
    return z + torch.where(z < 0, -margin, margin)


def pulled(layer, x, relevance):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(layer(leaf), leaf, relevance)[0]


def _trials():
    """Yield every operator under every composite, and with a scale where a stabilizer acts."""
    for name, case in CASES.items():
        for composite, given in RULES.items():
            yield name, composite, "plain"
            if any(given.get(sort) in ("norm", "split", "zennit") for sort, _ in case.layers):
                yield name, composite, "rms"


@pytest.mark.parametrize(("name", "composite", "kind"), list(_trials()))
def test_a_respelled_operator_obeys_its_users_rule(name, composite, kind):
    case, stabilizer = CASES[name], STABILIZERS[kind]
    proto = model(case.nodes, case.weights, {"x": ["batch", *case.shape]}, {"y": ["batch", *case.result]})
    built = lrpc.composites.COMPOSITES[composite](**parameters(composite, stabilizer))
    plan = lrpc.plan_model(proto, composite=built)
    rng = np.random.default_rng(0)
    x = rng.uniform(-4, 4, (3, *case.shape)).astype(np.float32)
    seed = rng.standard_normal((3, *case.result)).astype(np.float32)
    output, relevance = expected(case, composite, stabilizer, x, seed)
    exact, rounded = (run_oracle(plan.graph, plan.behaviours, x, seed, d) for d in ("float64", "float32"))
    assert relative_error(exact.output, output) < 1e-6  # constants are rounded to float32
    assert relative_error(exact.relevance, relevance) < 1e-6, [(row.layer, row.op, str(row.rule)) for row in plan.rows]
    limit = max(LIMIT, YARDSTICKS * relative_error(rounded.relevance, exact.relevance))
    for target in (None, TARGETS["cpu"]):
        assert relative_error(run_traced(plan, x, seed, target).relevance, relevance) < limit


def test_every_composite_is_in_the_table():
    assert set(RULES) == set(lrpc.composites.COMPOSITES)
