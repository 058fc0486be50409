"""Edited bundles: one field of a manifest dropped or replaced, or one file of the folder damaged."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Place = tuple[str | int, ...]
Edit = Callable[[Path], None]

VALUES: dict[str, Any] = {
    "null": None, "true": True, "minus one": -1, "zero": 0, "half": 0.5, "huge": 10**30, "text": "abc", "no text": "",
    "long text": "x" * 5000, "list": [], "list of lists": [[]], "list of null": [None], "object": {},
}  # fmt: skip
"""What stands in a field that was edited."""
FILES = ("forward.onnx", "relevance.onnx", "explain.onnx", "weights.bin")


def fields(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place of a JSON value, of long lists the first entries only."""
    yield place
    if isinstance(value, dict):
        for key, part in value.items():
            yield from fields(part, (*place, key))
    if isinstance(value, list):
        for index, part in enumerate(value[:2]):
            yield from fields(part, (*place, index))


def edited(manifest: dict[str, Any], place: Place, value: Any) -> Any:
    """A copy with another value in one place; `...` drops it."""
    if not place:
        return {} if value is ... else value
    changed = copy.deepcopy(manifest)
    holder: Any = changed
    for step in place[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return changed


def manifest_edits(manifest: dict[str, Any]) -> dict[str, str]:
    """The texts of all manifests with one edited field, by what was edited."""
    found = {}
    for place in fields(manifest):
        name = ".".join(map(str, place)) or "all of it"
        for what, value in {"dropped": ..., **VALUES}.items():
            found[f"{name}: {what}"] = json.dumps(edited(manifest, place, value))
    return found


def flip(name: str, at: float) -> Edit:
    """Change one byte of a file; at: where, from 0 to 1."""

    def change(bundle: Path) -> None:
        data = bytearray((bundle / name).read_bytes())
        data[int(at * (len(data) - 1))] ^= 0x55
        (bundle / name).write_bytes(data)

    return change


def cut(name: str, at: float) -> Edit:
    """Keep the beginning of a file only."""

    def change(bundle: Path) -> None:
        data = (bundle / name).read_bytes()
        (bundle / name).write_bytes(data[: int(at * len(data))])

    return change


def missing(name: str) -> Edit:
    return lambda bundle: (bundle / name).unlink()


def folder_instead(name: str) -> Edit:
    def change(bundle: Path) -> None:
        (bundle / name).unlink()
        (bundle / name).mkdir()

    return change


def swapped(one: str, other: str) -> Edit:
    def change(bundle: Path) -> None:
        data = (bundle / one).read_bytes()
        shutil.copyfile(bundle / other, bundle / one)
        (bundle / other).write_bytes(data)

    return change


def file_edits(count: int, seed: int = 0) -> dict[str, Edit]:
    """Damages of the files: one of each kind, and as many random ones."""
    rng = np.random.default_rng(seed)
    found: dict[str, Edit] = {f"{a} and {b} swapped": swapped(a, b) for a in FILES for b in FILES if a < b}
    for name in (*FILES, "manifest.json"):
        found |= {
            f"{name} missing": missing(name),
            f"{name} a folder": folder_instead(name),
            f"{name} empty": cut(name, 0),
        }
    for number in range(count):
        name, at = (*FILES, "manifest.json")[int(rng.integers(5))], float(rng.random())
        what, edit = (("flipped", flip), ("cut", cut))[int(rng.integers(2))]
        found[f"{name} {what} at {at:.3f} ({number})"] = edit(name, at)
    return found
