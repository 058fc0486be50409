"""Explain a picture on a Triton server: the client that README.md describes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
from PIL import Image, ImageOps, UnidentifiedImageError
from tritonclient.utils import InferenceServerException

REMEDY = "Package it from `lrpc compile MODEL.onnx --single-file --preprocess --heatmap`."
TOP = 3


class ClientError(Exception):
    """What is wrong and what to do, in one line."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the model's name on the server")
    parser.add_argument("picture", type=Path)
    parser.add_argument("heatmap", type=Path, help="where the heatmap goes, such as heatmap.png")
    parser.add_argument("--class", dest="target", type=int, default=-1, help="its number; the top class without it")
    parser.add_argument("--url", default="localhost:8000", help="HOST:PORT of the server's HTTP port (%(default)s)")
    return parser.parse_args()


def picture_size(config: dict[str, Any]) -> tuple[int, int]:
    """Return the (width, height) that the model takes; -1 is any size."""
    dims = {tensor["name"]: tensor["dims"] for side in ("input", "output") for tensor in config[side]}
    missing = {"image", "target", "heatmap"} - set(dims)
    if missing:
        raise ClientError(f"{config['name']} explains no pictures: it has no {', '.join(sorted(missing))}. {REMEDY}")
    height, width = (int(size) for size in dims["image"][-3:-1])
    return width, height


def read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read any picture as uint8 (height, width, 3), scaled and cut to `size` unless that is any."""
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ClientError(f"{path} is no picture that Pillow can read: {error}.") from error
    return np.asarray(picture if -1 in size else ImageOps.fit(picture, size))


def explain(client: triton.InferenceServerClient, config: dict[str, Any], picture: np.ndarray, target: int) -> Any:
    """Ask the server for a picture's scores with labels, its health and its heatmap."""
    # Triton joins requests along the first dimension: there, a class is a row. Where the batch is fixed, it is none.
    classes = np.full((1, 1) if config["max_batch_size"] else (1,), target, np.int64)
    inputs = [
        triton.InferInput("image", (1, *picture.shape), "UINT8"),
        triton.InferInput("target", classes.shape, "INT64"),
    ]
    inputs[0].set_data_from_numpy(picture[None])
    inputs[1].set_data_from_numpy(classes)
    # The model's own output comes first, whatever its name.
    scores = triton.InferRequestedOutput(config["output"][0]["name"], class_count=TOP)
    others = [triton.InferRequestedOutput(name) for name in ("health", "heatmap")]
    return client.infer(config["name"], inputs, outputs=[scores, *others])


def main() -> int:
    """Explain one picture; return 0, 1 where the relevance is not finite, 2 for bad input or no server."""
    options = arguments()
    try:
        with triton.InferenceServerClient(options.url) as client:
            config = client.get_model_config(options.model)
            picture = read_picture(options.picture, picture_size(config))
            result = explain(client, config, picture, options.target)
    except ClientError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except (InferenceServerException, OSError) as error:
        print(f"Error: {options.url} does not explain {options.model}: {error}.", file=sys.stderr)
        return 2
    for entry in result.as_numpy(config["output"][0]["name"]).reshape(-1):
        score, number, *label = entry.decode().split(":", 2)
        print(f"class {number}  score {float(score):.3f}  {''.join(label)}".rstrip())
    total, size, spread, bad = result.as_numpy("health")[0]
    print(f"relevance: sum {total:.3g}, sum of |R| {size:.3g}, max - min {spread:.3g}, non-finite {bad:.0f}")
    if bad or not np.isfinite([total, size, spread]).all():
        print("Error: the relevance is not finite. Is the class one of the model's?", file=sys.stderr)
        return 1
    Image.fromarray(result.as_numpy("heatmap")[0]).save(options.heatmap)
    print(f"wrote {options.heatmap}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
