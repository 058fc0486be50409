"""What tests read of files that were written: read whole, and closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def read_image(path: str | Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file by name."""
    with np.load(path) as stored:
        return dict(stored)
