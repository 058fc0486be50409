"""Explain a picture: python explain.py FILE.explain.onnx PICTURE HEATMAP.png [CLASS]."""

import sys

import numpy as np
import tract
from PIL import Image


def main(file: str, picture: str, heatmap: str, target: str = "-1") -> None:
    """Print the top class and the explanation's health, and write the heatmap; target -1 is the top class."""
    image = np.asarray(Image.open(picture).convert("RGB"))[None]
    model = tract.onnx().load(file).into_model().into_runnable()
    results = model.run([image, np.array([int(target)])])
    # In the file's order: the model's own output, relevance, health, heatmap.
    scores, _, health, pixels = (result.to_numpy()[0] for result in results)
    total, abs_total, spread, bad = health
    print(f"top class {scores.argmax()}, score {scores.max():.3f}")
    print(f"health: sum {total:.3f}, sum of |R| {abs_total:.3f}, range {spread:.1e}, not finite {bad:.0f}")
    Image.fromarray(pixels).save(heatmap)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: python explain.py FILE.explain.onnx PICTURE HEATMAP.png [CLASS]")
    main(*sys.argv[1:])
