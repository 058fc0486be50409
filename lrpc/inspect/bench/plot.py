"""A bench as a picture: milliseconds per image of each contestant, by batch size, a panel for each composite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from passes.errors import LrpcError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrpc.inspect.bench.result import Bench, Result

_COLOURS = {"forward": "0.6", "gradient": "0.35", "zennit": "tab:red", "lrpc -O0": "tab:cyan", "lrpc -O1": "tab:blue"}


def plot_bench(bench: Bench, path: Path) -> None:
    """Draw it. Raises LrpcError where the file cannot be written."""
    from matplotlib.figure import Figure

    count = len(bench.results)
    batches = max(len(result.timings) for result in bench.results)
    figure = Figure(figsize=(1.5 + (1.5 + 1.3 * batches) * count, 4), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    for axes, result in zip(panels, bench.results, strict=True):
        _panel(axes, result)
    panels[0].set_ylabel("ms per image")
    panels[0].legend(fontsize=8)
    place = bench.machine.get("gpu") or bench.machine["processor"]
    figure.suptitle(f"{bench.model} on {place}, {bench.machine['threads']} CPU threads", fontsize=10)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise LrpcError(f"{path} cannot be written: {error}", hint="Give a name that ends in .png or .svg.") from error


def _panel(axes: Axes, result: Result) -> None:
    names = list(result.timings[0].seconds)
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        places = [i + (index - (len(names) - 1) / 2) * width for i in range(len(result.timings))]
        heights = [1e3 * timing.seconds[name] / timing.batch for timing in result.timings]
        bars = axes.bar(places, heights, width, label=name, color=_COLOURS.get(name))
        axes.bar_label(bars, labels=[_digits(bar.get_height()) for bar in bars], fontsize=7)
    axes.set_xticks(range(len(result.timings)), [f"batch {timing.batch}" for timing in result.timings])
    axes.set_title(result.composite.replace("_", "-"), fontsize=10)
    axes.grid(axis="y", alpha=0.4)
    axes.set_axisbelow(True)


def _digits(value: float) -> str:
    """Write a time with three digits, none of them as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
