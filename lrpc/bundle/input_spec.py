"""What a model's input is: its shape, and how a picture is normalised for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lrpc.bundle.manifest import Manifest
from passes.errors import LrpcError

INPUT_KEY, CLASSES_KEY = "lrpc.input", "lrpc.classes"
"""Where `lrpc export` leaves it in a model's metadata."""


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
        """Take it from a bundle's manifest. Raises LrpcError where that has no fixed size."""
        entry, classes = manifest.input, manifest.classes
        shape = tuple(size for size in entry.shape if size is not None)
        if len(shape) < len(entry.shape):
            raise LrpcError(
                f"The bundle takes samples of shape {entry.shape}; a size that is None is not fixed, and no picture "
                "can be fitted to it.",
                hint="Export the model with a fixed input size, or explain arrays in Python.",
            )
        mean, std = (None if values is None else list(values) for values in (entry.mean, entry.std))
        return cls(shape, mean, std, None if classes is None else list(classes))

    def to_metadata(self) -> dict[str, str]:
        """Return the entries for a model's metadata."""
        entry = {"shape": list(self.shape), "mean": self.mean, "std": self.std}
        metadata = {INPUT_KEY: json.dumps(entry)}
        return metadata | ({CLASSES_KEY: json.dumps(self.classes)} if self.classes else {})


def _is_finite(value: object) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float(np.finfo(np.float32).max)
    )


def _are_names(classes: object) -> bool:
    return isinstance(classes, list) and all(isinstance(name, str) for name in classes)
