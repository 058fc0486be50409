"""The shapes data set and the network trained on it."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

import lrpc
from models.shapes import dataset
from models.shapes.dataset import CLASSES, batch, draw
from models.shapes.network import shapes_resnet
from models.shapes.train import TEST_SEED, normalised
from tests.files import read_image

FOLDER = Path(__file__).parents[2] / "models" / "shapes"


@pytest.fixture(scope="module")
def pictures():
    return batch(TEST_SEED, 0, 400)


@pytest.fixture(scope="module")
def network():
    module = shapes_resnet()
    module.load_state_dict(torch.load(FOLDER / "shapes.pt", weights_only=True))
    return module.eval()


def test_a_picture_is_a_function_of_seed_and_index(pictures):
    images, masks, labels = pictures
    again = draw(TEST_SEED, 7)
    np.testing.assert_array_equal(again[0], images[7])
    np.testing.assert_array_equal(again[1], masks[7])
    assert again[2] == labels[7]
    assert not np.array_equal(draw(0, 7)[0], images[7])


def test_every_class_occurs_about_as_often(pictures):
    counts = np.bincount(pictures[2], minlength=len(CLASSES))
    assert len(counts) == 10
    assert counts.min() >= 20


def test_the_mask_is_where_the_object_is(pictures):
    """Inside the mask the colour is nearly uniform, and it differs from what surrounds it."""
    for image, mask, _ in zip(*(part[:50] for part in pictures), strict=True):
        assert 60 < mask.sum() < 1500
        inside, outside = image[mask].astype(float), image[~mask].astype(float)
        assert np.abs(np.median(inside, axis=0) - np.median(outside, axis=0)).mean() > 15


@pytest.fixture(scope="module")
def without_object(pictures):
    """The same pictures, drawn from the same random numbers, with nothing where the object was."""
    coverage = dataset._coverage
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "_coverage", lambda rng, name: 0 * coverage(rng, name))
        return batch(TEST_SEED, 0, len(pictures[0]))[0]


def test_the_object_changes_the_picture_inside_its_mask_only(pictures, without_object):
    """Every masked pixel changes; beyond three pixels none does (a crescent's tips cover less than half a pixel)."""
    for image, empty, mask in zip(pictures[0], without_object, pictures[1], strict=True):
        changed = (image != empty).any(axis=-1)
        padded = np.pad(mask, 3)
        reach = np.any([padded[i : i + 64, j : j + 64] for i in range(7) for j in range(7)], axis=0)
        assert changed[mask].all()
        assert np.count_nonzero(changed & ~reach) == 0


def test_without_the_object_nothing_tells_its_class(network, pictures, without_object):
    with torch.no_grad():
        hits = network(normalised(without_object)).argmax(dim=1).numpy() == pictures[2]
    assert hits.mean() < 0.2


def test_the_trained_network_classifies_new_pictures(network, pictures):
    images, _, labels = pictures
    with torch.no_grad():
        hits = network(normalised(images)).argmax(dim=1).numpy() == labels
    assert hits.mean() >= 0.95


def test_the_onnx_file_is_the_network(network, pictures):
    x = normalised(pictures[0][:4])
    session = ort.InferenceSession(FOLDER / "shapes.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(x).numpy()
    np.testing.assert_allclose(session.run(None, {"input": x.numpy()})[0], expected, rtol=1e-3, atol=1e-4)


def test_relevance_points_at_the_object(pictures):
    """A quarter of the relevance would be on the object by chance at most; explanations do far better."""
    images, masks, labels = (part[:100] for part in pictures)
    result = lrpc.Explainer(lrpc.compile(FOLDER / "shapes.onnx"))(normalised(images).numpy(), labels)
    heat = np.clip(result.relevance.sum(axis=1), 0, None)
    share = (heat * masks).sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
    chance = masks.mean()
    assert share.mean() > 3 * chance
    assert not np.isnan(share).any()
    assert not result.health.nonfinite.any()


def test_the_files_are_small_and_the_report_is_of_this_network(network):
    size = sum((FOLDER / name).stat().st_size for name in ("shapes.pt", "shapes.onnx"))
    assert size < 6e6
    report = json.loads((FOLDER / "training.json").read_text())
    assert report["parameters"] == sum(p.numel() for p in network.parameters())
    assert report["accuracy"] >= 0.95
    assert report["seconds"] < 1200


def test_every_sample_has_its_mask_and_is_classified(network):

    masks = sorted((FOLDER / "samples").glob("*.mask.png"))
    assert len(masks) == 6
    for mask in masks:
        name = mask.name.removesuffix(".mask.png")
        image = np.asarray(read_image(mask.with_name(f"{name}.png")))
        with torch.no_grad():
            assert CLASSES[int(network(normalised(image[None])).argmax())] == name
