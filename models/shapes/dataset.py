"""Coloured shapes on textured backgrounds, with distractors; the object's mask is known.

The class is decided by the outline alone: colour, size, place and rotation are random, and so are the
texture behind and the thin lines, small dots and short arcs that belong to no class. A picture is a
function of (seed, index).
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 64
CLASSES = (
    "circle",
    "triangle",
    "square",
    "pentagon",
    "star",
    "cross",
    "ring",
    "crescent",
    "heart",
    "arrow",
)
_SCALE = 3
"""Shapes are drawn this many times larger, then averaged down."""

Point = tuple[float, float]


def draw(seed: int, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw one picture.

    Returns the image uint8 (64, 64, 3), the object's mask bool (64, 64) and the class.
    """
    rng = np.random.default_rng((seed, index))
    label = int(rng.integers(len(CLASSES)))
    background = _texture(rng)
    canvas = _with_distractors(rng, background)
    coverage = _coverage(rng, CLASSES[label])
    colour = _contrasting(rng, background.mean(axis=(0, 1)))
    shade = 1.0 + 0.15 * (_noise(rng, 4) - 0.5)
    filled = np.clip(colour * shade[..., None], 0, 255)
    image = canvas * (1 - coverage[..., None]) + filled * coverage[..., None]
    image = image + rng.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), coverage > 0.5, label


def batch(seed: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw pictures start to start + count: uint8 (n, 64, 64, 3), bool (n, 64, 64), int64 (n,)."""
    images, masks, labels = zip(*(draw(seed, start + i) for i in range(count)), strict=True)
    return np.stack(images), np.stack(masks), np.array(labels, np.int64)


def parallel_batch(seed: int, count: int, workers: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw pictures 0 to count on several processes; the result is that of `batch`."""
    chunk = 500
    starts = range(0, count, chunk)
    sizes = [min(chunk, count - start) for start in starts]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(partial(batch, seed), starts, sizes))
    images, masks, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return images, masks, labels


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Return smooth noise in [0, 1] with about `cells` bumps along each side."""
    coarse = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float64) / 255


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Blend two colours by noise and stripes."""
    first, second = rng.uniform(20, 235, (2, 3))
    second = 0.55 * first + 0.45 * second
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    angle, frequency, phase = rng.uniform(0, math.pi), rng.uniform(2, 12), rng.uniform(0, 2 * math.pi)
    along = x * math.cos(angle) + y * math.sin(angle)
    stripes = 0.5 + 0.5 * np.sin(2 * math.pi * frequency * along + phase)
    weight = rng.uniform(0, 1)
    mix = weight * stripes + (1 - weight) * (0.6 * _noise(rng, 5) + 0.4 * _noise(rng, 16))
    texture: np.ndarray = first + (second - first) * mix[..., None]
    return texture


def _contrasting(rng: np.random.Generator, background: np.ndarray) -> np.ndarray:
    """Return a random colour that can be told from the background."""
    while True:
        colour = rng.uniform(10, 245, 3)
        if np.abs(colour - background).mean() > 55:
            return colour


def _with_distractors(rng: np.random.Generator, background: np.ndarray) -> np.ndarray:
    """Draw thin lines, dots and small open arcs: things of no class."""
    side = SIZE * _SCALE
    image = Image.fromarray(background.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 8)):
        x, y = rng.uniform(0, side, 2)
        colour = tuple(int(c) for c in rng.uniform(10, 245, 3))
        kind = rng.integers(3)
        if kind == 0:
            dx, dy = rng.uniform(-0.3, 0.3, 2) * side
            pen.line((x, y, x + dx, y + dy), fill=colour, width=int(rng.integers(3, 6)))
        elif kind == 1:
            r = rng.uniform(0.012, 0.03) * side
            pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        else:
            r, start = rng.uniform(0.04, 0.08) * side, rng.uniform(0, 360)
            pen.arc((x - r, y - r, x + r, y + r), start, start + rng.uniform(60, 160), fill=colour, width=4)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)


def _coverage(rng: np.random.Generator, name: str) -> np.ndarray:
    """Return how much of each pixel the object covers, (64, 64) in [0, 1]."""
    side = SIZE * _SCALE
    radius = rng.uniform(0.16, 0.27) * side
    center = rng.uniform(radius, side - radius, 2)
    rotation = rng.uniform(0, 2 * math.pi)
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    for outline, fill in _outlines(name):
        pen.polygon([_placed(point, center, radius, rotation) for point in outline], fill=fill)
    image = image.filter(ImageFilter.GaussianBlur(0.8))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64) / 255


def _placed(point: Point, center: np.ndarray, radius: float, rotation: float) -> Point:
    x, y = point
    cos, sin = math.cos(rotation), math.sin(rotation)
    return (center[0] + radius * (x * cos - y * sin), center[1] + radius * (x * sin + y * cos))


def _outlines(name: str) -> list[tuple[list[Point], int]]:
    """Return the polygons of a shape inside the unit circle, with 255 to fill and 0 to cut out."""
    match name:
        case "circle":
            return [(_circle(0.9), 255)]
        case "ring":
            return [(_circle(1.0), 255), (_circle(0.55), 0)]
        case "crescent":
            return [(_circle(1.0), 255), (_circle(0.85, 0.5), 0)]
        case "triangle" | "square" | "pentagon":
            return [(_regular({"triangle": 3, "square": 4, "pentagon": 5}[name]), 255)]
        case "star":
            return [([_polar(1.0 if i % 2 == 0 else 0.4, i * math.pi / 5) for i in range(10)], 255)]
        case "cross":
            arm = 0.3
            corner = [(arm, -1.0), (arm, -arm), (1.0, -arm), (1.0, arm), (arm, arm), (arm, 1.0)]
            return [(corner + [(-x, -y) for x, y in corner], 255)]
        case "heart":
            return [([_heart(2 * math.pi * i / 60) for i in range(60)], 255)]
        case _:
            head = [(1.0, 0.0), (0.1, -0.8), (0.1, -0.3), (-1.0, -0.3), (-1.0, 0.3), (0.1, 0.3), (0.1, 0.8)]
            return [(head, 255)]


def _polar(radius: float, angle: float) -> Point:
    return (radius * math.cos(angle), radius * math.sin(angle))


def _regular(corners: int) -> list[Point]:
    return [_polar(1.0, 2 * math.pi * i / corners) for i in range(corners)]


def _circle(radius: float, shift: float = 0.0) -> list[Point]:
    return [(x + shift, y) for x, y in (_polar(radius, 2 * math.pi * i / 60) for i in range(60))]


def _heart(t: float) -> Point:
    """Return a point of the classic heart curve, scaled into the unit circle."""
    x = 16 * math.sin(t) ** 3
    y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return (x / 17, -(y + 2) / 17)
