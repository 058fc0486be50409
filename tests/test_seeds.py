"""What to explain: every kind of target that there is, and every one that is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lrpc.runtime.seeds import checked, is_seed, one_hot
from passes.errors import LrpcError

SEED = np.arange(6, dtype=np.float64).reshape(2, 3)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, [-1, -1]),
        (0, [0, 0]),
        (2, [2, 2]),
        (np.int8(1), [1, 1]),
        ([0, 2], [0, 2]),
        ((2, 1), [2, 1]),
        (np.array([1, 0], np.uint8), [1, 0]),
        (np.array(1), [1, 1]),
    ],
    ids=str,
)
def test_classes_become_one_number_a_sample(target, expected):
    found = checked(target, 2, [3])
    assert found.tolist() == expected
    assert found.dtype == np.int64
    found[0] = 9  # the caller's own: not a view
    assert found.tolist() == [9, expected[1]]
    assert not is_seed(target)


def test_a_float_array_is_a_seed():
    assert is_seed(SEED)
    assert is_seed(SEED.astype(np.float16))
    assert not is_seed(SEED.tolist())
    assert not is_seed(SEED.astype(np.int32))
    found = checked(SEED, 2, [3])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, SEED)


REFUSED = {
    "a class too large": (3, "Class 3 is out of range: the model has classes 0 to 2"),
    "one of them too large": ([0, 4], "Class 4 is out of range"),
    "a class below 0": (-1, "Class -1 is out of range"),
    "the first of two": ([-2, 7], "Class -2 is out of range"),
    "too many": ([0, 1, 2], "one class or 2 of them"),
    "too few": ([0], "one class or 2 of them"),
    "a fraction": (0.5, "one class or 2 of them"),
    "a table": ([[0, 1]], "one class or 2 of them"),
    "a seed of another batch": (np.zeros((3, 3)), r"has shape \(3, 3\); the model's output has \(2, 3\)"),
    "a seed of other classes": (np.zeros((2, 4)), r"the model's output has \(2, 3\)"),
    "a seed of one sample": (np.zeros(3), r"the model's output has \(2, 3\)"),
}


@pytest.mark.parametrize(("target", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_target_is_refused(target, message):
    with pytest.raises(LrpcError, match=message):
        checked(target, 2, [3])


def test_one_hot_takes_the_top_class_where_none_is_chosen():
    output = np.array([[0.0, 5.0, 1.0], [7.0, 5.0, 1.0], [0.0, 0.0, 0.0]])
    found = one_hot(np.array([-1, 0, -1]), output)
    np.testing.assert_array_equal(found, [[0, 1, 0], [1, 0, 0], [1, 0, 0]])
    assert found.dtype == np.float32
