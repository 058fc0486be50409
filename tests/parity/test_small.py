"""Small networks under every composite: against zennit in float64, and against the oracle."""

import numpy as np
import pytest

import lrpc
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import compare
from lrpc.reference import run_oracle, run_zennit
from lrpc.reference.zennit_adapter import COMPOSITES
from tests.composites import PARAMETERS
from tests.nets import NETS, exported, inputs
from tests.targets import DISTINCT


@pytest.mark.parametrize("composite", [name for name in COMPOSITES if name not in ("tutorial", "epsilon")])
@pytest.mark.parametrize("name", NETS)
def test_parity(name, composite):
    module, proto = exported(name)
    parameters = PARAMETERS.get(composite, {})
    plan = lrpc.plan_model(proto, composite=lrpc.composites.COMPOSITES[composite](**parameters))
    x = inputs(NETS[name])
    seed = np.eye(plan.graph.outputs[0].shape[1], dtype=np.float32)[[0, 1, 2]]
    levels = [run_traced(plan, x, seed, target) for target in (None, *DISTINCT)]
    zennit = [run_zennit(module, composite, parameters, x, seed, dtype) for dtype in ("float64", "float32")]
    oracle = [run_oracle(plan.graph, plan.behaviours, x, seed, dtype) for dtype in ("float64", "float32")]
    for reference, runs in (("zennit", zennit), ("oracle", oracle)):
        for ours in levels:
            result = compare(plan, ours, reference, *runs)
            assert result.passed, [(c.layer, c.relevance, c.yardstick) for c in result.failures]
            assert len(result.layers) == NETS[name].compared
        assert np.abs(runs[0].relevance).sum() > 1e-3
