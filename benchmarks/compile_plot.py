"""Compile time against depth as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plot_chains(runs: Mapping[str, Any], path: Path) -> None:
    """Draw one curve for each level and kind of chain, each with the straight line through its longest chain.

    runs: what `benchmarks.compile_time` stored, by level.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for level, content in runs.items():
        for kind, curve in content["chains"].items():
            layers, seconds = zip(*curve, strict=True)
            (line,) = axes.plot(layers, seconds, "o", label=f"{kind}, {level}")
            axes.plot([0, layers[-1]], [0, seconds[-1]], "--", color=line.get_color(), linewidth=1)
    axes.set_xlabel("layers")
    axes.set_ylabel("seconds to compile and save")
    axes.legend()
    axes.grid(alpha=0.4)
    figure.savefig(path, dpi=110)
