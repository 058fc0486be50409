"""Health warns of what cannot be trusted, whatever the sum says."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import lrpc
from lrpc import composites, rules
from lrpc.bundle.manifest import Box, Input, Picture, Thresholds
from lrpc.runtime.explanation import summarize
from lrpc.runtime.health import Health, HealthWarning, health
from tests.graphs import picture, small_resnet


def of(**values):
    numbers = {"sum": 1.0, "abs_sum": 1.0, "range": 0.1, "nonfinite": 0.0} | values
    return Health(*(np.array([value], np.float32) for value in numbers.values()))


CASES = {
    "healthy": ({}, ""),
    "at the upper end": ({"abs_sum": 10.0}, ""),
    "at the lower end": ({"abs_sum": 0.0101}, ""),
    "explodes": ({"abs_sum": 11.0}, "explodes"),
    "cancels: the sum alone is 1": ({"sum": 1.03, "abs_sum": 1.1e5}, "explodes"),
    "vanishes": ({"abs_sum": 0.005, "sum": 0.005}, "vanishes"),
    "a zero seed": ({"abs_sum": 0.0, "sum": 0.0, "range": 0.0}, ""),
    "one NaN": ({"nonfinite": 1.0, "sum": np.nan, "abs_sum": np.nan}, "1 relevance values are NaN or infinite"),
    "infinite": ({"abs_sum": np.inf}, "explodes"),
}


@pytest.mark.parametrize(("values", "word"), CASES.values(), ids=CASES)
def test_an_alarm_is_one_sentence_with_a_remedy(values, word):
    (alarm,) = of(**values).alarms(*Thresholds().abs_sum)
    assert word in alarm
    assert bool(word) == bool(alarm)
    if alarm:
        assert "lrpc doctor" in alarm
        assert alarm.count(". ") == 0


def test_python_warns_and_tells_which():
    composite = composites.epsilon_plus()
    explainer = lrpc.Explainer(lrpc.compile(small_resnet(), composite=composite, rules=[("fc", rules.Gradient())]))
    x = picture(3)
    seed = np.eye(5, dtype=np.float32)[[0, 1, 2]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explainer(x, seed).alarms == ["", "", ""]
    x[1] = np.nan
    with pytest.warns(HealthWarning, match="1 of 3 explanations are not to be trusted; sample 1: 192 relevance values"):
        result = explainer(x, 1)
    assert [bool(alarm) for alarm in result.alarms] == [False, True, False]


def test_the_cancelling_case_is_caught():
    """Two values of opposite sign, 1e5 each but for 1.03: the sum looks healthy."""
    relevance = np.array([[5e4 + 1.03, -5e4]])
    found = health(relevance, np.ones((1, 1)))
    assert found.sum[0] == pytest.approx(1.03)
    assert "explodes" in found.alarms(*Thresholds().abs_sum)[0]


@pytest.mark.parametrize(
    ("low", "high", "warned"),
    [(-2.0, 2.0, False), (-1.0, 2.0, True), ([-2.0, -2.0, -0.5], 2.0, True), ([-2.0] * 3, [2.0] * 3, False)],
)
def test_inputs_outside_the_box_are_warned_of(low, high, warned):
    explainer = lrpc.Explainer(lrpc.compile(small_resnet(), composite=composites.epsilon_gamma_box(low, high)))
    x = picture()
    found = explainer.outside_box(x)
    assert bool(found) is warned
    if warned:
        assert "outside the low and high of z_box" in found[0]
        with pytest.warns(HealthWarning, match="outside the low and high"):
            explainer(x, 1)


class Explained(lrpc.Explainer):
    """An explainer of a manifest alone."""

    def __init__(self, **manifest):
        self.manifest = SimpleNamespace(**{"picture": None, **manifest})


# low, high, values by channel: how many are outside; pictures are normalised in float32, which is let pass
OUTSIDE = {
    "all within": (-1.0, 2.0, [[-1.0, 0.0, 2.0]], 0),
    "one below": (-1.0, 2.0, [[-1.5, 0.0, 2.0]], 1),
    "one above": (-1.0, 2.0, [[-1.0, 0.0, 2.5]], 1),
    "both sides": (-1.0, 2.0, [[-1.5, 3.0, 2.5]], 3),
    "within what rounding does": (-1.0, 2.0, [[-1.0002, 2.0002]], 0),
    "beyond what rounding does": (-1.0, 2.0, [[-1.0004, 2.0004]], 2),
    "by channel": ([-1.0, -5.0], [2.0, 3.0], [[-4.0, 2.5], [-4.0, 2.5]], 2),
}


@pytest.mark.parametrize(("low", "high", "values", "count"), OUTSIDE.values(), ids=OUTSIDE)
def test_values_outside_the_box_are_counted(low, high, values, count):
    x = np.array([values], np.float32)
    found = Explained(box=Box(low, high)).outside_box(x)
    assert [text.split(" input")[0] for text in found] == ([f"{count} of {x.size}"] if count else [])


def test_pictures_are_held_against_the_box_as_the_model_sees_them():
    box, picture = Box(-1.0, 1.0), Picture("image", (None, None, 3))
    entry = Input("x", (3, None, None), mean=(0.5, 0.5, 0.25), std=(0.5, 0.5, 0.25))
    pixels = np.array([[[[0, 255, 0]], [[255, 128, 255]]]], np.uint8)  # the last channel reaches 3
    found = Explained(box=box, picture=picture, input=entry).outside_box(pixels)
    assert found[0].startswith("1 of 6 ")


def test_health_of_each_sample_is_in_units_of_its_seed():
    relevance = np.array([[[1.0, -3.0]], [[2.0, 2.0]], [[0.0, 0.0]], [[np.nan, np.inf]]])
    seed = np.array([[1.0, -1.0], [0.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    found = health(relevance, seed)
    np.testing.assert_allclose(found.sum[:3], [-1.0, 1.0, 0.0])
    np.testing.assert_allclose(found.abs_sum[:3], [2.0, 1.0, 0.0])
    np.testing.assert_allclose(found.range[:3], [2.0, 0.0, 0.0])
    np.testing.assert_array_equal(found.nonfinite, [0, 0, 0, 2])
    assert [bool(alarm) for alarm in found.alarms(*Thresholds().abs_sum)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("size", "alarmed"), [(0.0, False), (0.4, True), (0.5, False), (1.0, False), (3.0, False), (3.1, True)]
)
def test_alarms_begin_beyond_the_thresholds(size, alarmed):
    (alarm,) = of(abs_sum=size).alarms(0.5, 3.0)
    assert bool(alarm) is alarmed
    assert ("vanishes" in alarm) == (alarmed and size < 1)
    assert ("explodes" in alarm) == (alarmed and size > 1)


def test_the_first_bad_sample_is_told_and_how_many_there_are():
    assert summarize(["", ""]) == []
    found = summarize(["", "one", "", "two"])
    assert found == ["2 of 4 explanations are not to be trusted; sample 1: one"]


def test_a_plan_without_a_box_takes_any_input():
    explainer = lrpc.Explainer(lrpc.compile(small_resnet(), composite=composites.epsilon_plus()))
    assert explainer.outside_box(100 * picture()) == []
