"""lrpc doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from lrpc.cli.feeds import load_or_draw_feeds
from lrpc.cli.options import (
    FEED,
    FIT,
    IMAGES,
    JSON,
    MODEL,
    PATH,
    RULES_EPILOG,
    class_number,
    classes,
    force,
    output,
    plot,
)
from lrpc.cli.plan_options import plan_arguments, plan_options
from lrpc.cli.show import note, steps, table
from passes.graph import sizes_of
from passes.loading.file_errors import file_errors


@click.command("doctor", epilog=RULES_EPILOG, short_help="Find the rules that make relevance explode, and better ones.")
@MODEL
@IMAGES
@plan_options
@classes("each top class")
@output("The cured composite. Default: MODEL.cured.toml. With --grid, the folder: MODEL.sweep.")
@click.option("--picture", type=PATH, help="Draw the heatmaps before and after.")
@plot("the traces before and after on a logarithmic axis")
@click.option("--grid", metavar="gamma=..,epsilon=..",
              help="Instead of a cure, explain at every combination: gamma=0,0.25,1,epsilon=1e-6,1e-3.")  # fmt: skip
@FIT
@FEED
@force("an existing file")
@JSON
def doctor_command(
    model: Path,
    images: tuple[Path, ...],
    classes: str | None,
    output: Path | None,
    picture: Path | None,
    plot: Path | None,
    grid: str | None,
    fit: str,
    feeds: tuple[str, ...],
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the layers that amplify relevance on some pictures, and the mildest rules that stop it.

    Traces the pictures, gives the layers that amplify most another rule (general Gamma for plain, a bias-free
    gate, a larger stabilizer, a sum split by absolute value), and goes on until the sum of |R| is of the seed's
    size and the heatmap ranks pixels as general Gamma does. Layers that are healthy keep their rules. The
    more pictures it sees, the more they stand for others. Writes a composite for `lrpc compile --composite`.
    Exits with 1 where no cure was found.

    \b
    lrpc doctor resnet50.onnx dog.jpg cat.jpg --rule '*conv*=gamma-plain'
    lrpc compile resnet50.onnx --composite resnet50.cured.toml
    lrpc doctor resnet50.onnx dog.jpg --grid gamma=0,0.25,1,4,epsilon=1e-6,1e-3,1
    """
    import lrpc
    from lrpc.bundle.input_spec import InputSpec
    from lrpc.compiler import chosen_composite
    from lrpc.composites.composite import Composite, Entry
    from lrpc.images.read import load_images
    from lrpc.plan.inputs import input_spec, others_in

    arguments = plan_arguments(**options)
    plan = lrpc.plan_model(model, **arguments)
    spec = input_spec(plan.graph)
    if spec is None:
        spec = InputSpec(tuple(sizes_of(plan.graph.inputs[0], 1)))
    x, pictures = load_images(images, spec, fit)
    seed_class = class_number(classes, spec.classes)
    others = load_or_draw_feeds(feeds, others_in(plan.graph), len(x))
    if grid is not None:
        _sweep(plan, x, others, pictures, seed_class, grid, output or model.with_suffix(".sweep"))
        return
    path = output or model.with_suffix(".cured.toml")
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists already; replace it with --force, or choose another name with -o.")
    from lrpc.composites.toml import composite_to_toml
    from lrpc.inspect.diagnose.doctor import diagnose

    with steps(f"tracing {len(x)} pictures") as report:
        found = diagnose(plan, x, seed_class, report, others)
    composite, rules = chosen_composite(arguments["composite"], plan.graph), arguments["rules"]
    base = Composite(composite.name, (*(Entry(rule, pattern=p) for p, rule in rules), *composite.entries))
    if found.changes and found.cured:
        with file_errors(path, "written"):
            path.write_text(composite_to_toml(found.composite(base, f"{composite.name}_cured")), encoding="utf-8")
    _print_json(found, path) if as_json else _print(found, path, model)
    if picture is not None:
        _draw(found, pictures, picture)
    if plot is not None:
        _plot(found, plot)
    if not found.cured:
        raise click.exceptions.Exit(1)


