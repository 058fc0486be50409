"""Pictures in, arrays out: how a picture is fitted and normalised for a model's input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lrpc.bundle.input_spec import InputSpec
from lrpc.bundle.manifest import Manifest
from lrpc.images.array_file import read_array
from lrpc.images.picture_file import read_picture
from passes.errors import LrpcError

FITS = ("crop", "stretch", "exact")


def load_images(paths: Sequence[str | Path], spec: InputSpec, fit: str = "crop") -> tuple[np.ndarray, list[np.ndarray]]:
    """Load pictures, or .npy arrays, as a model's input.

    fit: "crop" scales the shorter side and cuts out the centre, "stretch" scales both sides,
    "exact" takes pictures of the right size only.  An .npy file holds normalised samples,
    (c, h, w) or (n, c, h, w).
    Returns the batch float32 (n, c, h, w) and for each sample a picture uint8 (h, w, 3) to show.
    Raises LrpcError naming the file.
    """
    batches, pictures = [], []
    for path in map(Path, paths):
        batch = _load_array(path, spec) if path.suffix == ".npy" else _load_picture(path, spec, fit)[None]
        batches.append(batch)
        pictures += [to_picture(sample, spec) for sample in batch]
    return np.concatenate(batches), pictures


def load_inputs(
    paths: Sequence[str | Path], manifest: Manifest, fit: str = "crop"
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Load pictures as a bundle's explain.onnx takes them; parameters and errors are those of `load_images`.

    Returns the batch of `load_images`, or for a file compiled with --preprocess, which takes no .npy arrays, pictures
    uint8 (n, h, w, 3); and for each sample a picture to show.
    """
    spec = InputSpec.from_manifest(manifest)
    if manifest.picture is None:
        return load_images(paths, spec, fit)
    if arrays := [str(path) for path in paths if Path(path).suffix == ".npy"]:
        raise LrpcError(
            f"{arrays[0]} holds normalised samples; this file takes pictures, and normalises them itself.",
            hint="Give pictures, or compile the model without --preprocess.",
        )
    pictures = load_images(paths, spec, fit)[1]
    return np.stack(pictures), pictures


def to_picture(sample: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Undo the normalisation of one sample (c, h, w): uint8 (h, w, 3)."""
    if sample.ndim != 3:
        raise LrpcError(
            f"The model takes samples of shape {sample.shape}, which no picture shows.",
            hint="Explain it in Python: lrpc.Explainer takes and returns arrays.",
        )
    if spec.mean is not None and spec.std is not None:
        values = sample * _channels(spec.std) + _channels(spec.mean)
    else:
        low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
        values = (sample - low) / (high - low or 1.0)
    pixels = np.clip(np.rint(np.nan_to_num(values) * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]


def _load_picture(path: Path, spec: InputSpec, fit: str) -> np.ndarray:
    if len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise LrpcError(
            f"The model takes samples of shape {spec.shape}, which no picture has.",
            hint="Give an .npy file with samples of that shape.",
        )
    if spec.mean is None or spec.std is None:
        raise LrpcError(
            "The model does not tell how pictures are normalised (mean and std).",
            hint="Export it with `lrpc export ... --mean M --std S`, or give an .npy file of normalised samples.",
        )
    picture = read_picture(path, "L" if spec.shape[0] == 1 else "RGB")
    pixels = np.asarray(_fit(picture, spec, fit, path), np.float32) / 255
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    normalised: np.ndarray = ((planes - _channels(spec.mean)) / _channels(spec.std)).astype(np.float32)
    return normalised


def _fit(picture: Image.Image, spec: InputSpec, fit: str, path: Path) -> Image.Image:
    height, width = spec.shape[1:]
    if picture.size == (width, height):
        return picture
    if fit == "exact":
        raise LrpcError(
            f"{path} is {picture.width} x {picture.height} pixels; the model takes {width} x {height}.",
            hint="Let it be fitted with --fit crop or --fit stretch.",
        )
    if fit == "stretch":
        return picture.resize((width, height), Image.Resampling.BICUBIC)
    return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)


def _load_array(path: Path, spec: InputSpec) -> np.ndarray:
    array = read_array(path)
    batch = array[None] if array.ndim == len(spec.shape) else array
    if batch.shape[1:] != tuple(spec.shape) or batch.dtype.kind not in "fiu" or not len(batch):
        raise LrpcError(f"{path} holds {array.dtype} of shape {array.shape}; the model takes {('n', *spec.shape)}.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and health counts it
        samples: np.ndarray = np.array(batch, np.float32)
    return samples


def _channels(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None, None]
