"""`lrpc bench` as a user meets it."""

import json

import onnx
import pytest
from click.testing import CliRunner

from lrpc.cli import main
from models.shapes.localisation import MODEL
from tests.graphs import small_resnet

QUICK = ("--levels", "0", "--rounds", "1", "--threads", "1")
SHAPES = ("--torch", "models.shapes.network:shapes_resnet", "--weights", MODEL.with_suffix(".pt"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `lrpc bench` in an empty folder that holds model.onnx."""
    monkeypatch.chdir(tmp_path)
    onnx.save(small_resnet(), "model.onnx")

    def run(*arguments: object, code: int = 0):
        result = CliRunner().invoke(main, ["bench", *map(str, arguments)])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.output

    return run


def test_it_compares_with_the_forward_pass(run):
    output = run("model.onnx", *QUICK, "--batch", "1,2", "--batch", "3")
    assert output.count("lrpc -O0") == 3
    assert "epsilon-gamma-box" in output
    assert "no PyTorch model was given (--torch)" in output
    assert "onnxruntime" in output


def test_it_compares_with_gradient_and_zennit_and_draws(run, tmp_path):
    options = (*QUICK, *SHAPES, "--batch", "1", "--compare", "epsilon-plus", "--plot", "b.png")
    output = run(MODEL, *options)
    assert output.count("zennit") > 2
    assert "speed-up on zennit" in output
    assert output.count("epsilon-plus") == 4
    assert (tmp_path / "b.png").exists()


def test_it_prints_json(run):
    content = json.loads(
        run("model.onnx", *QUICK, "--json", "--composite", "epsilon-plus", "--rule", "fc=epsilon(0.1)")
    )
    assert content["machine"]["threads"] == 1
    assert content["results"][0]["composite"] == "epsilon_plus"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--weights", "none"), "give --torch"),
        (("--batch", "many"), "'many' is not a whole number"),
        (("--batch", "0"), "at least 1"),
        (("--threads", "0"), "at least 1"),
        (("--rounds", "0"), "at least 1"),
        (("--levels", "3"), "levels are 0 and 1"),
        (("--compare", "epsilon-minus"), "no composite 'epsilon-minus'"),
        (("--torch", "torchvision:resnet51"), "no model 'resnet51'"),
        (("--provider", "cuda"), "CUDAExecutionProvider is not available"),
    ],
    ids=str,
)
def test_wrong_usage_names_the_way_out(run, options, message, monkeypatch):
    monkeypatch.setattr("lrpc.runtime.session._started", lambda wanted: [])
    assert message in run("model.onnx", *QUICK, *options, code=2)


def test_the_range_is_shared_with_the_composites_that_take_one(run):
    onnx.save(small_resnet(metadata=None), "bare.onnx")
    options = ("--low", "-1", "--high", "1", "--compare", "epsilon-plus", "--batch", "1")
    output = run("bare.onnx", *QUICK, *options)
    assert "epsilon-gamma-box" in output
    assert "epsilon-plus" in output
