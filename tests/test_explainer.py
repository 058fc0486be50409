"""What an explainer takes, in which parts it runs a batch, and what it refuses before anything runs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import lrpc
from lrpc.bundle.manifest import Input, Picture, Tensor, Tunable
from lrpc.runtime.engine import Engine
from lrpc.runtime.explanation import join
from lrpc.runtime.session import CUDA, RunOptions
from tests.graphs import picture, small_resnet

SEED = np.eye(5, dtype=np.float32)[[1, 3]]


@pytest.fixture(scope="module")
def compiled():
    return lrpc.compile(small_resnet())


@pytest.fixture(scope="module")
def bundle(compiled, tmp_path_factory):
    return compiled.save(tmp_path_factory.mktemp("bundle") / "model.lrp")


@pytest.fixture(scope="module")
def single(compiled, tmp_path_factory):
    return compiled.save(tmp_path_factory.mktemp("single") / "model.explain.onnx", single_file=True)


@pytest.fixture(scope="module")
def seeded(compiled, tmp_path_factory):
    return compiled.variant(seed_input=True).save(
        tmp_path_factory.mktemp("seeded") / "model.explain.onnx", single_file=True
    )


@pytest.mark.parametrize(
    ("max_batch", "count", "parts"),
    [
        (None, 5, [(0, 5)]),
        (None, 0, [(0, 1)]),
        (5, 5, [(0, 5)]),
        (2, 5, [(0, 2), (2, 4), (4, 6)]),
        (1, 2, [(0, 1), (1, 2)]),
        (7, 0, [(0, 7)]),
    ],
    ids=str,
)
def test_a_batch_is_cut_into_parts_of_at_most_so_many(bundle, max_batch, count, parts):
    found = lrpc.Explainer(bundle, max_batch=max_batch)._parts(count)
    assert [(part.start, part.stop) for part in found] == parts


def test_parts_are_joined_in_order(bundle):
    explainer = lrpc.Explainer(bundle)
    x = picture(3)
    parts = [explainer(x[i : i + 1], 1) for i in range(3)]
    whole = join(parts)
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(whole.relevance[i], part.relevance[0])
        np.testing.assert_array_equal(whole.output[i], part.output[0])
        assert [getattr(whole.health, n)[i] for n in ("sum", "abs_sum", "range")] == [
            getattr(part.health, n)[0] for n in ("sum", "abs_sum", "range")
        ]
    assert join(parts[:1]) is parts[0]


@pytest.mark.parametrize("max_batch", [None, 2])
def test_the_models_own_output_is_that_of_an_explanation(bundle, single, seeded, max_batch):
    x = picture(3)
    expected = lrpc.Explainer(bundle)(x, 1).output
    for path in (bundle, single):
        np.testing.assert_allclose(lrpc.Explainer(path, max_batch=max_batch).forward(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        lrpc.Explainer(seeded)(x, np.eye(5, dtype=np.float32)[:3]).output, expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("target", [None, 2, [1, 3], SEED], ids=["top", "one", "each", "seed"])
def test_what_the_graph_is_fed_for_a_target(bundle, seeded, target):
    x = picture()
    by_class, by_seed = lrpc.Explainer(bundle), lrpc.Explainer(seeded)
    if not isinstance(target, np.ndarray):
        expected = [-1, -1] if target is None else np.broadcast_to(target, 2).tolist()
        assert by_class.seed_feeds(x, target, {})["target"].tolist() == expected
    if target is not None:  # a single file that takes seeds tells no top class before it runs
        found = by_seed.seed_feeds(x, target if isinstance(target, np.ndarray) else SEED, {})
        np.testing.assert_array_equal(found["seed"], target if isinstance(target, np.ndarray) else SEED)


# how an explainer is made, how it is called, what it says
REFUSED = {
    "a seed for a single file": (
        "single", {}, {"target": SEED}, "is a single file; a float seed and the separate graphs need a bundle folder",
    ),
    "separate graphs of a single file": ("single", {"fused": False}, {}, "is a single file"),
    "a seed under a CUDA graph": (
        "bundle", {"providers": [CUDA], "cuda_graph": True}, {"target": SEED}, "takes classes; a float seed runs the separate graphs",
    ),
    "no batch": ("bundle", {"max_batch": 0}, {}, "max_batch=0 must be at least 1"),
    "less than no batch": ("bundle", {"max_batch": -1}, {}, "max_batch=-1 must be at least 1"),
    "no threads": ("bundle", {"threads": 0}, {}, "threads=0 must be at least 1"),
    "a tunable that there is not": ("bundle", {}, {"tunables": {"gamma": 1.0}}, "it was compiled without --tunable"),
    "an input that there is not": ("bundle", {}, {"others": {"z": picture()}}, "relevance goes to its only input"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "options", "call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(source, options, call, message, request):
    with pytest.raises(lrpc.LrpcError, match=message):
        lrpc.Explainer(request.getfixturevalue(source), **options)(picture(), **call)


@pytest.mark.parametrize("options", [{"max_batch": 1}, {"threads": 1}, {"fused": False}, {}], ids=str)
def test_the_least_that_may_be_asked_for_is_taken(bundle, options):
    result = lrpc.Explainer(bundle, **options)(picture(), 1)
    np.testing.assert_allclose(result.relevance, lrpc.Explainer(bundle)(picture(), 1).relevance, rtol=1e-4, atol=1e-7)


TUNED = {
    "what it has": ({"epsilon.epsilon": 0.5}, ""),
    "0": ({"epsilon.epsilon": 0.0}, ""),
    "below 0": ({"epsilon.epsilon": -1e-9}, "epsilon.epsilon must be a number of at least 0"),
    "infinite": ({"epsilon.epsilon": np.inf}, "must be a number of at least 0"),
    "no number": ({"epsilon.epsilon": np.nan}, "must be a number of at least 0"),
    "another": ({"epsilon.gamma": 1.0}, "has no tunable epsilon.gamma: it has"),
}


@pytest.mark.parametrize(("values", "message"), TUNED.values(), ids=TUNED)
def test_tunables_are_checked(values, message):
    explainer = lrpc.Explainer.__new__(lrpc.Explainer)
    explainer.name = "model.lrp"
    explainer.manifest = SimpleNamespace(tunables=(Tunable("epsilon.epsilon", "epsilon", 1e-6, 1),))
    assert explainer.tunables == {"epsilon.epsilon": 1e-6}
    if message:
        with pytest.raises(lrpc.LrpcError, match=message):
            explainer._checked_tunables(values)
        return
    (found,) = explainer._checked_tunables(values).values()
    assert (found.dtype, float(found)) == (np.float32, next(iter(values.values())))


def test_values_that_are_tuned_are_not_for_a_recorded_graph():
    manifest = SimpleNamespace(output=Tensor("y", (5,)), input=Input("x", (3, 8, 8)), picture=None)
    engine = Engine(SimpleNamespace(manifest=manifest), [CUDA], RunOptions(cuda_graph=True), fused=True)
    with pytest.raises(lrpc.LrpcError, match="replays the graph with the tunables' defaults"):
        engine.run_fused(picture(), {}, {}, {"epsilon": np.float32(1)})


SHAPES = {
    "a batch": ((2, 3, 8, 8), True),
    "one sample": ((1, 3, 8, 8), True),
    "none": ((0, 3, 8, 8), True),
    "no batch axis": ((3, 8, 8), False),
    "an axis too many": ((1, 2, 3, 8, 8), False),
    "another height": ((2, 3, 9, 8), False),
    "another width": ((2, 3, 8, 9), False),
    "other channels": ((2, 1, 8, 8), False),
}


@pytest.mark.parametrize(("shape", "fits"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_an_input_has_the_models_shape(bundle, shape, fits, dtype):
    x = np.ones(shape, dtype)
    explainer = lrpc.Explainer(bundle)
    if fits:
        found = explainer.checked_input(x)
        assert (found.shape, found.dtype, found.flags.c_contiguous) == (shape, np.float32, True)
        return
    with pytest.raises(lrpc.LrpcError, match=r"the model takes \('n', 3, 8, 8\)"):
        explainer.checked_input(x)


@pytest.mark.parametrize(("size", "fits"), [((8, 8, 3), True), ((5, 9, 3), True), ((8, 8, 1), False), ((8, 3), False)])
def test_pictures_of_any_size_are_taken_where_the_file_does(size, fits):
    explainer = lrpc.Explainer.__new__(lrpc.Explainer)
    explainer.name, explainer.manifest = "model.onnx", SimpleNamespace(picture=Picture("image", (None, None, 3)))
    pixels = np.ones((2, *size), np.uint8)
    if fits:
        assert explainer.checked_input(pixels).dtype == np.uint8
        with pytest.raises(lrpc.LrpcError, match="takes pictures uint8"):
            explainer.checked_input(pixels.astype(np.float32))
        return
    with pytest.raises(lrpc.LrpcError, match="the model takes"):
        explainer.checked_input(pixels)
