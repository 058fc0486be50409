"""A single file that takes pictures and returns heatmaps, against `lrpc.images.read`, the plain bundle and `lrpc.images.colour`."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from onnx import helper
from PIL import Image

import lrpc
from lrpc.bundle.input_spec import InputSpec
from lrpc.bundle.manifest import Picture
from lrpc.cli import main
from lrpc.images.colour import colour_table, render
from lrpc.images.read import load_images
from lrpc.variants.heatmap_out import heatmap_out
from lrpc.variants.picture_in import picture_in
from models.shapes.localisation import MODEL
from tests.graphs import METADATA, model, small_resnet

SAMPLES = sorted(path for path in (MODEL.parent / "samples").glob("*.png") if ".mask" not in path.name)
MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.5, 1.0]
GREY = METADATA | {"lrpc.input": '{"shape": [1, 8, 8], "mean": [0.4], "std": [0.3]}'}


def open_file(path):
    onnx.checker.check_model(path, full_check=True)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def dense(entry="x", channels=3, metadata=METADATA, inner="flat"):
    """One dense layer on 8 x 8 pictures."""
    weights = {"w": np.random.default_rng(0).standard_normal((64 * channels, 5)).astype(np.float32)}
    nodes = [helper.make_node("Flatten", [entry], [inner]), helper.make_node("MatMul", [inner, "w"], ["y"])]
    return model(nodes, weights, {entry: ["n", channels, 8, 8]}, {"y": ["n", 5]}, metadata=metadata)


def through(change, shape, x):
    """Run what `change` made of a graph that copies x to `relevance`."""
    proto = model([helper.make_node("Identity", ["x"], ["relevance"])], {}, {"x": shape}, {"relevance": shape})
    change(proto)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def close_colours(actual, expected):
    """Whether 99.9 % of the pixels differ by at most 1 of 255 in every colour."""
    assert actual.dtype == expected.dtype == np.uint8
    assert actual.shape == expected.shape
    return (np.abs(actual.astype(int) - expected).max(axis=-1) <= 1).mean() >= 0.999


@pytest.fixture(scope="module")
def shapes():
    """The trained network, its samples as batch and as pictures, and their explanation by the plain bundle."""
    compiled = lrpc.compile(MODEL)
    metadata = {entry.key: entry.value for entry in onnx.load(MODEL).metadata_props}
    batch, pictures = load_images(SAMPLES, InputSpec.from_metadata(metadata))
    targets = np.arange(len(batch)) % 10
    return compiled, np.stack(pictures), targets, lrpc.Explainer(compiled)(batch, targets)


@pytest.mark.parametrize("preprocess", ["size", "any"])
@pytest.mark.parametrize("count", [1, 2, len(SAMPLES)])
def test_pictures_become_the_heatmaps_of_the_bundle(shapes, tmp_path, preprocess, count):
    compiled, pictures, targets, expected = shapes
    session = open_file(
        compiled.variant(preprocess=preprocess, heatmap=True).save(tmp_path / "e.onnx", single_file=True)
    )
    names = ["output", "relevance", "health", "heatmap"]
    assert [value.name for value in session.get_outputs()] == names
    feeds = {"image": pictures[:count], "target": targets[:count]}
    output, relevance, health, heatmap = session.run(names, feeds)
    np.testing.assert_array_equal(output, expected.output[:count])
    np.testing.assert_array_equal(relevance, expected.relevance[:count])
    np.testing.assert_array_equal(health[:, 1], expected.health.abs_sum[:count])
    assert close_colours(heatmap, np.stack([render(r) for r in expected.relevance[:count]]))


FIXED = {
    "seed": {"seed_input": True},
    "tunable": {"tunable": True},
    "half": {"half_forward": True},
}


@pytest.mark.parametrize("options", FIXED.values(), ids=FIXED)
def test_pictures_go_with_every_other_option(shapes, tmp_path, options):
    compiled, pictures, targets, _ = shapes
    plain = lrpc.Explainer(compiled.variant(**options).save(tmp_path / "plain.onnx", single_file=True))
    both = lrpc.Explainer(
        compiled.variant(preprocess="size", heatmap=True, **options).save(tmp_path / "e.onnx", single_file=True)
    )
    target = np.eye(10, dtype=np.float32)[targets] if "seed_input" in options else targets
    batch = load_images(SAMPLES, InputSpec.from_manifest(plain.manifest))[0]
    np.testing.assert_array_equal(both(pictures, target).relevance, plain(batch, target).relevance)


@pytest.mark.parametrize(("preprocess", "heatmap"), [("size", False), (None, True)])
def test_either_comes_without_the_other(tmp_path, preprocess, heatmap):
    compiled = lrpc.compile(small_resnet())
    path = compiled.variant(preprocess=preprocess, heatmap=heatmap).save(tmp_path / "e.onnx", single_file=True)
    session = open_file(path)
    assert ("heatmap" in {value.name for value in session.get_outputs()}) == heatmap
    assert (session.get_inputs()[0].name == "image") == bool(preprocess)
    manifest = lrpc.Explainer(path).manifest
    assert manifest.heatmap == (Picture("heatmap", (8, 8, 3)) if heatmap else None)
    assert manifest.picture == (Picture("image", (8, 8, 3)) if preprocess else None)


@pytest.mark.parametrize("picture", ["photo.png", "grey.png", "alpha.png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_that_of_the_command_line(tmp_path, picture, channels):
    mode = {"photo.png": "RGB", "grey.png": "L", "alpha.png": "RGBA"}[picture]
    Image.fromarray(noise(7, 9, 4), "RGBA").convert(mode).save(tmp_path / picture)
    spec = InputSpec((channels, 7, 9), MEAN[:channels], STD[:channels])
    expected = load_images([tmp_path / picture], spec)[0]
    rgb = load_images([tmp_path / picture], InputSpec((3, 7, 9), [0.0] * 3, [1.0] * 3))[1][0]
    (actual,) = through(
        lambda proto: picture_in(proto, MEAN[:channels], STD[:channels]), ["n", channels, 7, 9], rgb[None]
    )
    np.testing.assert_array_equal(actual, expected)


def test_grey_is_pillows_to_the_last_bit():
    """Of so many colours some lie where a weight of one more, or one less, in 65536 would round the other way."""
    pixels = noise(1, 256, 256, 3)
    (actual,) = through(lambda proto: picture_in(proto, [0.0], [1.0]), ["n", 1, 256, 256], pixels)
    expected = np.asarray(Image.fromarray(pixels[0]).convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(actual[0, 0], expected)


@pytest.mark.parametrize("size", [(7, 9), (50, 31), (3, 40), (1, 1), (8, 9)])
def test_pictures_of_any_size_are_scaled_as_pillow_scales_them(size):
    pixels = noise(2, *size, 3)
    (actual,) = through(lambda proto: picture_in(proto, [0.0] * 3, [1.0] * 3, True), ["n", 3, 7, 9], pixels)
    planes = pixels.transpose(0, 3, 1, 2).astype(np.float32).reshape(6, *size)
    scaled = [np.asarray(Image.fromarray(plane).resize((9, 7), Image.Resampling.BILINEAR)) for plane in planes]
    np.testing.assert_allclose(actual.reshape(6, 7, 9), np.stack(scaled) / 255, atol=1e-5)


RANDOM = np.random.default_rng(1).standard_normal((2, 3, 40, 50)).astype(np.float32)
HOLED = RANDOM.copy()
HOLED[0, 1, :3] = np.nan
HOLED[1, 0, 5:7] = np.inf
HOLED[1, 2, 9] = -np.inf
RELEVANCE = {
    "random": RANDOM,
    "huge": RANDOM * np.float32(1e30),
    "tiny": RANDOM * np.float32(1e-30),
    "one spike": np.where(np.abs(RANDOM) == np.abs(RANDOM).max(), 1, RANDOM * 1e-9).astype(np.float32),
    "zero": np.zeros((2, 3, 4, 5), np.float32),
    "not finite": HOLED,
    "nothing finite": np.full((1, 3, 4, 5), np.nan, np.float32),
    "grey": RANDOM[:, :1],
    "five channels": np.concatenate([RANDOM, RANDOM[:, :2]], axis=1),
    "positive": np.abs(RANDOM),
    "negative": -np.abs(RANDOM),
}


@pytest.mark.parametrize("relevance", RELEVANCE.values(), ids=RELEVANCE)
def test_heatmaps_have_the_colours_of_the_command_line(relevance):
    shape = ["n", *relevance.shape[1:]]
    heatmap = through(lambda proto: heatmap_out(proto, "relevance", colour_table()), shape, relevance)[1]
    assert close_colours(heatmap, np.stack([render(r) for r in relevance]))


def test_zero_is_white_and_what_is_not_finite_is_green():
    relevance = np.array([[[[0.0, 1.0, -1.0, np.nan]]]], np.float32)
    heatmap = through(lambda proto: heatmap_out(proto, "relevance", colour_table()), ["n", 1, 1, 4], relevance)[1]
    white, red, blue, green = heatmap[0, 0].tolist()
    assert min(white) >= 253
    assert red == [128, 0, 0]
    assert blue == [0, 0, 76]
    assert green == [0, 160, 0]


def test_a_class_out_of_range_is_green_and_counted(tmp_path):
    path = lrpc.compile(small_resnet(), preprocess="size", heatmap=True).save(tmp_path / "e.onnx", single_file=True)
    feeds = {"image": noise(1, 8, 8, 3), "target": np.array([99])}
    health, heatmap = open_file(path).run(["health", "heatmap"], feeds)
    assert health[0, 3] > 0
    assert (heatmap == [0, 160, 0]).all()


@pytest.mark.parametrize(("entry", "channels"), [("image", 3), ("x", 1), ("image", 1)])
def test_grey_models_and_inputs_called_image_are_explained_and_traced(tmp_path, entry, channels):
    compiled = lrpc.compile(dense(entry, channels, GREY if channels == 1 else METADATA))
    path = compiled.variant(preprocess="size", heatmap=True).save(tmp_path / "e.onnx", single_file=True)
    open_file(path)
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "p.png")
    batch, (picture,) = load_images([tmp_path / "p.png"], InputSpec.from_manifest(lrpc.Explainer(path).manifest))
    expected = lrpc.Explainer(compiled)(batch, 2)
    np.testing.assert_array_equal(lrpc.Explainer(path)(picture[None], 2).relevance, expected.relevance)
    traced = lrpc.Tracer(path)(picture[None], 2)
    np.testing.assert_array_equal(traced.relevance, expected.relevance)
    assert [row.layer for row in traced.samples[0]] == [row["layer"] for row in compiled.plan.to_rows()][::-1]


BARE = {key: value for key, value in METADATA.items() if key != "lrpc.input"}
WRONG = {
    "folder": (dense(), {"preprocess": "size"}, False, "is one file: add --single-file"),
    "folder, heatmap": (dense(), {"heatmap": True}, False, "add --single-file"),
    "unknown": (dense(), {"preprocess": "crop"}, True, "There are: size, any"),
    "no mean": (dense(metadata=BARE), {"preprocess": "size"}, True, "--mean M --std S"),
    "two channels": (dense(channels=2, metadata=None), {"preprocess": "size"}, True, r"samples of shape \(2, 8, 8\)"),
    "name taken": (dense(inner="heatmap"), {"heatmap": True}, True, "has tensors called heatmap"),
    "image taken": (dense(inner="image"), {"preprocess": "any"}, True, "has tensors called image"),
}


@pytest.mark.parametrize(("proto", "options", "single", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, proto, options, single, message):
    with pytest.raises(lrpc.LrpcError, match=message):
        lrpc.compile(proto, **options).save(tmp_path / "e.onnx", single_file=single)
    assert list(tmp_path.iterdir()) == []


def test_vectors_have_no_heatmap(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    proto = model(nodes, {"w": np.eye(4, dtype=np.float32)}, {"x": ["n", 4]}, {"y": ["n", 4]})
    with pytest.raises(lrpc.LrpcError, match="need pictures"):
        lrpc.compile(proto, heatmap=True).save(tmp_path / "e.onnx", single_file=True)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3, 64, 64), np.float32), r"the model takes \('n', 64, 64, 3\)"),
        (np.zeros((1, 64, 64, 3), np.float32), "takes pictures uint8"),
        (np.zeros((1, 64, 32, 3), np.uint8), "the model takes"),
    ],
)
def test_an_explainer_refuses_what_is_no_picture(shapes, tmp_path, x, message):
    path = shapes[0].variant(preprocess="size").save(tmp_path / "e.onnx", single_file=True)
    with pytest.raises(lrpc.LrpcError, match=message):
        lrpc.Explainer(path)(x)


def test_an_empty_batch_has_no_relevance(shapes, tmp_path):
    path = shapes[0].variant(preprocess="any").save(tmp_path / "e.onnx", single_file=True)
    assert lrpc.Explainer(path)(np.zeros((0, 5, 6, 3), np.uint8)).relevance.shape == (0, 3, 64, 64)


def test_values_outside_of_zbox_are_told_of_pictures_too(tmp_path):
    composite = lrpc.composites.epsilon_gamma_box(low=-1.0, high=1.0)
    compiled = lrpc.compile(small_resnet(), composite=composite)
    explainer = lrpc.Explainer(compiled.variant(preprocess="size").save(tmp_path / "e.onnx", single_file=True))
    pixels = np.full((1, 8, 8, 3), 127, np.uint8)
    assert explainer.outside_box(pixels) == []
    pixels[0, 0, :2] = 255
    assert "6 of 192 input values" in explainer.outside_box(pixels)[0]


@pytest.mark.parametrize("preprocess", [("--preprocess",), ("--preprocess", "any")], ids=str)
def test_the_command_line_explains_with_such_a_file(tmp_path, monkeypatch, preprocess):
    monkeypatch.chdir(tmp_path)
    onnx.save(small_resnet(), "model.onnx")
    Image.fromarray(noise(10, 14, 3)).save("picture.png")
    np.save("array.npy", np.zeros((3, 8, 8), np.float32))

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result.stdout or result.output

    run("compile", "model.onnx")
    run("compile", "model.onnx", "--single-file", *preprocess, "--heatmap")
    reports = [
        json.loads(run("explain", name, "picture.png", "--json")) for name in ("model.lrp", "model.explain.onnx")
    ]
    assert reports[0] == reports[1]
    traces = [json.loads(run("trace", name, "picture.png", "--json")) for name in ("model.lrp", "model.explain.onnx")]
    assert traces[0]["input"] == traces[1]["input"]
    refused = CliRunner().invoke(main, ["explain", "model.explain.onnx", "array.npy"])
    assert refused.exit_code == 2
    assert "compile the model without --preprocess" in refused.output
    assert "add --single-file" in CliRunner().invoke(main, ["compile", "model.onnx", "--force", *preprocess]).output
