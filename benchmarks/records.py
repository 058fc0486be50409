"""The runs that docs/benchmarks.md is made from: JSON files in results/, one for each machine and kind of run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def slug(machine: Mapping[str, Any]) -> str:
    """Return a file name for a machine, from its processor or GPU and its threads."""
    place = f"{machine.get('gpu') or machine['processor']} {machine['threads']} threads"
    return re.sub(r"[^a-z0-9]+", "-", place.lower()).strip("-")


def store(kind: str, machine: Mapping[str, Any], key: str, content: Any, folder: Path = FOLDER) -> Path:
    """Put one part of a run into its machine's file, in the place of an older one of the same key.

    kind: "explain" or "compile".
    """
    path = folder / f"{slug(machine)}.{kind}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**stored, key: content}, indent=1) + "\n", encoding="utf-8")
    return path


def stored(kind: str, folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Return the parts of every machine's run, by the machine's slug."""
    files = sorted(folder.glob(f"*.{kind}.json"))
    return {file.name.removesuffix(f".{kind}.json"): json.loads(file.read_text(encoding="utf-8")) for file in files}
