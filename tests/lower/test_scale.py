"""Deep models: compiling takes work in proportion to the layers, recurses nowhere, and loses no shape."""

import sys

import numpy as np
import onnx
import onnx.shape_inference
import pytest

import lrpc
from benchmarks.chains import chain, residual_chain
from lrpc.lower import explain_graph
from passes.graph.branches import _fork, body_branch
from tests.graphs import small_resnet


@pytest.mark.parametrize(
    "build", [small_resnet, lambda: chain(6), lambda: residual_chain(2)], ids=["resnet", "chain", "residual"]
)
def test_no_tensor_loses_its_batch(build):
    """Runtimes share memory among tensors that they know to be of one size; -1 alone would hide it."""
    plan = lrpc.plan_model(build(), composite=lrpc.composites.epsilon_gamma_box(low=-2.0, high=2.0))
    inferred = onnx.shape_inference.infer_shapes(explain_graph(plan)[0], strict_mode=True, data_prop=True)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    lost = [n for n, dims in shapes.items() if len(dims) > 1 and any(d.dim_param.startswith("unk") for d in dims)]
    assert lost == []
    assert "flatten/reshaped" in shapes


def test_the_body_of_a_sum_is_found_from_where_its_branches_part():
    graph = lrpc.plan_model(residual_chain(3), composite=lrpc.composites.bounded()).graph
    sums = [node for node in graph.nodes if node.op == "Sum"]
    assert [body_branch(node) for node in sums] == [0, 0, 0]
    assert [_fork(node).name for node in sums] == ["stem.relu.out", "b0.relu2.out", "b1.relu2.out"]


def test_two_thousand_layers_compile_and_run():
    compiled = lrpc.compile(chain(2000), composite=lrpc.composites.bounded(), rules=[("*.conv", lrpc.rules.epsilon())])
    result = lrpc.Explainer(compiled)(np.ones((1, 4, 4, 4), np.float32), 1)
    assert len(compiled.plan.rows) == 2001
    assert np.isfinite(result.relevance).all()


@pytest.mark.parametrize(
    ("build", "counts"), [(chain, (100, 200, 300)), (residual_chain, (20, 40, 60))], ids=["chain", "residual"]
)
def test_the_work_grows_linearly(build, counts, tmp_path):
    """Calls are counted, not seconds: the second hundred layers cost what the third does."""
    models = [build(n) for n in counts]
    compiled_and_saved(models[0], tmp_path / "warm")  # imports and caches
    first, second, third = (
        calls(lambda m=m, i=i: compiled_and_saved(m, tmp_path / str(i))) for i, m in enumerate(models)
    )
    assert third - second == pytest.approx(second - first, rel=0.02)


def compiled_and_saved(model, path):
    rules = [("*.add", lrpc.rules.BodyOnly())] if any(node.op_type == "Add" for node in model.graph.node) else []
    lrpc.compile(model, composite=lrpc.composites.epsilon_plus(), rules=rules).save(path)


def calls(run):
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count
