"""Relevance as pictures: red speaks for the class, blue against it, white for neither."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from passes.errors import LrpcError
from passes.loading.file_errors import file_errors

COLOURS = "seismic"
"""matplotlib's diverging map from blue over white to red; zero is exactly its middle."""

_NOT_A_NUMBER = (0, 160, 0)
_PAD, _CAPTION = 8, 18


def pixel_relevance(relevance: np.ndarray) -> np.ndarray:
    """Sum relevance (c, h, w) over its channels; (h, w) stays as it is."""
    return relevance.sum(axis=0) if relevance.ndim == 3 else relevance


def colour_table(colours: str = COLOURS) -> np.ndarray:
    """Return the colours of `render` as a table uint8 (257, 3): 256 from blue to red, then that of NaN and infinity.

    A value v with the largest magnitude m has row floor(128 v / m) + 128, and the largest has row 255.
    """
    steps = matplotlib.colormaps[colours](np.arange(256))[:, :3] * 255
    return np.concatenate([steps.round(), [_NOT_A_NUMBER]]).astype(np.uint8)


def render(relevance: np.ndarray, colours: str = COLOURS) -> np.ndarray:
    """Draw a heatmap uint8 (h, w, 3) of relevance (c, h, w) or (h, w).

    The scale is symmetric about 0 and reaches to the largest finite magnitude.  Values that are NaN
    or infinite come out green.
    """
    values = pixel_relevance(np.asarray(relevance, np.float64))
    finite = np.isfinite(values)
    peak = np.abs(values[finite]).max(initial=0.0)
    position = 0.5 + 0.5 * np.where(finite, values, 0.0) / (peak or 1.0)
    pixels = (matplotlib.colormaps[colours](position)[..., :3] * 255).round().astype(np.uint8)
    pixels[~finite] = _NOT_A_NUMBER
    return np.asarray(pixels)


def overlay(picture: np.ndarray, relevance: np.ndarray, colours: str = COLOURS) -> np.ndarray:
    """Lay a heatmap over a grey version of the picture, opaque where relevance is large.

    picture: uint8 (h, w, 3).  relevance: (c, h, w) or (h, w).
    """
    values = np.abs(pixel_relevance(np.asarray(relevance, np.float64)))
    finite = np.isfinite(values)
    peak = values[finite].max(initial=0.0) or 1.0
    opacity = np.where(finite, np.sqrt(np.where(finite, values, 0.0) / peak), 1.0)[..., None]
    grey = picture.mean(axis=2, keepdims=True) * 0.6 + 255 * 0.4
    mixed = grey * (1 - opacity) + render(relevance, colours) * opacity
    return np.asarray(np.clip(mixed.round(), 0, 255).astype(np.uint8))


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str],
    labels: Sequence[str] | None = None,
    side: int = 224,
) -> Image.Image:
    """Put pictures uint8 (h, w) or (h, w, 3) on a sheet, a title over each column, a label under each row.

    side: the pictures are scaled to this height, without smoothing where that enlarges them.
    """
    font = ImageFont.load_default(size=14)
    scaled = [[_scale(picture, side) for picture in row] for row in rows]
    widths = [max(row[i].width for row in scaled) for i in range(len(columns))]
    line = _CAPTION if labels else 0
    height = _CAPTION + 2 * _PAD + len(rows) * (side + line + _PAD)
    longest = max((font.getlength(label) for label in labels or ()), default=0.0)
    width = max(sum(widths) + _PAD * (len(widths) + 1), round(longest) + 2 * _PAD)
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for i, title in enumerate(columns):
        pen.text((_PAD + sum(widths[:i]) + _PAD * i, _PAD), title, fill="black", font=font)
    for number, row in enumerate(scaled):
        top = _CAPTION + 2 * _PAD + number * (side + line + _PAD)
        for i, picture in enumerate(row):
            sheet.paste(picture, (_PAD + sum(widths[:i]) + _PAD * i, top))
        if labels:
            pen.text((_PAD, top + side + 1), labels[number], fill="black", font=font)
    return sheet


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format that the name ends in. Raises LrpcError where it cannot be written."""
    try:
        with file_errors(path, "written"):
            picture.save(path)
    except ValueError as error:
        raise LrpcError(f"{path} cannot be written: {error}.", hint="Give a name that ends in .png.") from error


def _scale(picture: np.ndarray, side: int) -> Image.Image:
    image = Image.fromarray(picture).convert("RGB")
    filter_ = Image.Resampling.NEAREST if image.height < side else Image.Resampling.LANCZOS
    return image.resize((round(image.width * side / image.height), side), filter_)
