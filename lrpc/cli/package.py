"""lrpc package."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("package", short_help="Write a bundle as what others serve.")
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE.lrp|FILE.explain.onnx")
@click.option("--triton", "repository", type=click.Path(path_type=Path), metavar="DIR",
              help="A Triton model repository: DIR/NAME/ with its configuration, labels and model.")  # fmt: skip
@click.option("--name", help="The model's name in the repository. Default: the bundle's, without its suffix.")
@click.option("--max-batch", type=click.IntRange(min=1), metavar="N",
              help="How many samples the server may join. Default: 8; none where the batch is fixed.")  # fmt: skip
@click.option("--provider", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="Where the server runs it.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a model of that name.")
def package_command(
    bundle: Path, repository: Path | None, name: str | None, max_batch: int | None, provider: str, force: bool
) -> None:
    """Write a compiled bundle as a folder that a server reads.

    \b
    lrpc compile resnet50.onnx --single-file --preprocess --heatmap
    lrpc package resnet50.explain.onnx --triton repository
    tritonserver --model-repository="$PWD/repository"
    """
    from lrpc.package.triton import package_triton

    if repository is None:
        raise click.UsageError("Say what for: --triton DIR.")
    place = package_triton(bundle, repository, name=name, max_batch=max_batch, provider=provider, force=force)
    click.echo(f"wrote {place}; serve it with `tritonserver --model-repository={repository.resolve()}`")
