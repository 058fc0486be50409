"""Write the sample pictures: `python -m models.shapes.samples`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lrpc.images.colour import contact_sheet
from models.shapes.dataset import CLASSES, draw
from models.shapes.network import shapes_resnet
from models.shapes.train import TEST_SEED, normalised

FOLDER = Path(__file__).parent / "samples"
SAVED = ("star", "arrow", "heart", "cross", "crescent", "pentagon")


def main() -> None:
    """Save one confidently classified test picture and mask for each class in `SAVED`, and a sheet of all ten."""
    network = shapes_resnet()
    network.load_state_dict(torch.load(Path(__file__).parent / "shapes.pt", weights_only=True))
    chosen = _first_of_each(network.eval())
    FOLDER.mkdir(exist_ok=True)
    for name in SAVED:
        image, mask = chosen[name]
        Image.fromarray(image).save(FOLDER / f"{name}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(FOLDER / f"{name}.mask.png")
    pictures = [chosen[name][0] for name in CLASSES]
    outlined = [_outlined(*chosen[name]) for name in CLASSES]
    contact_sheet([pictures, outlined], CLASSES, side=128).save(FOLDER.parent / "samples.png")


def _first_of_each(network: torch.nn.Module) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    chosen: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    index = 0
    while len(chosen) < len(CLASSES):
        image, mask, label = draw(TEST_SEED, index)
        index += 1
        if CLASSES[label] in chosen:
            continue
        with torch.no_grad():
            confidence = network(normalised(image[None])).softmax(dim=1)[0, label]
        if confidence > 0.9:
            chosen[CLASSES[label]] = (image, mask)
    return chosen


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mark the mask's border in white on a darkened picture."""
    inner = mask.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    marked = np.where(mask[..., None], image, image // 3)
    marked[mask & ~inner] = 255
    return marked


if __name__ == "__main__":
    main()
