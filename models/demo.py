"""The main job from end to end: `make demo`, or `python -m models.demo`.

Exports ResNet-50, compiles it, validates one picture against zennit, then explains three pictures with
the trained shapes network and writes a contact sheet.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

import lrpc
from lrpc.bundle.input_spec import InputSpec
from lrpc.images.colour import contact_sheet, overlay, render
from lrpc.images.read import load_images

DEMO = Path("demo")
SHAPES = Path("models/shapes")
SAMPLES = ("star", "arrow", "heart")


def main() -> int:
    """Run every step; return the exit code."""
    started = time.time()
    DEMO.mkdir(exist_ok=True)
    model, bundle = DEMO / "resnet50.onnx", DEMO / "resnet50.lrp"
    weights = _export(model)
    _lrpc("compile", model, "-o", bundle, "--force", "-v")
    torch_model = ("--torch", "torchvision:resnet50", "--weights", weights)
    picture = ("--image", SHAPES / "samples/star.png")
    if _lrpc("validate", model, "--reference", "zennit", *torch_model, *picture) != 0:
        print("lrpc and zennit disagree", file=sys.stderr)
        return 1
    _lrpc("compile", SHAPES / "shapes.onnx", "-o", DEMO / "shapes.lrp", "--force")
    pictures = [SHAPES / f"samples/{name}.png" for name in SAMPLES]
    _lrpc("explain", DEMO / "shapes.lrp", *pictures, "-o", DEMO / "explained.png")
    _contact_sheet()
    print(f"""
ResNet-50 ({"pretrained" if weights == "DEFAULT" else "random weights: the download did not work"})
  model          {model}
  bundle         {bundle}
Shapes network (trained)
  bundle         {DEMO / "shapes.lrp"}
  contact sheet  {DEMO / "heatmaps.png"}
done in {time.time() - started:.0f} s""")
    return 0


def _export(model: Path) -> str:
    """Export pretrained weights if they can be downloaded, else random ones; return which."""
    for weights in ("DEFAULT", "none"):
        options = ("-o", model, "--force", "--weights", weights)
        if _lrpc("export", "torchvision:resnet50", *options) == 0:
            return weights
        print("The pretrained weights cannot be had here: going on with random ones.\n")
    raise SystemExit("ResNet-50 could not be exported.")


def _lrpc(*arguments: object) -> int:
    """Run an lrpc command as a user would, and show it."""
    words = [str(argument) for argument in arguments]
    print("$ lrpc " + " ".join(words), flush=True)
    code = subprocess.run([sys.executable, "-m", "lrpc", *words], check=False).returncode
    print(flush=True)
    return code


def _contact_sheet() -> None:
    """Write demo/heatmaps.png: each picture, its heatmap, both, and the object's true mask."""
    explainer = lrpc.Explainer(DEMO / "shapes.lrp")
    spec = InputSpec.from_manifest(explainer.manifest)
    batch, pictures = load_images([SHAPES / f"samples/{name}.png" for name in SAMPLES], spec)
    result = explainer(batch)
    classes = spec.classes or []
    rows, labels = [], []
    for name, picture, relevance, scores in zip(SAMPLES, pictures, result.relevance, result.output, strict=True):
        mask = np.asarray(Image.open(SHAPES / f"samples/{name}.mask.png"))
        rows.append([picture, render(relevance), overlay(picture, relevance), mask])
        inside = np.clip(relevance.sum(axis=0), 0, None)
        share = inside[mask > 127].sum() / inside.sum()
        labels.append(f"classified as {classes[scores.argmax()]}; {share:.0%} of positive relevance on the object")
    contact_sheet(rows, ("picture", "relevance", "overlay", "mask"), labels).save(DEMO / "heatmaps.png")


if __name__ == "__main__":
    sys.exit(main())
