"""lrpc validate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrpc.cli.feeds import load_or_draw_feeds
from lrpc.cli.options import FEED, JSON, MODEL, PATH, RULES_EPILOG, TORCH, class_number, classes, weights
from lrpc.cli.plan_options import plan_arguments, plan_options
from lrpc.cli.show import progress, table


@click.command("validate", epilog=RULES_EPILOG, short_help="Compare with a float64 reference, layer by layer.")
@MODEL
@click.option("--reference", type=click.Choice(["oracle", "zennit"]), required=True,
              help="The formulas in float64, or zennit on the PyTorch model.")  # fmt: skip
@TORCH
@weights(default="none")
@plan_options
@click.option("--image", type=PATH, help="A picture or .npy file. Default: random values.")
@classes()
@FEED
@JSON
def validate_command(
    model: Path,
    reference: str,
    torch_model: str | None,
    weights: str,
    image: Path | None,
    classes: str | None,
    feeds: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the compiled relevance with a reference in float64, layer by layer.

    Beside each relative error stands the reference's own: how far it is from itself when it runs in
    float32. Both run on five inputs that differ by a rounding; lrpc shows its median error, the
    reference its worst. Exits with 1 where a layer is worse than 2 of those, the input worse than 1.5, or
    their median worse than 1.1, unless the error is below 2e-5.

    \b
    lrpc validate resnet50.onnx --reference oracle
    lrpc validate resnet50.onnx --reference zennit --torch torchvision:resnet50 --weights resnet50.pt
    """
    if reference == "zennit" and torch_model is None:
        raise click.UsageError(
            "--reference zennit needs the PyTorch model: --torch torchvision:NAME or MODULE:FACTORY."
        )
    import lrpc
    from lrpc.compiler import chosen_composite
    from lrpc.inspect.inputs import validation_input
    from lrpc.inspect.validate.comparable import check_comparable
    from lrpc.inspect.validate.validation import COPIES, validate
    from lrpc.plan.inputs import input_spec
    from passes.errors import LrpcError

    arguments = plan_arguments(**options)
    if reference == "zennit" and (options["rules"] or (options["composite"] or "").endswith(".toml")):
        raise click.UsageError(
            "zennit knows its own composites only; check --rule and TOML files with --reference oracle."
        )
    plan = lrpc.plan_model(model, **arguments)
    if reference == "zennit":
        check_comparable(plan)
    others = _others(plan, feeds)
    spec = input_spec(plan.graph)
    x, seed = validation_input(plan, image, class_number(classes, spec.classes if spec else None), others)
    if reference == "oracle":
        run = _oracle(plan, others)
    elif plan.graph.inputs[1:]:
        raise LrpcError("The zennit reference explains models of one input.", hint="Take --reference oracle.")
    else:
        composite = chosen_composite(arguments["composite"], plan.graph)
        run = _zennit(str(torch_model), weights, composite, x.shape[1:])
    with progress(f"comparing with {reference} in float64 and float32"):
        result = validate(plan, x, seed, reference, run, others(COPIES))
    click.echo(result.to_json()) if as_json else _print(result)
    if not result.passed:
        raise click.exceptions.Exit(1)


def _others(plan: Any, feeds: tuple[str, ...]) -> Any:
    """Return what gives one sample of the other inputs to any number of samples."""
    from lrpc.bundle.side_inputs import repeated
    from lrpc.plan.inputs import others_in

    wanted = others_in(plan.graph)
    one = load_or_draw_feeds(feeds, wanted, 1)
    return lambda count: repeated(one, wanted, count)


def _oracle(plan: Any, others: Any) -> Any:
    from lrpc.reference import run_oracle

    return lambda x, seed, dtype: run_oracle(plan.graph, plan.behaviours, x, seed, dtype, others(len(x)))


def _zennit(torch_model: str, weights: str, composite: Any, shape: tuple[int, ...]) -> Any:
    from lrpc.export import load_torch
    from lrpc.reference import run_zennit

    module = load_torch(torch_model, weights=weights, input_shape=shape).module
    return lambda x, seed, dtype: run_zennit(module, composite.name, composite.parameters, x, seed, dtype)


def _print(result: Any) -> None:
    def cells(c: Any, limit: float) -> tuple[str, ...]:
        verdict = "ok" if c.within(limit) else "WORSE"
        return (
            c.layer,
            c.kind,
            f"{c.output:.1e}",
            f"{c.relevance:.1e}",
            f"{c.yardstick:.1e}",
            f"{c.ratio:.2f}",
            verdict,
        )

    rows = [cells(c, 2.0) for c in result.layers] + [cells(result.input, 1.5)]
    yardstick = f"{result.reference} float32"
    table(("layer", "kind", "output", "relevance", yardstick, "ratio", ""), rows, right=(2, 3, 4, 5))
    for layer in result.missing:
        click.echo(f"{layer}: {result.reference} reports nothing for this layer")
    if result.note:
        click.echo(result.note)
    verdict = "passed" if result.passed else "FAILED"
    click.echo(
        f"{verdict}: {len(result.layers)} layers against {result.reference} in float64, median ratio "
        f"{result.median_ratio:.2f}, at the input {result.input.relevance:.1e} ({result.input.ratio:.2f})"
    )
