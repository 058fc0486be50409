"""A bench times every contestant in one run, weighs each by itself, and says what it left out."""

import json

import numpy as np
import onnx
import pytest
import torch

import lrpc
from lrpc.composites.composite import Composite, Entry
from lrpc.inspect.bench import bench as module
from lrpc.inspect.bench.bench import Case, Setting, bench
from lrpc.inspect.bench.contestants import Explanation, Libraries, Machine, Torch, footprint
from lrpc.inspect.bench.plot import plot_bench
from lrpc.inspect.bench.process import in_own_process
from lrpc.inspect.bench.result import Bench
from lrpc.inspect.bench.text import columns, footer, profile_rows, rows
from lrpc.reference.timed import gradient_pass, zennit_pass
from lrpc.rules.kinds import LINEAR
from models.shapes.localisation import MODEL
from passes.errors import LrpcError
from tests.graphs import small_resnet
from tests.nets import NETS, built, inputs

SHAPES = Torch("models.shapes.network:shapes_resnet", str(MODEL.with_suffix(".pt")))
HERE = Machine("cpu", 1)


@pytest.fixture(scope="module")
def everything():
    """The trained network with all contestants and all that can be measured."""
    setting = Setting(HERE, SHAPES, (2,), rounds=1, levels=(0,), memory=True, profile=True)
    return bench(MODEL, [Case()], setting)


def test_every_contestant_is_timed_with_every_composite_at_every_batch_size():
    cases = [Case(), Case(lrpc.composites.epsilon_plus())]
    found = bench(MODEL, cases, Setting(HERE, SHAPES, (1, 2), rounds=1, levels=(0,)))
    assert [result.composite for result in found.results] == ["epsilon_gamma_box", "epsilon_plus"]
    for result in found.results:
        assert [timing.batch for timing in result.timings] == [1, 2]
        for timing in result.timings:
            assert list(timing.seconds) == ["forward", "gradient", "zennit", "lrpc -O0"]
            assert min(timing.seconds.values()) > 0


def test_ratios_are_those_of_the_times(everything):
    timing = everything.results[0].timings[0]
    found = {row.contestant: row for row in timing.rows()}
    ours = found["lrpc -O0"]
    assert ours.milliseconds == pytest.approx(1e3 * timing.seconds["lrpc -O0"] / 2)
    assert ours.forwards == pytest.approx(ours.milliseconds / found["forward"].milliseconds)
    assert ours.gradients == pytest.approx(ours.milliseconds / found["gradient"].milliseconds)
    assert ours.zennit == pytest.approx(found["zennit"].milliseconds / ours.milliseconds)


def test_memory_is_that_of_a_process_of_its_own(everything):
    peak = everything.results[0].timings[0].peak
    assert set(peak) == {"forward", "gradient", "zennit", "lrpc -O0"}
    assert everything.libraries["ONNX Runtime"] < peak["forward"] < peak["lrpc -O0"] < peak["gradient"] < 4e9


def test_the_profile_knows_the_convolutions(everything):
    times = {entry.op: entry for entry in everything.results[0].profiles["lrpc -O0"]}
    assert times["ConvTranspose"].multiplies
    assert not times["Mul"].multiplies
    assert times["Conv"].count > 29
    assert any(row[2] == "convolutions and products" for row in profile_rows(everything))


def test_the_table_shows_what_was_measured(everything):
    heads, lines = columns(everything), rows(everything)
    assert len(lines) == 4
    ours = dict(zip(heads, lines[3], strict=True))
    assert ours["contestant"] == "lrpc -O0"
    assert ours["work"] == f"{everything.results[0].compiled[0].work:.2f}"
    assert ours["peak memory"].endswith(" MB")
    assert "onnxruntime" in footer(everything)[0]


def test_json_holds_everything_and_reads_back(everything):
    content = json.loads(everything.to_json())
    assert content["results"][0]["timings"][0]["rows"][3]["contestant"] == "lrpc -O0"
    assert content["results"][0]["compiled"][0]["size_ratio"] > 1
    assert Bench.from_dict(content).to_json() == everything.to_json()


