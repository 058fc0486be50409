"""Model files: which damage a number stands for, and what a user runs on them."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz.absurd import ABSURD, absurd_base
from tests.fuzz.bases import model_bytes, model_proto
from tests.fuzz.bytewise import BYTEWISE
from tests.fuzz.case import Case
from tests.fuzz.structure import STRUCTURE
from tests.fuzz.worker import SAMPLE

MODEL = "model.onnx"
_WAYS = (*BYTEWISE * 2, *STRUCTURE, *ABSURD)
_TWICE = 0.25


def write(rng: random.Random, number: int, folder: Path) -> Case:
    """Write damaged model `number`; every way has its turn."""
    way = _WAYS[number % len(_WAYS)]
    if way in BYTEWISE:
        data = way(model_bytes(rng), rng)  # type: ignore[operator]
    else:
        proto = absurd_base(rng) if way in ABSURD else model_proto(rng)
        way(proto, rng)  # type: ignore[operator]
        if way in STRUCTURE and rng.random() < _TWICE and proto.graph.node:
            rng.choice(STRUCTURE)(proto, rng)
        data = proto.SerializeToString()
    (folder / MODEL).write_bytes(data)
    return Case(way.__name__, _commands(number))


def _commands(number: int) -> list[list[str]]:
    """A class is explained by half of the bundles; the other half take a seed, which any output has."""
    if number % 5 == 0:
        return [["plan", MODEL]]
    if number % 2:
        return [["compile", MODEL, "-o", "model.lrp", "--seed-input"]]
    return [["compile", MODEL, "-o", "model.lrp"], ["explain", "model.lrp", SAMPLE]]
