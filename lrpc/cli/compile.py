"""lrpc compile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from lrpc.cli.options import MODEL, RULES_EPILOG, force, output
from lrpc.cli.plan_options import plan_arguments, plan_options
from lrpc.cli.show import note, progress
from lrpc.emit.targets import TARGETS


@click.command("compile", epilog=RULES_EPILOG, short_help="Compile a model into an explanation bundle.")
@MODEL
@output("Default: MODEL.lrp beside the model.")
@plan_options
@click.option(
    "-O",
    "optimize",
    type=click.IntRange(0, 1),
    default=1,
    show_default=True,
    help="0: the rules' definitions, term by term. 1: what is left of them by facts, in the cheapest form.",
)
@click.option("--target", type=click.Choice(["auto", *TARGETS]), default="auto", show_default=True,
              help="What to optimise for; portable: operators that every one of them has. auto is cpu.")  # fmt: skip
@click.option("--single-file", is_flag=True, help="Write one self-contained explain.onnx instead of a folder.")
@click.option("--preprocess", type=click.Choice(["size", "any"]), is_flag=False, flag_value="size",
              metavar="[size|any]",
              help="The single file takes pictures, uint8 (n, h, w, 3), and normalises them: of the model's size, "
              "or of any, which it scales.")  # fmt: skip
@click.option("--heatmap", is_flag=True, help="The single file returns the heatmap as a picture too.")
@click.option("--seed-input", is_flag=True, help="explain.onnx takes a seed shaped as the output, not a class.")
@click.option("--tunable", is_flag=True, help="The graphs take each rule's epsilon and gamma as inputs with defaults.")
@click.option("--half-forward", is_flag=True, help="Run the forward pass in float16, the relevance pass in float32.")
@force("an existing bundle")
@click.option("-v", "--verbose", is_flag=True, help="Print a line for each canonization pass.")
def compile_command(
    model: Path,
    output: Path | None,
    optimize: int,
    target: str,
    single_file: bool,
    seed_input: bool,
    tunable: bool,
    half_forward: bool,
    preprocess: str | None,
    heatmap: bool,
    force: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Compile an ONNX model into a bundle of explanation graphs.

    MODEL.lrp/ then holds forward.onnx, the separate backward graph relevance.onnx, both in one as
    explain.onnx, their weights once, and a manifest. They are plain ONNX and run wherever ONNX Runtime
    does, without Python.

    \b
    lrpc compile resnet50.onnx
    lrpc compile resnet50.onnx --composite epsilon-plus --rule 'layer4.*=epsilon(0.1)'
    lrpc compile resnet50.onnx --single-file --preprocess --heatmap
    lrpc compile skin.onnx --input picture
    """
    suffix = ".explain.onnx" if single_file else ".lrp"
    if not model.name:
        raise click.BadParameter(f"{model} is a folder, not a model file.", param_hint="MODEL.onnx")
    path = output or model.with_name(model.name.removesuffix(".onnx") + suffix)
    pictures = [f"--{name}" for name, used in (("preprocess", preprocess), ("heatmap", heatmap)) if used]
    if pictures and not single_file:
        makes = "make" if pictures[1:] else "makes"
        raise click.UsageError(f"{' and '.join(pictures)} {makes} one file of all: add --single-file.")
    import lrpc
    from lrpc.rules.stabilizer import shortest

    started = time.perf_counter()
    report = note if verbose else None
    with progress(f"compiling {model.name}"):
        compiled = lrpc.compile(
            model,
            **plan_arguments(**options),
            optimize=optimize,
            target=target,
            seed_input=seed_input,
            tunable=tunable,
            half_forward=half_forward,
            preprocess=preprocess,
            heatmap=heatmap,
            report=report,
        )
        compiled.save(path, force=force, single_file=single_file)
    seconds = time.perf_counter() - started
    if tunable:
        note("tunable: " + ", ".join(f"{t.name}={shortest(t.default)}" for t in compiled.bundle.manifest.tunables))
    if compiled.plan.destination:
        note(compiled.plan.destination)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    click.echo(
        f"wrote {path} ({size / 1e6:.1f} MB, {len(compiled.plan.rows)} layers, "
        f"composite {compiled.plan.composite.replace('_', '-')}, {seconds:.1f} s)"
    )