def test_the_plot_is_written_or_its_name_refused(everything, tmp_path):
    plot_bench(everything, tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 5000
    with pytest.raises(LrpcError, match="cannot be written"):
        plot_bench(everything, tmp_path / "b.nonsense")


def quick(case, torch=None, **options):
    return Setting(HERE, torch, (1,), rounds=1, levels=(0,), **options), [case]


@pytest.fixture
def small(tmp_path):
    onnx.save(small_resnet(), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def test_without_torch_there_are_forward_and_lrpc_and_a_note(small):
    setting, cases = quick(Case())
    found = bench(small, cases, setting)
    assert list(found.results[0].timings[0].seconds) == ["forward", "lrpc -O0"]
    assert "--torch" in footer(found)[-1]
    assert not {"gradients", "speed-up on zennit", "peak memory"} & set(columns(found))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case(rules=[("fc", lrpc.rules.epsilon(0.1))]), "its own composites only"),
        (Case(lrpc.composites.bounded()), "no composite 'bounded'"),
    ],
    ids=["rules", "unknown to zennit"],
)
def test_what_zennit_cannot_do_is_left_out_with_a_note(case, message):
    setting, cases = quick(case, SHAPES)
    (result,) = bench(MODEL, cases, setting).results
    assert list(result.timings[0].seconds) == ["forward", "gradient", "lrpc -O0"]
    assert message in result.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": (0,)}, "batch size is at least 1, not 0"),
        ({"batches": ()}, "not nothing"),
        ({"rounds": 0}, "number of rounds"),
        ({"machine": Machine("cpu", 0)}, "number of threads"),
        ({"levels": (2,)}, "levels are 0 and 1, not 2"),
        ({"machine": Machine("cuda", 1)}, "CUDAExecutionProvider is not available"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(options, message, monkeypatch):
    monkeypatch.setattr("lrpc.runtime.session._started", lambda wanted: [])
    with pytest.raises(LrpcError, match=message):
        Setting(**{"machine": HERE, **options})


def test_another_torch_model_than_the_file_s_is_refused(small):
    setting, cases = quick(Case(), Torch("torchvision:alexnet"))
    with pytest.raises(LrpcError, match="cannot run on a batch of shape"):
        bench(small, cases, setting)


def test_each_level_is_compiled_as_such(small, monkeypatch):
    levels = []
    compile_ = lrpc.compile
    monkeypatch.setattr(module.lrpc, "compile", lambda *a, optimize, **k: levels.append(optimize) or compile_(*a, **k))
    found = bench(small, [Case()], Setting(HERE, None, (1,), rounds=1))
    assert levels == [0, 1]
    assert list(found.results[0].timings[0].seconds) == ["forward", "lrpc -O0", "lrpc -O1"]


def test_what_is_timed_is_what_lrpc_computes(monkeypatch, tmp_path):
    net = NETS["residual"]
    module, x = built(net), inputs(net, 2)
    monkeypatch.setattr("lrpc.reference.timed._loaded", lambda source, weights: module)
    base = lrpc.composites.epsilon_plus()
    for composite in (base, Composite("epsilon", (Entry(lrpc.rules.epsilon(), LINEAR), *base.entries))):
        theirs = zennit_pass("a net", "none", composite.name, {}, x.shape[1:], "cpu", 1)(x)
        compiled = lrpc.compile(module, example_input=torch.from_numpy(x), composite=composite, optimize=0)
        ours = Explanation(compiled.save(tmp_path / composite.name), "input", 0).start(HERE)(x)[1]
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    assert gradient_pass("a net", "none", "cpu", 1)(x).shape == x.shape


def die():
    raise SystemExit(3)


def test_a_process_that_dies_is_an_error_and_what_it_raises_is_raised():
    with pytest.raises(LrpcError, match="ended with code 3"):
        in_own_process(die)
    with pytest.raises(LrpcError, match="does not exist"):
        in_own_process(lrpc.Explainer, "no.lrp")


def test_memory_is_not_that_of_the_process_that_started_it():
    ballast = np.ones(100_000_000, np.float32)
    assert in_own_process(footprint, Libraries(False), HERE, ballast[:1]) < ballast.nbytes
