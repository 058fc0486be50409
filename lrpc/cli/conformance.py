"""lrpc conformance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrpc.cli.numbers import number
from lrpc.cli.options import PATH, bundle
from lrpc.cli.show import note, progress, table


@click.command("conformance", short_help="Run a bundle on every runtime that is installed, and compare.")
@bundle("BUNDLE.lrp|FILE.onnx")
@click.option("--tolerance", type=number(above=0), metavar="T", default=1e-4, show_default=True,
              help="How far from ONNX Runtime on the CPU is too far: a relative L2 distance.")  # fmt: skip
@click.option("--node-modules", type=PATH, default=Path("node_modules"), show_default=True,
              metavar="DIR", help="Where the JavaScript runtimes are installed.")  # fmt: skip
@click.option("--timeout", type=number(above=0), metavar="S", default=300.0, show_default=True,
              help="Seconds for each runtime.")  # fmt: skip
@click.option("--json", "json_file", type=PATH, metavar="FILE", help="Write the table as JSON.")
def conformance_command(
    bundle: Path, tolerance: float, node_modules: Path, timeout: float, json_file: Path | None
) -> None:
    """Run a bundle, or a single-file explain.onnx, on every runtime that is installed, and compare.

    The inputs are the same for all, drawn with a fixed seed; each runtime has a process of its own. Columns are
    relative L2 distances from ONNX Runtime on the CPU; the heatmap's is the share of its pixels within 1 of 255,
    and 99.9 % must be.
    A runtime that is not installed is listed with the command that installs it. Exit code 1: one disagrees.

    \b
    lrpc compile resnet50.onnx --target portable --single-file
    lrpc conformance resnet50.explain.onnx
    """
    from lrpc.inspect.conformance.conformance import conformance

    with progress(f"running {bundle.name}"):
        result = conformance(bundle, node_modules, tolerance, timeout)
    columns, rows = cells(result)
    table(columns, rows, right=range(2, len(columns) - 1))
    if json_file is not None:
        json_file.write_text(result.to_json() + "\n", encoding="utf-8")
        note(f"wrote {json_file}")
    if not result.passed:
        click.echo(f"FAILED: not every runtime is within {tolerance:g} of {result.rows[0].title}")
        raise click.exceptions.Exit(1)


def cells(result: Any) -> tuple[list[str], list[list[str]]]:
    """Return the table's columns and rows as text."""
    from lrpc.inspect.conformance.conformance import COMPARED

    heatmap = any(row.heatmap is not None for row in result.rows)
    columns = ["runtime", "version", *COMPARED, *(["heatmap"] if heatmap else []), f"ms for {result.batch}", ""]
    return columns, [_cells(row, result.tolerance, heatmap, COMPARED) for row in result.rows]


def _cells(row: Any, tolerance: float, heatmap: bool, compared: tuple[str, ...]) -> list[str]:
    if row.error:
        blank = [""] * (len(compared) + heatmap + 1)
        return [
            row.title,
            row.version,
            *blank,
            f"not installed: {row.install}" if row.install else f"FAILED: {row.error}",
        ]
    numbers = [f"{row.errors[key]:.1e}" for key in compared]
    share = [f"{100 * row.heatmap:.2f} %"] if heatmap else []
    verdict = "ok" if row.agrees(tolerance) else "DISAGREES"
    return [row.title, row.version, *numbers, *share, f"{1e3 * row.seconds:.1f}", verdict]
