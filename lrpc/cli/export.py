"""lrpc export."""

from __future__ import annotations

from pathlib import Path

import click

from lrpc.cli.numbers import numbers
from lrpc.cli.options import force, output, weights
from lrpc.cli.show import note, progress


@click.command("export", short_help="Write a PyTorch model as an ONNX file.")
@click.argument("model", metavar="torchvision:NAME|MODULE:FACTORY")
@output("Default: NAME.onnx.", "--output")
@weights(
    "Random weights, torchvision's pretrained ones (downloaded), or a state dict.", default="none", show_default=True
)
@click.option("--input-shape", type=numbers(whole=True, least=1), metavar="C,H,W",
              help="One sample's shape, without the batch: 3,224,224.")  # fmt: skip
@click.option("--mean", type=numbers(), metavar="M,..", help="Per channel, for pixel values in [0, 1].")
@click.option("--std", type=numbers(above=0), metavar="S,..", help="Per channel, likewise.")
@force("an existing file")
def export_command(
    model: str,
    output: Path | None,
    weights: str,
    input_shape: list[int] | None,
    mean: list[float] | None,
    std: list[float] | None,
    force: bool,
) -> None:
    """Write a PyTorch model as an ONNX file that keeps its layer names.

    The batch is dynamic, BatchNorm stays in the file (folding it is a pass of `lrpc compile`), and
    input size, mean, std and class names travel in the file's metadata, so that later commands need no
    options. The weights of a model above 2 GB go into NAME.onnx.data beside it.
    Needs PyTorch: pip install 'lrpc[torch]'.

    \b
    lrpc export torchvision:resnet50 -o resnet50.onnx --weights DEFAULT
    lrpc export my_package.nets:build -o net.onnx --weights net.pt --input-shape 3,64,64
    """
    path = output or Path(f"{model.partition(':')[2] or 'model'}.onnx")
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists already; replace it with --force, or choose another name with -o.")
    from lrpc.export import export, load_torch, weight_files

    with progress(f"building {model}"):
        loaded = load_torch(model, weights=weights, input_shape=input_shape, mean=mean, std=std)
    with progress(f"exporting {model}"):
        export(loaded, path)
    if weights == "none":
        note(f"{model} has random weights: its explanations mean nothing (--weights DEFAULT or FILE.pt).")
    for file in [path, *weight_files(path)]:
        click.echo(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")
