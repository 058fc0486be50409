"""Models whose weights are more than one ONNX file can hold; the most is set to a few KB here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import lrpc
from lrpc.bundle.input_spec import InputSpec
from lrpc.cli import main
from lrpc.export import Loaded, export, weight_files
from passes.errors import LrpcError
from passes.loading.load import load
from tests.graphs import saved, small_resnet

X = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32)


def written(folder: Path, opset: int = 18) -> tuple[Path, int]:
    """Write a model with its weights in a file beside it; return its path, and a limit that only the weights exceed."""
    path = folder / "large.onnx"
    proto = small_resnet(opset=opset)
    onnx.save_model(proto, path, save_as_external_data=True, location="large.bin", size_threshold=0)
    limit = path.stat().st_size
    assert (folder / "large.bin").stat().st_size > limit
    return path, limit


def limit_to(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for name in ("passes.loading.load._LARGEST", "passes.graph.write.LARGEST", "lrpc.bundle.store._LARGEST"):
        monkeypatch.setattr(name, size)


@pytest.mark.parametrize("optimize", [0, 1])
def test_its_bundle_is_that_of_a_model_that_fits(tmp_path, monkeypatch, optimize):
    path, limit = written(tmp_path)
    fits = lrpc.Explainer(lrpc.compile(path, optimize=optimize))(X, 1)
    limit_to(monkeypatch, limit)
    lrpc.compile(path, optimize=optimize).save(tmp_path / "large.lrp")
    large = lrpc.Explainer(tmp_path / "large.lrp")(X, 1)
    np.testing.assert_array_equal(large.output, fits.output)
    np.testing.assert_array_equal(large.relevance, fits.relevance)


def test_its_separate_graphs_read_the_same_weights(tmp_path, monkeypatch):
    path, limit = written(tmp_path)
    limit_to(monkeypatch, limit)
    lrpc.compile(path).save(tmp_path / "large.lrp")
    explainer = lrpc.Explainer(tmp_path / "large.lrp")
    seed = np.eye(5, dtype=np.float32)[[1, 1]]
    np.testing.assert_allclose(explainer(X, seed).relevance, explainer(X, 1).relevance, rtol=1e-4, atol=1e-7)


COMMANDS = {
    "plan": "plan large.onnx",
    "compile, tunable": "compile large.onnx --tunable -o other.lrp",
    "explain": "explain large.lrp picture.png",
    "trace": "trace large.lrp picture.png",
    "trace, its graph": "trace large.lrp picture.png --graph large.lrp/trace.onnx",
    "doctor": "doctor large.onnx picture.png",
    "validate": "validate large.onnx --reference oracle",
    "bench": "bench large.onnx --rounds 1",
    "bench, an inner tensor": "bench large.onnx --rounds 1 --output f",
    "package": "package large.lrp --triton models",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_work_on_it(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    path, limit = written(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save("picture.png")
    limit_to(monkeypatch, limit)
    lrpc.compile(path).save("large.lrp")
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("option", "name"), [("single_file", "--single-file"), ("half_forward", "--half-forward")])
def test_what_needs_it_in_one_file_is_refused(tmp_path, monkeypatch, option, name):
    path, limit = written(tmp_path)
    limit_to(monkeypatch, limit)
    with pytest.raises(LrpcError, match=f"more than 2 GB of weights.*no {name}"):
        saved(lrpc.compile(path), tmp_path / "large.lrp", **{option: True})
    assert not (tmp_path / "large.lrp").exists()


def test_an_old_one_is_refused(tmp_path, monkeypatch):
    path, limit = written(tmp_path, opset=17)
    limit_to(monkeypatch, limit)
    with pytest.raises(LrpcError, match="larger than 2 GB and of opset 17; one that large cannot be upgraded"):
        lrpc.compile(path)


WIDE = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 36, 300)).eval()


def test_a_torch_module_is_written_with_its_weights_beside_it(tmp_path, monkeypatch):
    loaded = Loaded(WIDE, "tests:WIDE", "none", InputSpec((3, 8, 8)))
    small = export(loaded, tmp_path / "small.onnx")
    monkeypatch.setattr("lrpc.export.conversion.LARGEST", 0)
    large = export(loaded, tmp_path / "large.onnx")
    assert weight_files(small) == []
    assert weight_files(large) == [tmp_path / "large.onnx.data"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["large.onnx", "large.onnx.data", "small.onnx"]
    fits = load(small)
    limit_to(monkeypatch, large.stat().st_size)
    graph = load(large)
    assert (graph.metadata, graph.modules) == (fits.metadata, fits.modules)


def test_what_was_written_so_is_explained(tmp_path, monkeypatch):
    loaded = Loaded(WIDE, "tests:WIDE", "none", InputSpec((3, 8, 8)))
    fits = lrpc.Explainer(lrpc.compile(export(loaded, tmp_path / "m.onnx")))(X, 1)
    monkeypatch.setattr("lrpc.export.conversion.LARGEST", 0)
    limit_to(monkeypatch, export(loaded, tmp_path / "m.onnx").stat().st_size)
    lrpc.compile(tmp_path / "m.onnx").save(tmp_path / "m.lrp")
    np.testing.assert_array_equal(lrpc.Explainer(tmp_path / "m.lrp")(X, 1).relevance, fits.relevance)


def test_a_torch_module_that_large_is_compiled_from_a_file(monkeypatch):
    monkeypatch.setattr("lrpc.export.conversion.LARGEST", 0)
    with pytest.raises(LrpcError, match=r"(?s)Sequential has more than 2 GB of weights.*Write it to a file first"):
        lrpc.compile(WIDE, example_input=torch.zeros(1, 3, 8, 8))
