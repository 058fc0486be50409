"""`lrpc package --web`: what it copies and what it refuses. tests/deploy/test_web.py opens it in a browser."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import lrpc
from lrpc.cli import main
from lrpc.package.web import RUNTIME_VERSION, package_web
from tests.graphs import saved, small_resnet

WASM = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
WHOLE = {"single_file": True, "preprocess": "size", "heatmap": True}


def runtime(folder, version=RUNTIME_VERSION):
    """What of the npm package counts, of no bytes that run."""
    (folder / "dist").mkdir(parents=True)
    for name in WASM:
        (folder / "dist" / name).write_text(name)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    return folder / "dist"


@pytest.fixture
def npm(tmp_path):
    return runtime(tmp_path / "npm/onnxruntime-web")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "model.explain.onnx"
    return saved(lrpc.compile(small_resnet(), target="portable"), path, **WHOLE)


def test_a_page_holds_the_model_the_runtime_and_its_licence(file, npm, tmp_path):
    page = package_web(file, tmp_path / "page", runtime=npm)
    assert (page / "model.onnx").read_bytes() == file.read_bytes()
    assert sorted(part.name for part in (page / "ort").iterdir()) == sorted([*WASM, "LICENSE", "ThirdPartyNotices.txt"])
    assert "MIT" in (page / "ort/LICENSE").read_text()
    entry = json.loads((page / "model.json").read_text())
    assert entry == {
        "title": "model",
        "lrpc": lrpc.__version__,
        "file": "model.onnx",
        "output": "y",
        "count": 5,
        "classes": ["ant", "bee", "cat", "dog", "elk"],
        "height": 8,
        "width": 8,
        "thresholds": {"abs_sum": [0.01, 10.0], "nonfinite": 0},
        "bytes": file.stat().st_size,
        "runtime_bytes": len("ort-wasm-simd-threaded.wasm"),
    }


def test_a_page_asks_for_nothing_outside(file, npm, tmp_path):
    page = package_web(file, tmp_path / "page", runtime=npm)
    for source in page.glob("*.[hjc]*"):
        assert "https://" not in source.read_text(), source.name
    for name in ("index.html", "page.js", "worker.js", "picture.js", "verdict.js", "served.js", "style.css"):
        assert (page / name).is_file()


def test_a_page_is_replaced_only_with_force_and_nothing_else_is(file, npm, tmp_path):
    page = package_web(file, tmp_path / "page", runtime=npm)
    with pytest.raises(lrpc.LrpcError, match="exists already"):
        package_web(file, page, runtime=npm)
    package_web(file, page, runtime=npm, title="Another", force=True)
    assert json.loads((page / "model.json").read_text())["title"] == "Another"
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/thesis.txt").write_text("years of work")
    with pytest.raises(lrpc.LrpcError, match="is no page"):
        package_web(file, tmp_path / "thesis", runtime=npm, force=True)


COMMAND = "lrpc compile MODEL.onnx --single-file --preprocess --heatmap --target portable"
WRONG = {
    "no heatmap": ("portable", {"single_file": True, "preprocess": "size"}, "without --heatmap"),
    "no pictures": ("portable", {"single_file": True}, "without --preprocess, --heatmap"),
    "for the CPU": ("auto", WHOLE, "without --target portable"),
    "seed": ("portable", WHOLE | {"seed_input": True}, "explains classes"),
    "folder": ("portable", {}, "is a folder"),
}


@pytest.mark.parametrize(("target", "options", "message"), WRONG.values(), ids=WRONG)
def test_another_file_is_refused_with_the_command_to_run(npm, tmp_path, target, options, message):
    other = saved(lrpc.compile(small_resnet(), target=target), tmp_path / "other.onnx", **options)
    with pytest.raises(lrpc.LrpcError) as error:
        package_web(other, tmp_path / "page", runtime=npm)
    assert message in str(error.value)
    assert COMMAND in str(error.value)
    assert not (tmp_path / "page").exists()


def test_what_is_no_explanation_is_refused_with_the_command_to_run(npm, tmp_path):
    onnx.save(small_resnet(), tmp_path / "model.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    for name, message in (("model.onnx", "not an explanation"), ("text.onnx", "not an ONNX"), ("none.onnx", "exist")):
        with pytest.raises(lrpc.LrpcError, match=message) as error:
            package_web(tmp_path / name, tmp_path / "page", runtime=npm)
        assert COMMAND in str(error.value)


def _without(name):
    return lambda dist: (dist / name).unlink()


RUNTIMES = {
    "no wasm": (_without(WASM[2]), "has no ort-wasm-simd-threaded.wasm"),
    "no package": (lambda dist: (dist.parent / "package.json").unlink(), "is not the npm package"),
    "older": (lambda dist: (dist.parent / "package.json").write_text('{"version": "1.2.3"}'), "onnxruntime-web 1.2.3"),
}


@pytest.mark.parametrize(("damage", "message"), RUNTIMES.values(), ids=RUNTIMES)
def test_a_missing_runtime_is_told_with_what_installs_it(file, npm, tmp_path, damage, message):
    damage(npm)
    with pytest.raises(lrpc.LrpcError, match=message) as error:
        package_web(file, tmp_path / "page", runtime=npm)
    assert f"npm install --ignore-scripts onnxruntime-web@{RUNTIME_VERSION}" in str(error.value)
    assert not (tmp_path / "page").exists()


def test_the_command_finds_what_npm_installed_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(small_resnet(), "model.onnx")

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result.output

    whole = ("--single-file", "--preprocess", "--heatmap", "--target", "portable")
    run("compile", "model.onnx", *whole)
    assert "npm install" in run("package", "model.explain.onnx", "--web", "page", code=2)
    runtime(tmp_path / "node_modules/onnxruntime-web")
    assert "wrote page" in run("package", "model.explain.onnx", "--web", "page", "--title", "Animals")
    assert json.loads((tmp_path / "page/model.json").read_text())["title"] == "Animals"
    assert np.isin(WASM, [part.name for part in (tmp_path / "page/ort").iterdir()]).all()
