"""lrpc trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from lrpc.cli.feeds import load_feeds
from lrpc.cli.options import (
    FEED,
    FIT,
    JSON,
    PATH,
    bundle,
    class_number,
    classes,
    execution_providers,
    npz,
    plot,
    provider,
)
from lrpc.cli.show import note, progress, table
from passes.loading.file_errors import file_errors


@click.command("trace", short_help="Show, layer by layer, where relevance grows.")
@bundle()
@click.argument("image", type=PATH, metavar="IMAGE")
@classes()
@plot("the trace on a logarithmic axis, as PNG or SVG")
@click.option("--layer", "layers", multiple=True, metavar="NAME",
              help="Store the relevance arriving at this layer too (with --npz). Repeatable.")  # fmt: skip
@npz("Where --layer stores: one array per layer, and `input`.")
@click.option("--graph", type=PATH,
              help="Write the traced graph itself, beside the bundle's weights.bin, to run it elsewhere.")  # fmt: skip
@provider()
@FIT
@FEED
@JSON
def trace_command(
    bundle: Path,
    image: Path,
    classes: str | None,
    plot: Path | None,
    layers: tuple[str, ...],
    npz: Path | None,
    graph: Path | None,
    provider: str,
    fit: str,
    feeds: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what happens to relevance on its way from the output down to the input.

    For each layer, of the relevance that arrives at its output: max - min, sum, and sum of |R|; then the
    layer's amplification (sum of |R| that it hands to its inputs over what arrived) and the smallest
    |denominator| that it divided by. "<--" marks the first layer at which relevance leaves the range that
    explanations are trusted in. All of it is computed inside the graph.

    \b
    lrpc trace resnet50.lrp dog.jpg --plot trace.png
    lrpc trace resnet50.lrp dog.jpg --layer layer3.5.add --npz hidden.npz
    """
    from lrpc.images.read import load_inputs
    from lrpc.inspect.diagnose.trace import Tracer

    if layers and npz is None:
        raise click.UsageError("--layer needs --npz FILE to store its relevance in.")
    tracer = Tracer(bundle, execution_providers(provider), layers)
    manifest = tracer.explainer.manifest
    batch, _ = load_inputs([image], manifest, fit)
    others = load_feeds(feeds, tracer.explainer.others, len(batch))
    with progress(f"tracing {image.name}"):
        trace = tracer(batch, class_number(classes, manifest.classes), others)
    for sample in range(len(batch)):
        click.echo(trace.to_json(sample)) if as_json else _print(trace, sample)
    if plot is not None:
        from lrpc.inspect.diagnose.trace_plot import plot_trace

        plot_trace({image.name: (trace.samples[0], float(trace.health.abs_sum[0]))}, plot)
        note(f"wrote {plot}")
    if npz is not None:
        arrays: dict[str, Any] = {"input": trace.relevance, **trace.hidden}
        with file_errors(npz, "written"):
            np.savez(npz, **arrays)
        note(f"wrote {npz}")
    if graph is not None:
        _write_graph(tracer, graph)


def _print(trace: Any, sample: int) -> None:
    rows: list[tuple[str, ...]] = [
        (
            str(row.index), row.layer, row.kind, row.rule, f"{row.range:.3g}", f"{row.sum:.3g}", f"{row.abs_sum:.3g}",
            f"{row.amplification:.3g}", "-" if row.denominator is None else f"{row.denominator:.2g}",
            "<--" if row.first_bad else "",
        )
        for row in trace.samples[sample]
    ]  # fmt: skip
    health: dict[str, float] = {key: float(getattr(trace.health, key)[sample]) for key in ("range", "sum", "abs_sum")}
    rows.append(("", "input", "", "", *(f"{value:.3g}" for value in health.values()), "", "", ""))
    columns = ("#", "layer", "kind", "rule", "max - min", "sum", "sum |R|", "amplification", "min |d|", "")
    table(columns, rows, right=(0, 4, 5, 6, 7, 8))
    bad = trace.first_bad(sample)
    click.echo("no layer goes wrong" if bad is None else f"the first layer to go wrong is {bad.layer} ({bad.rule})")


def _write_graph(tracer: Any, path: Path) -> None:
    """Write the traced graph where its weights are found, and nowhere else."""
    bundle = tracer.explainer.bundle
    folder = bundle.folder
    if bundle.separate and path.resolve().parent != folder.resolve():
        raise click.UsageError(f"--graph must lie beside the weights that it reads: {folder / path.name}.")
    with file_errors(path, "written"):
        path.write_bytes(tracer.graph().SerializeToString())
    note(f"wrote {path}")
