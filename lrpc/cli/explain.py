"""lrpc explain."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from lrpc.cli.feeds import load_feeds
from lrpc.cli.numbers import named_number
from lrpc.cli.options import (
    FEED,
    FIT,
    IMAGES,
    JSON,
    bundle,
    class_number,
    classes,
    execution_providers,
    npz,
    output,
    provider,
)
from lrpc.cli.show import note, progress
from passes.errors import LrpcError
from passes.loading.file_errors import file_errors

_TOP = 5


@click.command("explain", short_help="Explain pictures: heatmaps, top classes, health.")
@bundle()
@IMAGES
@output("Where the picture goes. Default: IMAGE.heatmap.png.", "--output")
@classes()
@provider()
@click.option("--max-batch", type=click.IntRange(min=1), metavar="N",
              help="Run at most N samples at once, for small memory.")  # fmt: skip
@click.option("--tf32", is_flag=True, help="On CUDA: faster convolutions, relevance agrees to about 3 digits.")
@npz("Also store input, output, relevance and health here.")
@FIT
@click.option("--tune", type=named_number, multiple=True, metavar="NAME=VALUE",
              help="Set an input of a bundle compiled with --tunable, as in gamma.gamma=0.5. Repeatable.")  # fmt: skip
@FEED
@click.option("--strict", is_flag=True, help="Exit with 1 if an explanation is not to be trusted.")
@JSON
def explain_command(
    bundle: Path,
    images: tuple[Path, ...],
    output: Path | None,
    classes: str | None,
    provider: str,
    max_batch: int | None,
    tf32: bool,
    npz: Path | None,
    fit: str,
    tune: tuple[tuple[str, float], ...],
    feeds: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Explain pictures with a compiled bundle.

    Writes one PNG per picture: the picture, its heatmap (red speaks for the class, blue against it) and
    both laid over each other; several pictures with -o heatmap.png become heatmap-NAME.png. Prints the
    top classes and the health of the explanation, per unit of seed: the sum of the relevance, the sum of
    its magnitudes, its range, and how many values are not finite.

    \b
    lrpc explain resnet50.lrp dog.jpg
    lrpc explain resnet50.lrp dog.jpg cat.jpg --class 207 -o heatmap.png
    lrpc explain skin.lrp mole.jpg --feed age=age.npy
    """
    from lrpc.bundle.side_inputs import part_of
    from lrpc.images.read import load_inputs
    from lrpc.runtime.explainer import Explainer
    from lrpc.runtime.health import HealthWarning

    explainer = Explainer(bundle, execution_providers(provider), max_batch=max_batch, tf32=tf32)
    names = explainer.manifest.classes
    seed_class, tunables = class_number(classes, names), _tunables(tune)
    others = _others(explainer, images, fit, feeds)
    failed, done = False, 0
    for path in images:
        batch, pictures = load_inputs([path], explainer.manifest, fit)
        beside = part_of(others, explainer.others, slice(done, done + len(batch)))
        done += len(batch)
        with progress(f"explaining {path.name}"), warnings.catch_warnings():
            warnings.simplefilter("ignore", HealthWarning)  # printed below, with the picture's name
            result = explainer(batch, seed_class, tunables, beside)
        reports = [_report(path, i, result, names, seed_class) for i in range(len(batch))]
        failed |= any(report["alarm"] for report in reports)
        for sentence in explainer.outside_box(batch):
            note(f"Warning: {path}: {sentence}")
        place = _place(path, output, len(images) > 1)
        _write_picture(place, pictures, result.relevance)
        if npz is not None:
            _write_npz(_place(path, npz, len(images) > 1), batch, result)
        for report in reports:
            _print(report | {"heatmap": str(place)}, as_json)
    if failed and strict:
        raise click.exceptions.Exit(1)


def _others(explainer: Any, images: tuple[Path, ...], fit: str, feeds: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Load what the other inputs are given, for the samples of all pictures in order."""
    from lrpc.images.read import load_inputs

    if not feeds and not explainer.others:
        return {}
    count = sum(len(load_inputs([path], explainer.manifest, fit)[0]) for path in images)
    return load_feeds(feeds, explainer.others, count)


def _tunables(given: Sequence[tuple[str, float]]) -> dict[str, float]:
    values = dict(given)
    if len(values) < len(given):
        raise click.BadParameter("one of the names is given twice.", param_hint="--tune")
    return values


def _report(path: Path, i: int, result: Any, names: Sequence[str] | None, seed_class: int | None) -> dict[str, Any]:
    scores = result.output[i].astype(np.float64)
    exponentials = np.exp(scores - scores.max())
    shares = exponentials / exponentials.sum()
    order = [int(c) for c in np.argsort(-scores)[:_TOP]]
    health = {key: float(getattr(result.health, key)[i]) for key in ("sum", "abs_sum", "range", "nonfinite")}
    explained = order[0] if seed_class is None else seed_class
    return {
        "image": str(path),
        "sample": i,
        "class": explained,
        "name": _class_name(names, explained),
        "top": [{"class": c, "name": _class_name(names, c), "score": scores[c], "softmax": shares[c]} for c in order],
        "health": health,
        "alarm": result.alarms[i],
    }


def _class_name(names: Sequence[str] | None, index: int) -> str | None:
    """Return a class's name, None where the model tells of none."""
    return names[index] if names and index < len(names) else None


def _print(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(report["image"])
    for entry in report["top"]:
        mark = "*" if entry["class"] == report["class"] else " "
        name = f"  {entry['name']}" if entry["name"] else ""
        click.echo(f"  {mark} {entry['class']:5d}  {entry['softmax']:6.1%}  score {entry['score']:.3f}{name}")
    label = report["name"] or report["class"]
    health = report["health"]
    click.echo(
        f"  relevance for {label}: sum {health['sum']:.3g}, sum of |R| {health['abs_sum']:.3g}, "
        f"max - min {health['range']:.3g}, non-finite {health['nonfinite']:.0f} (per unit of seed)"
    )
    click.echo(f"  wrote {report['heatmap']}")
    if report["alarm"]:
        note(f"Warning: {report['image']}: {report['alarm']}")


def _place(image: Path, output: Path | None, several: bool) -> Path:
    if output is None:
        return Path(f"{image.stem}.heatmap.png")
    if not output.name:
        raise LrpcError(f"{output} is a folder, not the name of a file to write.")
    return output.with_name(f"{output.stem}-{image.stem}{output.suffix}") if several else output


def _write_picture(path: Path, pictures: list[np.ndarray], relevance: np.ndarray) -> None:
    from lrpc.images.colour import contact_sheet, overlay, render, save_picture

    pairs = zip(pictures, relevance, strict=True)
    rows = [[picture, render(r), overlay(picture, r)] for picture, r in pairs]
    save_picture(contact_sheet(rows, ("picture", "relevance", "overlay")), path)


def _write_npz(path: Path, batch: np.ndarray, result: Any) -> None:
    health = {f"health_{key}": getattr(result.health, key) for key in ("sum", "abs_sum", "range", "nonfinite")}
    with file_errors(path, "written"):
        np.savez(path, input=batch, output=result.output, relevance=result.relevance, **health)
