"""lrpc package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lrpc.cli.options import PATH, bundle, force, provider

_OWN = {"web": ("runtime", "title"), "triton": ("name", "max_batch", "provider")}
"""The options that mean something for one destination alone."""


@click.command("package", short_help="Write a compiled file as a web page or for a server.")
@bundle("BUNDLE.lrp|FILE.explain.onnx")
@click.option("--web", type=PATH, metavar="DIR",
              help="Write a static web page into this folder.")  # fmt: skip
@click.option("--runtime", type=PATH, default="node_modules/onnxruntime-web/dist", metavar="DIR",
              show_default=True, help="--web: `dist` of the npm package onnxruntime-web.")  # fmt: skip
@click.option("--title", help="--web: of the page. Default: the file's name.")
@click.option("--triton", type=PATH, metavar="DIR",
              help="Write a model into this Triton model repository: configuration, labels, model.")  # fmt: skip
@click.option("--name", help="--triton: the model's name. Default: the file's, without its suffix.")
@click.option("--max-batch", type=click.IntRange(min=1), metavar="N",
              help="--triton: how many samples it may join. Default: 8; none where the batch is fixed.")  # fmt: skip
@provider("--triton: where it runs the model.")
@force("what is there of this name")
def package_command(bundle: Path, web: Path | None, triton: Path | None, force: bool, **_: Any) -> None:
    """Write a compiled file as a web page that explains pictures, or as a model of a Triton server.

    A page needs a file compiled with --single-file --preprocess --heatmap --target portable; it holds all that it
    takes, works offline, behind any web server, and pictures stay in the browser. Triton takes every bundle.

    \b
    lrpc compile model.onnx --single-file --preprocess --heatmap --target portable
    npm install --ignore-scripts onnxruntime-web@1.30.0
    lrpc package model.explain.onnx --web page
    python3 -m http.server --directory page

    \b
    lrpc package model.explain.onnx --triton repository
    tritonserver --model-repository="$PWD/repository"
    """
    from lrpc.package.triton import package_triton
    from lrpc.package.web import package_web

    destination, place, options = _destination({"web": web, "triton": triton})
    if destination == "web":
        place = package_web(bundle, place, force=force, **options)
        seen = f"see it with `python3 -m http.server --directory {place}`"
    else:
        seen = f"serve it with `tritonserver --model-repository={place.resolve()}`"
        place = package_triton(bundle, place, force=force, **options)
    size = sum(part.stat().st_size for part in place.rglob("*") if part.is_file())
    click.echo(f"wrote {place} ({size / 1e6:.1f} MB); {seen}")


def _destination(places: dict[str, Path | None]) -> tuple[str, Path, dict[str, Any]]:
    """Return the one destination, its place and its options; none, two, or another's options are a UsageError."""
    given = [(name, place) for name, place in places.items() if place is not None]
    if len(given) != 1:
        raise click.UsageError("Say what to write: --web DIR or --triton DIR.")
    ((wanted, place),) = given
    context = click.get_current_context()
    for option in (option for name, options in _OWN.items() if name != wanted for option in options):
        if context.get_parameter_source(option) == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{option.replace('_', '-')} means nothing for --{wanted}.")
    return wanted, place, {name: context.params[name] for name in _OWN[wanted]}