def _print(found: Any, path: Path, model: Path) -> None:
    from lrpc.inspect.diagnose.doctor import summary

    if not found.changes:
        click.echo(f"healthy: sum of |R| per unit of seed {summary(found.before)}; nothing to change")
        return
    rows = [
        (c.layer, str(c.before), f"{c.amplification[0]:.3g}", str(c.after), f"{c.amplification[1]:.3g}")
        for c in found.changes
    ]
    table(("layer", "rule", "amplified", "new rule", "amplifies"), rows, right=(2, 4))
    click.echo(f"{len(found.changes)} of {len(found.plan.rows)} layers changed")
    pairs = zip(("before", "after"), (found.before, found.after), found.agreement, strict=True)
    for when, trace, agreement in pairs:
        size = f"sum of |R| per unit of seed {summary(trace)}"
        click.echo(f"{when + ':':7} {size}; rank correlation with general Gamma {agreement:.2f}")
    if found.cured:
        entry = f" --input {found.plan.graph.inputs[0].name}" if found.plan.destination else ""
        click.echo(f"wrote {path}; use it: lrpc compile {model}{entry} --composite {path}")
    else:
        click.echo("no cure found; --composite bounded cannot explode")


def _print_json(found: Any, path: Path) -> None:
    changes = [
        {"layer": c.layer, "before": str(c.before), "after": str(c.after), "amplification": list(c.amplification)}
        for c in found.changes
    ]
    sizes = {"before": found.before.health.abs_sum.tolist(), "after": found.after.health.abs_sum.tolist()}
    written = str(path) if found.changes and found.cured else None
    click.echo(json.dumps({"cured": found.cured, "changes": changes, "abs_sum": sizes,
                           "agreement": found.agreement, "composite": written}))  # fmt: skip


def _draw(found: Any, pictures: list[np.ndarray], path: Path) -> None:
    from lrpc.images.colour import contact_sheet, render, save_picture

    rows = [
        [picture, render(before), render(after)]
        for picture, before, after in zip(pictures, found.before.relevance, found.after.relevance, strict=True)
    ]
    sizes = zip(found.before.health.abs_sum, found.after.health.abs_sum, strict=True)
    labels = [f"sum of |R|: {before:.3g} before, {after:.3g} after" for before, after in sizes]
    save_picture(contact_sheet(rows, ("picture", "before", "after"), labels), path)
    note(f"wrote {path}")


def _plot(found: Any, path: Path) -> None:
    from lrpc.inspect.diagnose.trace_plot import plot_trace

    worst = int(np.nan_to_num(found.before.health.abs_sum, nan=np.inf).argmax())
    traces = {"before": found.before, "after": found.after}
    plot_trace({k: (t.samples[worst], float(t.health.abs_sum[worst])) for k, t in traces.items()}, path)
    note(f"wrote {path}")


def _sweep(
    plan: Any,
    x: np.ndarray,
    others: dict[str, np.ndarray],
    pictures: list[np.ndarray],
    seed_class: int | None,
    text: str,
    folder: Path,
) -> None:
    """Explain at every point of the grid, and put all heatmaps on one sheet: a row for each point."""
    from lrpc.compiler import compile_plan
    from lrpc.images.colour import contact_sheet, render, save_picture
    from lrpc.inspect.diagnose.sweep import parse_grid, sweep

    try:
        grid = parse_grid(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--grid") from error
    points = []
    with steps(f"sweeping {' x '.join(str(len(values)) for values in grid.values())} points") as report:
        for point in sweep(compile_plan(plan), x, seed_class, grid, folder, others):
            points.append(point)
            report(f"{point.label}: sum of |R| up to {np.nanmax(point.abs_sum):.3g}")
    rows = [
        (point.label, f"{np.median(point.abs_sum):.3g}", f"{point.abs_sum.max():.3g}",
         "trusted" if not any(point.alarms) else f"{sum(map(bool, point.alarms))} of {len(x)} not to be trusted")
        for point in points
    ]  # fmt: skip
    table(("point", "median sum |R|", "largest", ""), rows, right=(1, 2))
    sheet = [list(pictures), *([render(relevance) for relevance in point.relevance] for point in points)]
    labels = [""] + [f"{label}: sum |R| {size}{'' if end == 'trusted' else ' (!)'}" for label, _, size, end in rows]
    place, side = folder / "sheet.png", min(160, 2 * pictures[0].shape[0])
    save_picture(contact_sheet(sheet, [f"picture {i}" for i in range(len(x))], labels, side), place)
    click.echo(f"wrote {place}")
