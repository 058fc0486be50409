"""The explainer: targets, seeds, batches, providers and health."""

import numpy as np
import onnxruntime as ort
import pytest

import lrpc
from lrpc.runtime.engine import Engine
from lrpc.runtime.session import assigned_elsewhere
from tests.graphs import picture, small_resnet

CUDA = "CUDAExecutionProvider"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return lrpc.compile(small_resnet()).save(tmp_path_factory.mktemp("bundle") / "model.lrp")


@pytest.fixture(scope="module")
def explainer(bundle):
    return lrpc.Explainer(bundle)


def relative(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


def one_hot(*classes):
    return np.eye(5, dtype=np.float32)[list(classes)]


TARGETS = {
    "argmax": lambda output: None,
    "one class": lambda output: 3,
    "a class each": lambda output: [1, 4],
    "numpy classes": lambda output: np.array([0, 2]),
    "seed": lambda output: one_hot(2, 3),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_pair_and_the_fused_graph_agree(bundle, explainer, target):
    x = picture()
    fused = explainer(x, target(None))
    pair = lrpc.Explainer(bundle, fused=False)(x, target(None))
    assert relative(pair.relevance, fused.relevance) < 1e-6
    assert relative(pair.output, fused.output) < 1e-6
    for name in ("sum", "abs_sum", "range", "nonfinite"):
        np.testing.assert_allclose(getattr(pair.health, name), getattr(fused.health, name), rtol=1e-4)


def test_no_target_means_the_largest_output(explainer):
    x = picture()
    result = explainer(x)
    expected = explainer(x, result.output.argmax(axis=1))
    np.testing.assert_array_equal(result.relevance, expected.relevance)


def test_relevance_is_linear_in_the_seed(explainer):
    x = picture()
    seed = np.random.default_rng(1).standard_normal((2, 5)).astype(np.float32)
    parts = [explainer(x, one_hot(c, c)).relevance * seed[:, c, None, None, None] for c in range(5)]
    assert relative(explainer(x, seed).relevance, np.sum(parts, axis=0)) < 1e-5


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_bundle_serves_any_batch_size(explainer, count):
    x = picture(16)
    whole, part = explainer(x, 1), explainer(x[:count], 1)
    assert part.relevance.shape == (count, 3, 8, 8)
    assert relative(part.relevance, whole.relevance[:count]) < 1e-5


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "target", [None, 3, [1, 4, 0, 2, 3], one_hot(2, 3, 0, 1, 1)], ids=["argmax", "one", "each", "seed"]
)
def test_a_batch_in_parts_is_the_batch(bundle, target, fused):
    x = picture(5)
    whole = lrpc.Explainer(bundle, fused=fused)(x, target)
    parts = lrpc.Explainer(bundle, fused=fused, max_batch=2)(x, target)
    assert relative(parts.relevance, whole.relevance) < 1e-5
    assert relative(parts.output, whole.output) < 1e-5
    assert parts.alarms == whole.alarms
    for name in ("sum", "abs_sum", "range", "nonfinite"):
        np.testing.assert_allclose(getattr(parts.health, name), getattr(whole.health, name), rtol=1e-3, atol=1e-5)


def test_no_part_is_larger_than_asked_for(bundle, monkeypatch):
    explainer, sizes = lrpc.Explainer(bundle, max_batch=2), []
    run = Engine.run
    monkeypatch.setattr(Engine, "run", lambda self, x, *rest: sizes.append(len(x)) or run(self, x, *rest))
    explainer(picture(5))
    assert sizes == [2, 2, 1]


def test_an_empty_batch_gives_an_empty_explanation(bundle):
    for max_batch in (None, 2):
        result = lrpc.Explainer(bundle, max_batch=max_batch)(picture(0), 1)
        assert result.relevance.shape == (0, 3, 8, 8)
        assert result.alarms == []


def test_health_is_what_numpy_finds(explainer):
    result = explainer(picture(), [1, 2])
    flat = result.relevance.reshape(2, -1).astype(np.float64)
    np.testing.assert_allclose(result.health.sum, flat.sum(axis=1), atol=1e-5 * np.abs(flat).sum())
    np.testing.assert_allclose(result.health.abs_sum, np.abs(flat).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(result.health.range, np.ptp(flat, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(result.health.nonfinite, 0)


def test_health_is_relative_to_the_seed(explainer):
    one, ten = (explainer(picture(), scale * one_hot(1, 2)) for scale in (1, 10))
    np.testing.assert_allclose(one.health.abs_sum, ten.health.abs_sum, rtol=1e-5)


def test_a_zero_seed_gives_zeros(explainer):
    result = explainer(picture(), np.zeros((2, 5), np.float32))
    assert not result.relevance.any()
    assert not result.health.abs_sum.any()


def test_a_target_out_of_range_gives_nan_in_the_graph_itself(bundle):
    session = ort.InferenceSession(bundle / "explain.onnx", providers=["CPUExecutionProvider"])
    feeds = {"x": picture(), "target": np.array([5, 1])}
    relevance, health = session.run(["relevance", "health"], feeds)
    assert np.isnan(relevance[0]).any()
    assert health[0, 3] > 0
    assert np.isfinite(relevance[1]).all()
    assert health[1, 3] == 0


def test_a_seed_bundle_takes_a_seed(tmp_path, explainer):
    path = lrpc.compile(small_resnet(), seed_input=True).save(tmp_path / "seeded.lrp")
    seeded = lrpc.Explainer(path)
    seed = one_hot(1, 3)
    np.testing.assert_allclose(
        seeded(picture(), seed).relevance, explainer(picture(), seed).relevance, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        seeded(picture(), [1, 3]).relevance, explainer(picture(), [1, 3]).relevance, rtol=1e-5, atol=1e-7
    )


def test_an_explainer_takes_what_compile_returns(explainer):
    compiled = lrpc.compile(small_resnet())
    np.testing.assert_array_equal(lrpc.Explainer(compiled)(picture()).relevance, explainer(picture()).relevance)


WRONG = {
    "class too large": ((picture(), 5), "Class 5 is out of range: the model has classes 0 to 4"),
    "class negative": ((picture(), [-1, 2]), "Class -1 is out of range"),
    "wrong count of classes": ((picture(), [1, 2, 3]), "one class or 2 of them"),
    "wrong image size": ((np.zeros((1, 3, 9, 8), np.float32), None), r"takes \('n', 3, 8, 8\)"),
    "no batch axis": ((np.zeros((3, 8, 8), np.float32), None), r"takes \('n', 3, 8, 8\)"),
    "wrong seed": ((picture(), np.zeros((2, 4), np.float32)), "the model's output has"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_refused(explainer, arguments, message):
    with pytest.raises(lrpc.LrpcError, match=message):
        explainer(*arguments)


@pytest.mark.parametrize("fused", [True, False])
def test_asking_for_cuda_where_there_is_none_is_an_error(bundle, fused, monkeypatch):
    monkeypatch.setattr("lrpc.runtime.session._started", lambda wanted: ["CPUExecutionProvider"])
    with pytest.raises(lrpc.LrpcError, match="CUDAExecutionProvider is not available on this machine"):
        lrpc.Explainer(bundle, providers=[CUDA], fused=fused)(picture())


def test_a_provider_that_does_not_exist_is_an_error(bundle):
    with pytest.raises(lrpc.LrpcError, match="was built without it"):
        lrpc.Explainer(bundle, providers=["MoonExecutionProvider"])(picture())


def test_nodes_that_run_elsewhere_are_named(bundle):
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    path = str(bundle / "explain.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    elsewhere = assigned_elsewhere(session.get_provider_graph_assignment_info(), CUDA)
    assert any(line.endswith(" on CPUExecutionProvider") for line in elsewhere)
    assert assigned_elsewhere(session.get_provider_graph_assignment_info(), "CPUExecutionProvider") == []
