"""lrpc bench."""

from __future__ import annotations

import inspect
from itertools import chain
from pathlib import Path
from typing import Any

import click

from lrpc.cli.numbers import number, numbers
from lrpc.cli.options import JSON, MODEL, RULES_EPILOG, TORCH, plot, provider, weights
from lrpc.cli.plan_options import plan_arguments, plan_options
from lrpc.cli.show import note, progress, table
from lrpc.composites.builtin import COMPOSITES


@click.command("bench", epilog=RULES_EPILOG, short_help="Time it beside the forward pass, the gradient and zennit.")
@MODEL
@TORCH
@weights()
@plan_options
@click.option(
    "--compare", multiple=True, metavar="NAME", help="Bench another composite too, in the same run. Repeatable."
)
@click.option("--batch", "batches", type=numbers(whole=True, least=1), multiple=True, default=["4"], show_default="4",
              metavar="N,..", help="Samples per run. Repeatable.")  # fmt: skip
@click.option("--threads", type=number(whole=True, least=1), metavar="N",
              help="CPU threads for each contestant. Default: every core.")  # fmt: skip
@provider()
@click.option("--rounds", type=number(whole=True, least=1), default=5, show_default=True, metavar="N",
              help="Turns of each contestant; the best one counts.")  # fmt: skip
@click.option("--levels", type=numbers(whole=True), multiple=True, default=["0,1"], show_default="0,1",
              metavar="N,..", help="Which levels of optimization to bench.")  # fmt: skip
@click.option("--memory", is_flag=True, help="Also run each in a process of its own, and tell its peak memory.")
@click.option("--profile", is_flag=True, help="Also tell which ops the time goes to.")
@plot("the times")
@JSON
def bench_command(
    model: Path,
    torch_model: str | None,
    weights: str | None,
    compare: tuple[str, ...],
    batches: tuple[list[int], ...],
    threads: int | None,
    provider: str,
    rounds: int,
    levels: tuple[list[int], ...],
    memory: bool,
    profile: bool,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Time the explanation beside ONNX Runtime's forward pass, PyTorch's gradient and zennit, all in one run.

    They take turns, so that what slows the machine down slows all of them; each is judged by its best turn,
    with as many threads as the others. The column work is the explanation's convolutions in units of the
    forward pass's own, whatever runs them: what a runtime without any other cost would take.

    \b
    lrpc bench resnet50.onnx --torch torchvision:resnet50
    lrpc bench resnet50.onnx --torch torchvision:resnet50 --compare epsilon-plus --batch 1,16 --memory --plot b.png
    """
    if weights is not None and torch_model is None:
        raise click.UsageError(
            "--weights are those of the PyTorch model: give --torch torchvision:NAME or MODULE:FACTORY."
        )
    from lrpc.inspect.bench.bench import Setting, bench
    from lrpc.inspect.bench.contestants import Machine, Torch
    from lrpc.inspect.bench.machine import cores

    cases = [_case(options)] + [_case(_bare(options, name)) for name in compare]
    torch = Torch(torch_model, weights or "none") if torch_model else None
    machine = Machine(provider, cores() if threads is None else threads)
    setting = Setting(machine, torch, [*chain(*batches)], rounds, [*chain(*levels)], memory, profile)
    with progress(f"benching {model.name}") as report:
        result = bench(model, cases, setting, report)
    click.echo(result.to_json()) if as_json else _print(result)
    if plot is not None:
        from lrpc.inspect.bench.plot import plot_bench

        plot_bench(result, plot)
        note(f"wrote {plot}")


def _case(options: dict[str, Any]) -> Any:
    from lrpc.inspect.bench.bench import Case

    arguments = plan_arguments(**options)
    known = not (options["composite"] or "").endswith(".toml")
    return Case(arguments["composite"], arguments["rules"], known, arguments["input"], arguments["output"])


def _bare(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the options of another composite: it shares input, output and the input's range with the first."""
    nothing = {key: False if isinstance(value, bool) else None for key, value in options.items()}
    takes = COMPOSITES.get(name.replace("-", "_"))
    ranged = ("low", "high") if takes is None or "low" in inspect.signature(takes).parameters else ()
    shared = ("entry", "explained", *ranged)
    return {**nothing, "composite": name, "rules": ()} | {key: options[key] for key in shared}


def _print(bench: Any) -> None:
    from lrpc.inspect.bench.text import columns, footer, profile_rows, rows

    heads = columns(bench)
    table(heads, rows(bench), right=range(3, len(heads)))
    for line in footer(bench):
        click.echo(line)
    if profiles := profile_rows(bench):
        table(("composite", "contestant", "op", "nodes", "ms per image", "share"), profiles, right=(3, 4, 5))
