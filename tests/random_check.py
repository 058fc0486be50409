"""A random network held against the oracle, at both levels, under a composite by name.

The yardstick is what rounding does to the oracle itself.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import torch

import lrpc
from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.emit.targets import TARGETS
from lrpc.inspect.validate.traced import Traced, run_traced
from lrpc.inspect.validate.validation import relative_error, rounding_copies
from lrpc.plan.plan import Plan
from lrpc.reference import run_oracle
from lrpc.reference.oracle import Oracle, ReferenceResult
from lrpc.rules.kinds import LINEAR, Kind
from tests.random_nets import RandomNet

YARDSTICKS, FLOOR = 4, 16 * 2.0**-23
"""How many times what rounding does to the oracle an error may be; a few roundings are always allowed."""
SPLIT = rules.abs_split(zero_params="bias")
KEPT = Composite(
    "kept",
    (Entry(SPLIT, LINEAR), Entry(rules.abs_split(), (Kind.SUM, Kind.AVERAGE_POOL)), *lrpc.composites.bounded().entries),
)
"""Hands down all that arrives, but at units that see zeros only."""

PARAMETERS = {"epsilon_gamma_box": {"low": -2, "high": 2}, "beta_smooth": {"beta_smooth": 1.0}}
"""ONNX Runtime's Sigmoid is coarse below -4, where beta = 10 leads."""
PLAIN = sorted(lrpc.composites.COMPOSITES.keys() - {"tutorial"})


def named(name: str) -> Composite:
    return KEPT if name == "kept" else lrpc.composites.COMPOSITES[name](**PARAMETERS.get(name, {}))


def forward(net: RandomNet) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(net.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": net.x})
    return output


def yardstick(plan: Plan, net: RandomNet, exact: ReferenceResult, ours: Traced) -> float:
    """How far rounding moves the oracle.

    In float32, on inputs that differ by a rounding; in float64 on one of these; and in float64 on the activations that
    ONNX Runtime computed, whose kernels are coarser than PyTorch's.
    """
    moved = [np.stack(copies) for copies in zip(*(rounding_copies(x[None], 4) for x in net.x), strict=True)]
    found = [run_oracle(plan.graph, plan.behaviours, x, net.seed, "float32").relevance for x in moved]
    found.append(run_oracle(plan.graph, plan.behaviours, moved[1], net.seed).relevance)
    found.append(explained(plan, net, ours.activations))
    return max(relative_error(values, exact.relevance) for values in found)


def coarseness(plan: Plan, exact: ReferenceResult) -> float:
    """How far, relatively, ONNX Runtime's Sigmoid can be off on this network: 2^-23 of a value that is as small as exp(x)."""
    outputs = [exact.activations[node.name] for node in plan.graph.nodes if node.op == "Sigmoid"]
    layers = {node.outputs[0].name: node.name for node in plan.graph.nodes}
    inputs = [node.inputs[0].name for node in plan.graph.nodes if node.op == "Swish"]
    outputs += [1 / (1 + np.exp(-exact.activations[layers[name]])) for name in inputs if name in layers]
    return max((2.0**-23 / values.min() for values in outputs), default=0.0)


def explained(plan: Plan, net: RandomNet, activations: dict[str, np.ndarray]) -> np.ndarray:
    """Explain a forward pass that somebody else has run."""
    oracle = Oracle(plan.graph, plan.behaviours)
    values = {node.outputs[0].name: torch.from_numpy(activations[node.name]).double() for node in plan.graph.nodes}
    values["x"] = torch.from_numpy(net.x).double()
    return oracle.backward(values, torch.from_numpy(net.seed).double())["x"].numpy()


def check(net: RandomNet, name: str) -> bool:
    """Whether a network says anything: has relevance, and a finite one. Raises AssertionError where lrpc is off."""
    plan = lrpc.plan_model(net.proto, composite=named(name))
    exact = run_oracle(plan.graph, plan.behaviours, net.x, net.seed)
    if not (np.isfinite(exact.relevance).all() and np.abs(exact.relevance).sum() > 1e-6):
        return False
    given, seeded = relative_error(forward(net), exact.output), np.abs(net.seed).sum()
    for target in (None, TARGETS["cpu"]):
        ours = run_traced(plan, net.x, net.seed, target)
        assert relative_error(ours.output, exact.output) < max(1e-5, YARDSTICKS * given)
        limit = max(FLOOR, YARDSTICKS * yardstick(plan, net, exact, ours), coarseness(plan, exact))
        error = relative_error(ours.relevance, exact.relevance)
        assert error < limit, f"{name}, {target}: {error:.1e}, allowed are {limit:.1e}\n{plan}"
        if name in ("bounded", "kept"):
            assert np.abs(ours.relevance).sum() <= (1 + 1e-5) * seeded
        if name == "kept" and abs(exact.relevance.sum() - net.seed.sum()) < 1e-6 * seeded:
            assert abs(ours.relevance.sum() - net.seed.sum()) < 1e-5 * seeded
    return True
