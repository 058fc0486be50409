"""Graphs whose epsilon and gamma are inputs: the defaults are the constants, other values are another compilation."""

import numpy as np
import onnxruntime as ort
import pytest

import lrpc
from lrpc import composites, rules
from lrpc.lower.tunable import tunables
from tests.graphs import picture, small_resnet


def plan_arguments(gamma=0.25, epsilon=1e-6):
    return {"composite": composites.epsilon_gamma_box(-2, 2, epsilon=epsilon, gamma=gamma, stabilizer=epsilon)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("tunable") / "t.lrp"
    return lrpc.compile(small_resnet(), tunable=True, **plan_arguments()).save(path)


@pytest.fixture(scope="module")
def explainer(bundle):
    return lrpc.Explainer(bundle)


def test_every_rule_has_its_inputs(explainer):
    assert explainer.tunables == {
        "z_box.epsilon": 1e-6, "gamma.epsilon": 1e-6, "gamma.gamma": 0.25, "norm.epsilon": 1e-6, "epsilon.epsilon": 1e-6,
    }  # fmt: skip
    layers = {entry.name: entry.layers for entry in explainer.manifest.tunables}
    assert layers["gamma.gamma"] == 3


def test_other_runtimes_see_them_as_inputs_with_defaults(bundle):
    for name in ("explain", "relevance"):
        session = ort.InferenceSession(str(bundle / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        inputs = {value.name for value in session.get_overridable_initializers()}
        assert inputs == set(lrpc.Explainer(bundle).tunables)
        assert not inputs & {value.name for value in session.get_inputs()}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("gamma", "epsilon"), [(0.25, 1e-6), (0.0, 1e-6), (2.0, 0.1), (0.25, 0.0)])
def test_a_value_does_what_compiling_with_it_does(bundle, fused, gamma, epsilon):
    x = picture()
    values = {name: gamma if name.endswith(".gamma") else epsilon for name in lrpc.Explainer(bundle).tunables}
    tuned = lrpc.Explainer(bundle, fused=fused)(x, 1, values)
    expected = lrpc.Explainer(lrpc.compile(small_resnet(), **plan_arguments(gamma, epsilon)), fused=fused)(x, 1)
    np.testing.assert_allclose(tuned.relevance, expected.relevance, rtol=1e-4, atol=1e-6)


def test_the_defaults_are_what_it_was_compiled_with(explainer):
    expected = lrpc.Explainer(lrpc.compile(small_resnet(), **plan_arguments()))(picture(), 1)
    np.testing.assert_allclose(explainer(picture(), 1).relevance, expected.relevance, rtol=1e-5, atol=1e-7)


def test_a_second_rule_of_the_same_name_has_inputs_of_its_own():
    plan = lrpc.plan_model(small_resnet(), **plan_arguments(), rules=[("block.conv2", rules.gamma(1.0))])
    found = {tunable.name: tunable.default for tunable in tunables(plan)}
    assert (found["gamma.gamma"], found["gamma:1.gamma"]) == (0.25, 1.0)
    assert {t.layers for t in tunables(plan) if t.name.startswith("gamma:1")} == {1}


def test_a_single_file_is_tunable_too(tmp_path):
    path = lrpc.compile(small_resnet(), tunable=True, **plan_arguments()).save(tmp_path / "t.onnx", single_file=True)
    assert "gamma.gamma" in lrpc.Explainer(path).tunables


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gama": 1.0}, "has no tunable gama: it has z_box.epsilon, gamma.epsilon"),
        ({"gamma.gamma": -1.0}, "at least 0"),
        ({"gamma.gamma": float("nan")}, "at least 0"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(explainer, values, message):
    with pytest.raises(lrpc.LrpcError, match=message):
        explainer(picture(), 1, values)


def test_a_bundle_without_them_says_how_to_get_them():
    with pytest.raises(lrpc.LrpcError, match="compiled without --tunable"):
        lrpc.Explainer(lrpc.compile(small_resnet()))(picture(), 1, {"gamma.gamma": 1.0})
