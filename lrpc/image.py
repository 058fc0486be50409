"""Pictures in, arrays out: what a model's input is, and how a picture is fitted and normalised."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lrpc.array_file import read_array
from lrpc.manifest import Manifest
from lrpc.picture_file import read_picture
from passes.errors import LrpcError

FITS = ("crop", "stretch", "exact")
INPUT_KEY, CLASSES_KEY = "lrpc.input", "lrpc.classes"


@dataclass(frozen=True)
class InputSpec:
    """What a model file tells of its input.

    shape: of one sample, (channels, height, width).  mean, std: one per channel, for values in
    [0, 1]; None where unknown.  classes: their names; None where unknown.
    """

    shape: tuple[int, ...]
    mean: list[float] | None = None
    std: list[float] | None = None
    classes: list[str] | None = None

    @property
    def low(self) -> list[float] | None:
        """The smallest value of each channel after normalisation, that of black."""
        return self._normalised(0.0)

    @property
    def high(self) -> list[float] | None:
        """The largest value of each channel after normalisation, that of white."""
        return self._normalised(1.0)

    def _normalised(self, value: float) -> list[float] | None:
        if self.mean is None or self.std is None:
            return None
        return [(value - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]

    def problem(self) -> str:
        """Return what of it no model can mean, "" if nothing is."""
        if not all(isinstance(size, int) and size > 0 for size in self.shape):
            return "its shape is not a list of sizes above 0"
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and not (isinstance(values, list) and all(map(_is_finite, values))):
                return f"its {name} is not a list of numbers"
            if values is not None and len(values) != (self.shape or (0,))[0]:
                return f"its {name} has {len(values)} numbers, not one for each channel"
        if self.std is not None and not all(value > 0 for value in self.std):
            return "its std is not above 0 everywhere"
        if self.classes is not None and not _are_names(self.classes):
            return f"the classes in {CLASSES_KEY} are not a list of names"
        return ""

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> InputSpec | None:
        """Read what `lrpc export` stored in a model's metadata; None where there is nothing."""
        if INPUT_KEY not in metadata:
            return None
        try:
            entry = json.loads(metadata[INPUT_KEY])
            classes = json.loads(metadata.get(CLASSES_KEY, "null"))
            spec = cls(tuple(entry["shape"]), entry.get("mean"), entry.get("std"), classes)
            reason = spec.problem()
        except KeyError as error:
            reason = f"it has no {error}"
        except (ValueError, TypeError, AttributeError, RecursionError):
            reason = 'it is not JSON such as {"shape": [3, 224, 224], "mean": [..], "std": [..]}'
        if reason:
            raise LrpcError(
                f"The model's metadata {INPUT_KEY} cannot be used: {reason}.",
                hint="Export the model again, or mend what the file tells of its input.",
            )
        return spec

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> InputSpec:
        """Take it from a bundle's manifest."""
        entry, classes = manifest.input, manifest.classes
        mean, std = (None if values is None else list(values) for values in (entry.mean, entry.std))
        return cls(tuple(entry.shape), mean, std, None if classes is None else list(classes))  # type: ignore[arg-type]

    def to_metadata(self) -> dict[str, str]:
        """Return the entries for a model's metadata."""
        entry = {"shape": list(self.shape), "mean": self.mean, "std": self.std}
        metadata = {INPUT_KEY: json.dumps(entry)}
        return metadata | ({CLASSES_KEY: json.dumps(self.classes)} if self.classes else {})


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
    pixels = np.asarray(_fitted(picture, spec, fit, path), np.float32) / 255
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    normalised: np.ndarray = ((planes - _channels(spec.mean)) / _channels(spec.std)).astype(np.float32)
    return normalised


def _fitted(picture: Image.Image, spec: InputSpec, fit: str, path: Path) -> Image.Image:
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


def _is_finite(value: object) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float(np.finfo(np.float32).max)
    )


def _are_names(classes: object) -> bool:
    return isinstance(classes, list) and all(isinstance(name, str) for name in classes)


def _channels(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None, None]
