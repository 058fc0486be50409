"""Explain a picture: python explain.py FILE.explain.onnx PICTURE HEATMAP.png [CLASS]."""

import sys

import numpy as np
import openvino
from PIL import Image

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
"""Without these OpenVINO computes in bfloat16 where the processor has it: too coarse for relevance."""


def main(file: str, picture: str, heatmap: str, target: str = "-1") -> None:
    """Print the top class and the explanation's health, and write the heatmap; target -1 is the top class."""
    image = np.asarray(Image.open(picture).convert("RGB"))[None]
    model = openvino.Core().compile_model(file, "CPU", EXACT)
    results = model({"image": image, "target": np.array([int(target)])})
    (scores,) = results[0]  # the model's own output comes first
    (total, abs_total, spread, bad) = results[model.output("health")][0]
    print(f"top class {scores.argmax()}, score {scores.max():.3f}")
    print(f"health: sum {total:.3f}, sum of |R| {abs_total:.3f}, range {spread:.1e}, not finite {bad:.0f}")
    Image.fromarray(results[model.output("heatmap")][0]).save(heatmap)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: python explain.py FILE.explain.onnx PICTURE HEATMAP.png [CLASS]")
    main(*sys.argv[1:])
