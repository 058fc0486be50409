"""How well relevance finds the object: two scores that need the object's true mask.

Source: Kohlbrenner et al. 2020 (mass), Arras et al. 2022 (both).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lrpc
from lrpc.composites.composite import Composite
from lrpc.runtime.health import HealthWarning
from models.shapes.dataset import parallel_batch
from models.shapes.network import MEAN, STD

MODEL = Path(__file__).parent / "shapes.onnx"
LOW, HIGH = -2.0, 2.0
"""The network's input range: black and white after normalisation."""
TEST_SEED = 1
_BATCH = 50


@dataclass(frozen=True)
class Pictures:
    """Test pictures. x: the network's input.  masks: bool (n, 64, 64).  labels: the true classes."""

    x: np.ndarray
    masks: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Scores:
    """One number per picture; `correct` says which the network classifies correctly.

    mass: positive relevance inside the mask over all positive relevance.  rank: of as many pixels as the mask
    has, those with the most relevance, the share inside it.  abs_sum: sum of |R| per unit of seed.
    alarmed: whether lrpc warns.
    """

    mass: np.ndarray
    rank: np.ndarray
    abs_sum: np.ndarray
    alarmed: np.ndarray
    correct: np.ndarray

    def mean(self, score: str) -> tuple[float, float]:
        """Return mean and standard error of a score over the correctly classified pictures."""
        values = getattr(self, score)[self.correct]
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def unseen_pictures(count: int) -> Pictures:
    """Draw the first pictures of the test set, which the network never saw."""
    images, masks, labels = parallel_batch(TEST_SEED, count)
    mean, std = (np.reshape(value, (-1, 1, 1)) for value in (MEAN, STD))
    x = ((images.transpose(0, 3, 1, 2) / 255 - mean) / std).astype(np.float32)
    return Pictures(x, masks, labels)


def evaluate(composite: Composite, pictures: Pictures) -> Scores:
    """Explain the true class of each picture, and score where the relevance lies."""
    explainer = lrpc.Explainer(lrpc.compile(MODEL, composite=composite))
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HealthWarning)
        for start in range(0, len(pictures.x), _BATCH):
            batch = slice(start, start + _BATCH)
            results.append(explainer(pictures.x[batch], pictures.labels[batch]))
    relevance = np.concatenate([result.relevance for result in results]).astype(np.float64).sum(axis=1)
    mass, rank = localisation(relevance, pictures.masks)
    return Scores(
        mass,
        rank,
        np.concatenate([result.health.abs_sum for result in results]),
        np.array([bool(alarm) for result in results for alarm in result.alarms]),
        np.concatenate([result.output for result in results]).argmax(axis=1) == pictures.labels,
    )


def localisation(relevance: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mass and rank of each heatmap. relevance: (n, h, w), summed over channels.  masks: bool (n, h, w)."""
    positive = np.clip(np.nan_to_num(relevance), 0, None)
    mass = (positive * masks).sum(axis=(1, 2)) / np.maximum(positive.sum(axis=(1, 2)), 1e-300)
    rank = [
        mask.ravel()[np.argsort(-heatmap.ravel(), kind="stable")[: mask.sum()]].mean()
        for heatmap, mask in zip(relevance, masks, strict=True)
    ]
    return mass, np.array(rank)
