"""A trace as a picture: magnitude by layer, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import LrpcError
from passes.loading.file_errors import file_errors

if TYPE_CHECKING:
    from lrpc.inspect.diagnose.trace import Row

_MOST_LABELS = 40


def plot_trace(traces: Mapping[str, tuple[Sequence[Row], float]], path: Path) -> None:
    """Draw the sum of |R| arriving at each layer, from the output (left) to the input (right).

    traces: by name the rows, all of one model, and the sum of |R| at the input; the layer that goes wrong
    first is marked in each.
    Raises LrpcError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows, _ = next(iter(traces.values()))
    layers = [*(row.layer for row in rows), "input"]
    figure = Figure(figsize=(min(20.0, 4 + 0.16 * len(rows)), 5.5), layout="constrained")
    axes = figure.add_subplot()
    for name, (entries, end) in traces.items():
        (line,) = axes.plot([_on_axis(row.abs_sum) for row in entries] + [_on_axis(end)], label=name, linewidth=1.5)
        bad = [(i, row) for i, row in enumerate(entries) if row.first_bad]
        for i, row in bad:
            axes.plot(i, _on_axis(row.abs_sum), "v", color=line.get_color(), markersize=9)
            axes.annotate(row.layer, (i, _on_axis(row.abs_sum)), xytext=(4, 8), textcoords="offset points", fontsize=8)
    axes.set_yscale("log")
    axes.axhspan(0.01, 10, color="0.9", zorder=0, label="trusted at the input")
    ticks = list(range(len(rows), -1, -max(1, len(layers) // _MOST_LABELS)))[::-1]
    axes.set_xticks(ticks, [layers[i] for i in ticks], rotation=90, fontsize=7)
    axes.set_ylabel("sum of |R| per unit of seed")
    axes.set_xlabel("layer, from the output to the input")
    axes.legend(loc="upper left")
    axes.grid(axis="y", alpha=0.4)
    try:
        with file_errors(path, "written"):
            figure.savefig(path, dpi=110)
    except ValueError as error:
        raise LrpcError(f"{path} cannot be written: {error}", hint="Give a name that ends in .png or .svg.") from error


def _on_axis(value: float) -> float:
    """Return a number that a logarithmic axis can show; NaN leaves a gap."""
    return value if np.isfinite(value) and value > 0 else float("nan")
