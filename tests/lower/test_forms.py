"""Of equal forms of one step the graph has the one that its target prefers, and the short ones only where they are equal."""

from __future__ import annotations

from collections import Counter

import pytest

from lrpc import rules
from lrpc.emit.targets import TARGETS
from lrpc.lower import relevance_graph
from lrpc.plan.simplify import simplify
from tests.layers import GEOMETRIES, LINEAR, MOVING, plan_of

CASES = LINEAR | MOVING | GEOMETRIES
WATCHED = {"Conv", "ConvTranspose", "AveragePool", "Resize", "ScatterElements", "MatMul", "Gemm"}


def ops(name: str, rule, target: str | None) -> dict[str, int]:
    plan = plan_of(*CASES[name], rule)
    graph, _ = relevance_graph(simplify(plan), target=TARGETS[target]) if target else relevance_graph(plan)
    return {op: n for op, n in Counter(node.op_type for node in graph.graph.node).items() if op in WATCHED}


# the gradient of a layer: by definition, and for a target
GRADIENTS = {
    "conv": (None, {"ConvTranspose": 1}),
    "conv, 1-D": ("cpu", {"ConvTranspose": 1}),  # strided
    "conv, dilated in groups": ("cpu", {"Conv": 1}),
    "conv, padded beyond its reach": ("cpu", {"ConvTranspose": 1}),
    "conv, strided one way": ("cpu", {"ConvTranspose": 1}),
    "conv, flat windows": ("cpu", {"Conv": 1}),
    "transposed": ("cpu", {"Conv": 1}),
    "dense": ("cpu", {"Gemm": 1}),
    "average pool": ("cpu", {"Resize": 1}),
    "average pool, 3-D": ("cpu", {"Resize": 1}),
    "average pool, 1-D": ("cpu", {"AveragePool": 1}),
    "average pool, overlapping": ("cpu", {"AveragePool": 1}),
    "average pool, padding not counted": ("cpu", {"ConvTranspose": 1}),
    "average pool, padding counted": ("cpu", {"ConvTranspose": 1}),
    "average pool, padded and counted": ("cpu", {"AveragePool": 1}),
    "average pool, padded on one side": ("cpu", {"ConvTranspose": 1}),
    "average pool, ceil mode": ("cpu", {"ConvTranspose": 1}),
    "average pool with gaps": ("cpu", {"ConvTranspose": 1}),
    "average pool with a rest": ("cpu", {"ConvTranspose": 1}),
    "average pool, tiles one way": ("cpu", {"ConvTranspose": 1}),
    "average pool, dilated": ("cpu", {"ConvTranspose": 1}),
    "resize, nearest": ("cpu", {"MatMul": 2}),
    "resize, 3-D": ("cpu", {"MatMul": 2}),
    "max pool": ("cpu", {"ScatterElements": 1}),
    "max pool, dilated": ("web", {"ConvTranspose": 1, "Conv": 1}),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_transpose_has_the_form_that_is_cheapest_where_it_is_equal(name):
    target, expected = GRADIENTS[name]
    assert ops(name, rules.Gradient(), target) == expected


@pytest.mark.parametrize("name", ["average pool", "average pool, overlapping", "average pool, dilated"])
def test_the_definition_of_a_pools_gradient_is_one_transposed_convolution(name):
    assert ops(name, rules.Gradient(), None) == {"ConvTranspose": 1}


def test_a_pool_is_computed_as_a_pool_unless_it_is_dilated():
    """Opset 18, which relevance graphs are of, has no dilated average pools."""
    assert ops("average pool, overlapping", rules.abs_split(), None) == {"AveragePool": 1, "ConvTranspose": 1}
    assert ops("average pool, dilated", rules.abs_split(), None) == {"Conv": 1, "ConvTranspose": 1}
