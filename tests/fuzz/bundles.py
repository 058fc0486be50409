"""Bundles to damage: one field of the manifest edited, or one file of the folder."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

import lrpc
from tests.edits import file_edits, manifest_edits
from tests.fuzz.case import Case
from tests.graphs import picture, small_resnet

_BUNDLE = "model.lrp"
_COMMANDS = [
    ["explain", _BUNDLE, "sample.npy", "-o", "heatmap.png"],
    ["trace", _BUNDLE, "sample.npy"],
    ["package", _BUNDLE, "--triton", "repository"],
]
_DAMAGED_FILES = 250


@cache
def _original() -> Path:
    return lrpc.compile(small_resnet()).save(Path(tempfile.mkdtemp(prefix="lrpc-fuzz-bundle-")) / _BUNDLE)


@cache
def _manifests() -> list[tuple[str, str]]:
    return list(manifest_edits(json.loads((_original() / "manifest.json").read_text())).items())


def write(rng: random.Random, number: int, folder: Path) -> Case:
    """Write bundle `number`: first every edit of a field, in order, then damaged files."""
    bundle = shutil.copytree(_original(), folder / _BUNDLE)
    np.save(folder / "sample.npy", picture(1))
    if number < len(_manifests()):
        what, text = _manifests()[number]
        (bundle / "manifest.json").write_text(text, encoding="utf-8")
        return Case(f"manifest, {what.rpartition(': ')[2]}", _COMMANDS)
    what, damage = rng.choice(list(file_edits(_DAMAGED_FILES, seed=number).items()))
    damage(bundle)
    return Case("a file " + what.split(" ", 1)[1].split(" at ")[0], _COMMANDS)
