"""A Triton model repository: against Triton's own schema, the rules of its backend, and its client library."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from PIL import ImageOps

import lrpc
from lrpc.cli import main
from lrpc.package.triton import package_triton
from models.shapes.localisation import MODEL
from tests.deploy.kserve import MESSAGES, Model, Refused, serving
from tests.files import read_image
from tests.graphs import picture, saved, small_resnet

pytestmark = pytest.mark.deploy

CLIENT = Path(__file__).parents[2] / "examples/triton/client.py"
STAR = MODEL.parent / "samples/star.png"

FLOATS = {"x": [3, 8, 8], "target": [1], "y": [5], "relevance": [3, 8, 8], "health": [4]}
PICTURES = {"image": [8, 8, 3], "heatmap": [8, 8, 3]}
SINGLE = {"single_file": True}
CASES = {
    "folder": ("batch", {}, FLOATS),
    "single file": ("batch", SINGLE, FLOATS),
    "pictures": ("batch", SINGLE | {"preprocess": "size", "heatmap": True}, FLOATS | PICTURES),
    "pictures of any size": ("batch", SINGLE | {"preprocess": "any"}, FLOATS | {"image": [-1, -1, 3]}),
    "heatmap only": ("batch", SINGLE | {"heatmap": True}, FLOATS | {"heatmap": [8, 8, 3]}),
    "seed": ("batch", SINGLE | {"seed_input": True}, FLOATS | {"seed": [5]}),
    "tunable": ("batch", SINGLE | {"tunable": True}, FLOATS),
    "tunable folder": ("batch", {"tunable": True}, FLOATS),
    "half": ("batch", SINGLE | {"half_forward": True}, FLOATS),
    "batch of 1": (1, SINGLE, {name: [1, *dims] for name, dims in FLOATS.items()} | {"target": [1]}),
    "batch of 4": (4, {}, {name: [4, *dims] for name, dims in FLOATS.items()} | {"target": [4]}),
}


def compiled(folder, batch, options):
    name = "net.explain.onnx" if options.get("single_file") else "net.lrp"
    return saved(lrpc.compile(small_resnet(batch)), folder / name, **options)


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
@pytest.mark.parametrize(("batch", "options", "dims"), CASES.values(), ids=CASES)
def test_the_configuration_is_of_tritons_schema_and_of_the_model(tmp_path, batch, options, dims, provider):
    source = compiled(tmp_path, batch, options)
    model = Model(package_triton(source, tmp_path / "repository", provider=provider))
    config = model.config
    found = {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}
    assert found == {name: dims[name] for name in found}
    assert config.max_batch_size == (8 if batch == "batch" else 0)
    assert config.HasField("dynamic_batching") == (batch == "batch")
    assert config.backend == "onnxruntime"
    assert config.version_policy.latest.num_versions == 1
    (group,) = config.instance_group
    assert group.kind == {"cpu": group.KIND_CPU, "cuda": group.KIND_GPU}[provider]
    assert (config.parameters["cudnn_conv_algo_search"].string_value == "1") == (provider == "cuda")


@pytest.mark.parametrize("options", [{}, SINGLE, SINGLE | {"half_forward": True}], ids=str)
def test_the_packaged_model_computes_what_the_bundle_does(tmp_path, options):
    source = compiled(tmp_path, "batch", options)
    model = Model(package_triton(source, tmp_path / "repository"))
    feeds = {"x": picture(), "target": np.array([[1], [4]])}
    results = dict(model.infer(feeds, {"y": {"classification": 2}, "relevance": {}}))
    expected = lrpc.Explainer(source)(picture(), [1, 4])
    np.testing.assert_array_equal(results["relevance"], expected.relevance)
    labels = (model.folder / "labels.txt").read_text().split()
    assert labels == ["ant", "bee", "cat", "dog", "elk"]
    best = expected.output.argmax(axis=1)
    assert [row[0].decode().split(":")[1:] for row in results["y"]] == [[str(i), labels[i]] for i in best]


def test_a_folder_bundle_is_copied_as_a_folder_with_its_weights_once(tmp_path):
    source = compiled(tmp_path, "batch", {})
    place = package_triton(source, tmp_path / "repository")
    files = {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}
    assert files == {"config.pbtxt", "labels.txt", "1/model.onnx/model.onnx", "1/model.onnx/weights.bin"}
    assert (place / "1/model.onnx/weights.bin").read_bytes() == (source / "weights.bin").read_bytes()
    assert [file.name for file in (tmp_path / "repository").iterdir()] == ["net"]


EXPECTED = """\
name: "faces"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 2
input {
  name: "image"
  data_type: TYPE_UINT8
  dims: [8, 8, 3]
}
input {
  name: "target"
  data_type: TYPE_INT64
  dims: [1]
  reshape { shape: [] }
}
output {
  name: "y"
  data_type: TYPE_FP32
  dims: [5]
  label_filename: "labels.txt"
}
output {
  name: "relevance"
  data_type: TYPE_FP32
  dims: [3, 8, 8]
}
output {
  name: "health"
  data_type: TYPE_FP32
  dims: [4]
}
instance_group [ { count: 1 kind: KIND_GPU } ]
version_policy { latest { num_versions: 1 } }
dynamic_batching { }
optimization {
  execution_accelerators {
    gpu_execution_accelerator [ { name: "cuda" parameters { key: "use_tf32" value: "0" } } ]
  }
}
parameters { key: "cudnn_conv_algo_search" value { string_value: "1" } }
"""


def test_the_command_line_writes_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compiled(tmp_path, "batch", SINGLE | {"preprocess": "size"})
    options = ["--triton", "new/repository", "--name", "faces", "--max-batch", "2", "--provider", "cuda"]
    result = CliRunner().invoke(main, ["package", "net.explain.onnx", *options])
    assert result.exit_code == 0, result.output
    assert f"tritonserver --model-repository={tmp_path}/new/repository" in result.output
    assert Path("new/repository/faces/config.pbtxt").read_text() == EXPECTED


def test_a_batch_of_one_is_not_joined(tmp_path):
    config = Model(package_triton(compiled(tmp_path, "batch", SINGLE), tmp_path / "r", max_batch=1)).config
    assert config.max_batch_size == 1
    assert not config.HasField("dynamic_batching")


def test_without_class_names_there_are_no_labels(tmp_path):
    source = lrpc.compile(small_resnet(metadata=None)).save(tmp_path / "net.lrp")
    place = package_triton(source, tmp_path / "r")
    assert not (place / "labels.txt").exists()
    assert not any(tensor.label_filename for tensor in Model(place).config.output)


WRONG = {
    "no destination": (["net.lrp"], "Say what to write: --web DIR or --triton DIR."),
    "two destinations": (["net.lrp", "--triton", "r", "--web", "w"], "Say what to write: --web DIR or --triton DIR."),
    "a page's option": (["net.lrp", "--triton", "r", "--title", "Shapes"], "--title means nothing for --triton."),
    "a server's option": (["net.lrp", "--web", "w", "--max-batch", "2"], "--max-batch means nothing for --web."),
    "no bundle": (["model.onnx", "--triton", "r"], "Compile it first"),
    "missing": (["nope.lrp", "--triton", "r"], "does not exist"),
    "name": (["net.lrp", "--triton", "r", "--name", "a/b"], "cannot be a model's name"),
    "taken": (["net.lrp", "--triton", "taken"], "--force"),
    "no model": (["net.lrp", "--triton", ".", "--name", "other", "--force"], "lrpc leaves it alone"),
    "max batch": (["net.lrp", "--triton", "r", "--max-batch", "0"], "x>=1"),
    "fixed batch": (["fixed.lrp", "--triton", "r", "--max-batch", "4"], "Leave --max-batch out"),
    "repository is a file": (["net.lrp", "--triton", "model.onnx"], "is no folder"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    onnx.save(small_resnet(), "model.onnx")
    lrpc.compile(small_resnet()).save("net.lrp")
    lrpc.compile(small_resnet(2)).save("fixed.lrp")
    package_triton(Path("net.lrp"), Path("taken"))
    (Path("other") / "mine").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(main, ["package", *arguments])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_is_replaced_with_force(tmp_path):
    source = compiled(tmp_path, "batch", {})
    place = package_triton(source, tmp_path / "r", max_batch=2)
    package_triton(source, tmp_path / "r", max_batch=3, force=True)
    assert Model(place).config.max_batch_size == 3
    assert [file.name for file in (tmp_path / "r").iterdir()] == ["net"]


def test_the_stand_in_refuses_what_triton_refuses(tmp_path):
    """The checks above would mean nothing if it took any configuration."""
    place = package_triton(compiled(tmp_path, "batch", SINGLE), tmp_path / "r")
    config = (place / "config.pbtxt").read_text()
    for old, new in (
        ("TYPE_INT64", "TYPE_FP32"),
        ("[3, 8, 8]", "[3, 8, 9]"),
        ('"health"', '"wealth"'),
        ("max_batch_size: 8", "max_batch_size: 0"),
        ("reshape { shape: [] }", ""),
        ('name: "net"', 'name: "other"'),
    ):
        (place / "config.pbtxt").write_text(config.replace(old, new))
        with pytest.raises(Refused):
            Model(place)
    assert MESSAGES.ModelConfig.DESCRIPTOR.full_name == "inference.ModelConfig"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serve the trained network as pictures and as floats, and a network of a fixed batch; give HOST:PORT and the folder."""
    folder = tmp_path_factory.mktemp("triton")
    shapes, fixed = lrpc.compile(MODEL), lrpc.compile(small_resnet(1))
    pictures = {"single_file": True, "heatmap": True, "preprocess": "size"}
    for name, compiled, options in (
        ("size", shapes, pictures),
        ("any", shapes, pictures | {"preprocess": "any"}),
        ("floats", shapes, pictures | {"preprocess": None}),
        ("fixed", fixed, pictures),
    ):
        package_triton(saved(compiled, folder / f"{name}.explain.onnx", **options), folder / "repository")
    with serving(folder / "repository") as url:
        yield url, folder


