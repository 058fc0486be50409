"""What CUDA leaves to the CPU: nothing of what lrpc emits, and the table knows the exceptions."""

import pytest

import lrpc
from lrpc.composites.builtin import COMPOSITES
from lrpc.lower import explain_graph, forward_graph, relevance_graph
from tests.composites import composite
from tests.graphs import SHAPES, small_resnet
from tests.placement import LEFT_TO_THE_CPU, PLACED, PLACED_THERE, UNTIL, cpu_bound


def graphs(plan):
    relevance, taps = relevance_graph(plan)
    return [explain_graph(plan)[0], relevance, forward_graph(plan, taps)]


@pytest.mark.parametrize("name", COMPOSITES)
@pytest.mark.parametrize("source", [small_resnet, lambda: SHAPES], ids=["small", "shapes"])
def test_cuda_runs_every_node_that_lrpc_emits(source, name):
    plan = lrpc.plan_model(source(), composite=composite(name))
    assert [line for proto in graphs(plan) for line in cpu_bound(proto)] == []


@pytest.mark.parametrize(("proto", "reason"), LEFT_TO_THE_CPU.values(), ids=LEFT_TO_THE_CPU)
def test_what_cuda_lacks_is_named_with_its_reason(proto, reason):
    (line,) = cpu_bound(proto)
    assert line.startswith("node (")
    assert reason in line


@pytest.mark.parametrize("proto", PLACED_THERE.values(), ids=PLACED_THERE)
def test_what_cuda_has_is_not_named(proto):
    assert cpu_bound(proto) == []


def test_the_table_agrees_with_itself():
    assert set(UNTIL) <= PLACED
