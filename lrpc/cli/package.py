"""lrpc package."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("package", short_help="Make a web page of a single file.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.explain.onnx")
@click.option("--web", "folder", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="The folder to write the page into.")  # fmt: skip
@click.option("--runtime", type=click.Path(path_type=Path), default="node_modules/onnxruntime-web/dist", metavar="DIR",
              show_default=True, help="`dist` of the npm package onnxruntime-web.")  # fmt: skip
@click.option("--title", help="Of the page. Default: the file's name.")
@click.option("--force", is_flag=True, help="Replace an existing page.")
def package_command(file: Path, folder: Path, runtime: Path, title: str | None, force: bool) -> None:
    """Write a static web page that explains pictures in the browser.

    FILE.explain.onnx was compiled with --single-file --preprocess --heatmap --target portable. The folder holds all
    that the page needs and works offline, behind any web server; pictures stay in the browser.

    \b
    lrpc compile model.onnx --single-file --preprocess --heatmap --target portable
    npm install --ignore-scripts onnxruntime-web@1.30.0
    lrpc package model.explain.onnx --web page
    python3 -m http.server --directory page
    """
    from lrpc.web_page import package_web

    package_web(file, folder, runtime=runtime, title=title, force=force)
    size = sum(part.stat().st_size for part in folder.rglob("*") if part.is_file())
    click.echo(f"wrote {folder} ({size / 1e6:.1f} MB); see it with `python3 -m http.server --directory {folder}`")
