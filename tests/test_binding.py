"""Sessions on buffers that stay: results are the caller's own, and shapes are followed or refused."""

import threading

import numpy as np
import pytest

import lrpc
from lrpc.runtime.buffers import Binding
from lrpc.runtime.session import CPU, open_session
from tests.graphs import picture, small_resnet


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    bundle = lrpc.compile(small_resnet()).save(tmp_path_factory.mktemp("bundle") / "model.lrp")
    return open_session(bundle / "explain.onnx", [CPU])


def feeds(count, seed=0):
    return {"x": picture(count, seed), "target": np.full(count, 1)}


def shapes(count):
    return {"y": (count, 5), "relevance": (count, 3, 8, 8), "health": (count, 4)}


def test_a_bound_run_is_a_run(session):
    bound = Binding(session)
    for count in (2, 2, 3, 1):
        expected = session.run(["y", "relevance", "health"], feeds(count))
        for actual, array in zip(bound(feeds(count), shapes(count)), expected, strict=True):
            np.testing.assert_array_equal(actual, array)


@pytest.mark.parametrize("fixed", [False, True])
def test_what_a_call_returned_stays_as_it_is(session, fixed):
    bound = Binding(session, fixed=fixed)
    first = bound(feeds(2), shapes(2))
    kept = [array.copy() for array in first]
    second = bound(feeds(2, seed=1), shapes(2))
    for array, before, after in zip(first, kept, second, strict=True):
        np.testing.assert_array_equal(array, before)
        assert not np.array_equal(array, after)


def test_buffers_are_made_once_for_a_shape(session, monkeypatch):
    made = []
    make = lrpc.runtime.buffers._on
    monkeypatch.setattr("lrpc.runtime.buffers._on", lambda *a: made.append(a) or make(*a))
    bound = Binding(session)
    for seed in range(3):
        bound(feeds(2, seed), shapes(2))
    assert len(made) == 5
    bound(feeds(3), shapes(3))
    assert len(made) == 10


def test_a_fixed_binding_refuses_another_batch(session):
    bound = Binding(session, fixed=True)
    bound(feeds(2), shapes(2))
    with pytest.raises(lrpc.LrpcError, match="the first call's batch of 2; this one has 3"):
        bound(feeds(3), shapes(3))
    bound(feeds(2), shapes(2))


@pytest.mark.parametrize("fixed", [False, True])
def test_threads_do_not_meet_in_a_buffer(session, fixed):
    bound = Binding(session, fixed=fixed)
    wrong = []

    def work(seed):
        expected = session.run(["relevance"], feeds(2, seed))[0]
        results = (bound(feeds(2, seed), shapes(2))[1] for _ in range(20))
        wrong.extend(seed for relevance in results if not np.array_equal(relevance, expected))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
