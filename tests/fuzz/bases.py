"""Good models to damage: small networks of this repository, and what the onnx wheel brings for tests."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import onnx
import onnx.backend.test

from tests.graphs import small_resnet

_SHAPES = Path(__file__).parents[2] / "models/shapes/shapes.onnx"
_WHEEL = Path(onnx.backend.test.__file__).parent / "data"
_LARGEST = 60_000


@cache
def _own() -> tuple[bytes, ...]:
    models = (small_resnet(), small_resnet(batch=2), small_resnet(opset=11), small_resnet(metadata=None, opset=9))
    return tuple(model.SerializeToString() for model in models)


@cache
def _wheel() -> tuple[bytes, ...]:
    """The wheel's files, but those in `light`, which are full-size networks without their weights."""
    paths = sorted(path for path in _WHEEL.rglob("*.onnx") if path.parent.name != "light")
    return tuple(path.read_bytes() for path in paths if path.stat().st_size < _LARGEST)


def model_bytes(rng: random.Random) -> bytes:
    """Return a model file: half of them networks that lrpc compiles."""
    draw = rng.random()
    if draw < 0.02:
        return _SHAPES.read_bytes()
    return rng.choice(_own() if draw < 0.5 else _wheel())


def model_proto(rng: random.Random) -> onnx.ModelProto:
    """Return a model to edit."""
    return onnx.load_from_string(model_bytes(rng))