def ask(folder, url, *arguments):
    """Run the client in a process of its own."""
    command = [sys.executable, str(CLIENT), *map(str, arguments), "--url", url]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


def heatmap(path, pixels, target):
    """Run a single file by ONNX Runtime alone."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["heatmap"], {"image": pixels, "target": np.array([target])})[0][0]


@pytest.mark.parametrize("target", [None, 7])
@pytest.mark.parametrize("name", ["size", "any"])
def test_the_client_gets_what_the_bundle_says(server, tmp_path, name, target):
    url, folder = server
    done = ask(tmp_path, url, name, STAR, "h.png", *([] if target is None else ["--class", target]))
    assert done.returncode == 0, done.stderr
    path, pixels = folder / f"{name}.explain.onnx", np.asarray(read_image(STAR).convert("RGB"))[None]
    explainer = lrpc.Explainer(path)
    result, labels = explainer(pixels, target), explainer.manifest.classes
    order = (-result.output[0]).argsort()[:3]
    assert done.stdout.splitlines()[:3] == [f"class {i}  score {result.output[0, i]:.3f}  {labels[i]}" for i in order]
    assert f"sum of |R| {result.health.abs_sum[0]:.3g}, " in done.stdout
    expected = heatmap(path, pixels, -1 if target is None else target)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "h.png")), expected)


def test_the_client_scales_pictures_to_the_size_of_the_model(server, tmp_path):
    url, folder = server
    wide = read_image(STAR).convert("RGB").resize((160, 96))
    wide.save(tmp_path / "wide.png")
    for name, size in (("size", (64, 64)), ("fixed", (8, 8)), ("any", None)):
        done = ask(tmp_path, url, name, "wide.png", "h.png", "--class", 1)
        assert done.returncode == 0, done.stderr
        pixels = np.asarray(ImageOps.fit(wide, size) if size else wide)[None]
        expected = heatmap(folder / f"{name}.explain.onnx", pixels, 1)
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "h.png")), expected)


def test_the_readme_shows_what_the_client_prints(tmp_path):
    source = lrpc.compile(MODEL, preprocess="size", heatmap=True).save(
        tmp_path / "shapes.explain.onnx", single_file=True
    )
    package_triton(source, tmp_path / "repository")
    with serving(tmp_path / "repository") as url:
        done = ask(tmp_path, url, "shapes", STAR, "heatmap.png")
    assert f"```\n{done.stdout}```" in (CLIENT.parent / "README.md").read_text(encoding="utf-8")


REFUSED = {
    "model": (["nope", STAR], 2, "unknown model"),
    "floats": (["floats", STAR], 2, "it has no image. Package it from `lrpc compile MODEL.onnx --single-file"),
    "picture": (["size", CLIENT], 2, "client.py is no picture"),
    "no picture": (["size", "nope.png"], 2, "nope.png"),
    "class": (["size", STAR, "--class", "10"], 1, "the relevance is not finite. Is the class one of the model's?"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_the_client_says_in_one_line_what_is_wrong(server, tmp_path, arguments, code, message):
    done = ask(tmp_path, server[0], *arguments[:2], "h.png", *arguments[2:])
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_server_the_client_says_so(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = ask(tmp_path, f"127.0.0.1:{port}", "size", STAR, "h.png")
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: 127.0.0.1:{port} does not explain size: ")
    assert len(done.stderr.splitlines()) == 1
