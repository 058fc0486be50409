"""Targets and what they lack: forms are chosen by the table, and what is emitted is held against it."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.cli import main
from lrpc.composites.composite import Composite, Entry
from lrpc.emit.capabilities import BOTH_WAYS, FORMS, LACKS, MAX_INDICES, POOL_1D, SCATTER_ADD, TARGETS, lacks
from lrpc.emit.check import check_supported, unsupported
from lrpc.emit.targets import COSTS, NEEDS
from lrpc.emit.targets import TARGETS as OPTIMISED
from lrpc.lower import explain_graph, relevance_graph
from lrpc.plan.simplify import simplify
from passes.errors import LrpcError
from tests.graphs import model, small_resnet


def test_the_tables_know_each_others_names():
    assert {form for lacking in LACKS.values() for form in lacking} <= set(FORMS)
    assert {runtime for runtimes in TARGETS.values() for runtime in runtimes} == set(LACKS)
    assert {lack.known for lacking in LACKS.values() for lack in lacking.values()} == {"run", "read"}
    assert {form for forms in NEEDS.values() for form in forms} <= set(FORMS)
    assert all(form in COSTS[step][costs] for step, form in NEEDS for costs in COSTS[step])


def test_portable_lacks_what_any_runtime_lacks():
    assert set(lacks("portable")) == {form for lacking in LACKS.values() for form in lacking}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_no_form_that_needs_what_it_lacks(name):
    for (step, form), needed in NEEDS.items():
        assert not (OPTIMISED[name].takes(step, form) and lacks(name).keys() & set(needed))


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_emitted_for_a_target_is_all_there(name):
    plan = simplify(lrpc.plan_model(small_resnet()))
    for proto in (explain_graph(plan, target=OPTIMISED[name])[0], relevance_graph(plan, target=OPTIMISED[name])[0]):
        assert unsupported(proto, name) == []


def test_the_form_for_the_cpu_would_not_do_elsewhere():
    proto, _ = explain_graph(simplify(lrpc.plan_model(small_resnet())), target=OPTIMISED["cpu"])
    reasons = " ".join(problem.reason for problem in unsupported(proto, "portable"))
    assert all(form in reasons for form in (MAX_INDICES, SCATTER_ADD, BOTH_WAYS))
    assert [problem.op for problem in unsupported(proto, "web")] == ["MaxPool"]


def one_dimensional() -> onnx.ModelProto:
    """A model whose own pool TensorRT lacks."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], name="pool", kernel_shape=[2], strides=[2]),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w"], ["y"], name="fc"),
    ]
    return model(nodes, {"w": np.eye(6, 3, dtype=np.float32)}, {"x": ["batch", 2, 6]}, {"y": ["batch", 3]})


def test_a_node_that_the_target_lacks_is_named_with_operator_and_target():
    with pytest.raises(LrpcError, match="cannot run on the target tensorrt") as caught:
        lrpc.compile(one_dimensional(), composite=lrpc.composites.epsilon_plus_flat(), target="tensorrt")
    (problem,) = [p for p in caught.value.problems if p.layer == "pool"]
    assert (problem.op, POOL_1D in problem.reason, "tensorrt" in problem.reason) == ("MaxPool", True, True)


def test_the_command_line_names_it_too(tmp_path):
    onnx.save(one_dimensional(), tmp_path / "m.onnx")
    arguments = ["compile", str(tmp_path / "m.onnx"), "--target"]
    result = CliRunner().invoke(main, [*arguments, "tensorrt"])
    assert result.exit_code == 2
    assert "pool" in result.output
    assert POOL_1D in result.output
    assert "Choose another --target" in result.output
    assert CliRunner().invoke(main, [*arguments, "tract"]).exit_code == 0


def test_celu_is_refused_where_it_is_computed_wrongly():
    node = helper.make_node("Celu", ["x"], ["y"], name="celu", alpha=0.5)
    proto = model([node], {}, {"x": ["batch", 4]}, {"y": ["batch", 4]})
    plan = simplify(lrpc.plan_model(proto, composite=Composite("test", (Entry(rules.Gradient()),))))
    with pytest.raises(LrpcError, match="Celu with an alpha other than 1"):
        check_supported(explain_graph(plan, target=OPTIMISED["tract"])[0], "tract")
    check_supported(explain_graph(plan, target=OPTIMISED["openvino"])[0], "openvino")
