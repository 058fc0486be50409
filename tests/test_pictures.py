"""Pictures in and heatmaps out."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lrpc.bundle.input_spec import InputSpec
from lrpc.images.colour import contact_sheet, overlay, render
from lrpc.images.read import load_images, to_picture
from passes.errors import LrpcError

SPEC = InputSpec((3, 4, 6), [0.5, 0.4, 0.3], [0.25, 0.5, 1.0], ["a", "b"])


def test_the_spec_survives_the_metadata():
    assert InputSpec.from_metadata(SPEC.to_metadata()) == InputSpec(**{**SPEC.__dict__})
    assert InputSpec.from_metadata({}) is None
    assert SPEC.low == [-2.0, -0.8, -0.3]
    assert SPEC.high == pytest.approx([2.0, 1.2, 0.7])


def test_unreadable_metadata_is_an_error():
    with pytest.raises(LrpcError, match=r"lrpc\.input cannot be used"):
        InputSpec.from_metadata({"lrpc.input": "{"})


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (255, 0, 51)), ("RGBA", (255, 0, 51, 255)), ("L", 102), ("P", 3)])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_any_picture_is_fitted_and_normalised(tmp_path, mode, colour, fit):
    Image.new(mode, (30, 20), colour).save(tmp_path / "p.png")
    batch, (picture,) = load_images([tmp_path / "p.png"], SPEC, fit)
    assert batch.shape == (1, 3, 4, 6)
    assert batch.dtype == np.float32
    expected = np.asarray(Image.new(mode, (1, 1), colour).convert("RGB"))[0, 0]
    np.testing.assert_array_equal(picture, np.broadcast_to(expected, (4, 6, 3)))
    values = (expected / 255 - SPEC.mean) / SPEC.std
    np.testing.assert_allclose(batch[0, :, 0, 0], values, rtol=1e-5, atol=1e-6)


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(tmp_path / "p.png")
    np.testing.assert_allclose(load_images([tmp_path / "p.png"], SPEC)[0][0, 0], 2.0)


def test_crop_keeps_the_centre_and_stretch_keeps_everything(tmp_path):
    pixels = np.zeros((4, 18, 3), np.uint8)
    pixels[:, 6:12] = 255
    Image.fromarray(pixels).save(tmp_path / "p.png")
    crop, stretch = (load_images([tmp_path / "p.png"], SPEC, fit)[1][0] for fit in ("crop", "stretch"))
    assert crop.min() == 255
    assert stretch[:, 0].max() < 128


def test_arrays_are_taken_as_they_are(tmp_path):
    array = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    batch, pictures = load_images([tmp_path / "a.npy"], SPEC)
    np.testing.assert_array_equal(batch, array)
    assert len(pictures) == 2


BAD = {
    "no picture fits": (InputSpec((5,)), "p.png", "no picture has"),
    "no normalisation": (InputSpec((3, 4, 6)), "p.png", "--mean M --std S"),
    "truncated": (SPEC, "cut.png", "truncated"),
    "wrong array": (SPEC, "a.npy", "the model takes"),
    "not an array": (SPEC, "text.npy", "not an .npy array"),
    "folder": (SPEC, ".", "is no file"),
}


@pytest.mark.parametrize(("spec", "name", "message"), BAD.values(), ids=BAD)
def test_bad_pictures_are_refused_by_name(tmp_path, spec, name, message):
    Image.effect_noise((6, 4), 50).convert("RGB").save(tmp_path / "p.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "p.png").read_bytes()[:60])
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 7)))
    (tmp_path / "text.npy").write_text("no")
    with pytest.raises(LrpcError) as error:
        load_images([tmp_path / name], spec)
    assert message in str(error.value)


def test_a_bundle_without_a_fixed_size_takes_no_picture():
    entry = SimpleNamespace(shape=(3, None, 6), mean=None, std=None)
    with pytest.raises(LrpcError, match=r"samples of shape \(3, None, 6\); a size that is None is not fixed"):
        InputSpec.from_manifest(SimpleNamespace(input=entry, classes=None))


def test_zero_is_white_positive_red_negative_blue():
    heat = render(np.array([[0.0, 1.0, -1.0, 0.01]]))
    assert heat[0, 0].min() >= 253
    assert heat[0, 1, 0] > heat[0, 1, 2]
    assert heat[0, 2, 2] > heat[0, 2, 0]
    assert heat[0, 3].min() > 240


def test_the_scale_is_symmetric_and_ignores_the_size_of_relevance():
    relevance = np.random.default_rng(0).standard_normal((3, 5, 5))
    np.testing.assert_array_equal(render(relevance), render(relevance * 1e6))
    flipped = render(-relevance)
    np.testing.assert_allclose(render(relevance).sum(), flipped.sum(), rtol=0.05)


@pytest.mark.parametrize("relevance", [np.zeros((3, 4, 4)), np.full((3, 4, 4), np.nan), np.full((3, 4, 4), np.inf)])
def test_relevance_without_a_scale_is_still_a_picture(relevance):
    picture = np.full((4, 4, 3), 128, np.uint8)
    assert render(relevance).shape == overlay(picture, relevance).shape == (4, 4, 3)
    if not np.isfinite(relevance).all():
        np.testing.assert_array_equal(render(relevance)[0, 0], [0, 160, 0])


def test_a_contact_sheet_has_room_for_all(tmp_path):
    picture = to_picture(np.zeros((3, 4, 6), np.float32), SPEC)
    sheet = contact_sheet([[picture, picture], [picture, picture]], ("one", "two"), ("first", "second"), side=40)
    assert sheet.width >= 2 * 60
    assert sheet.height >= 2 * 40
