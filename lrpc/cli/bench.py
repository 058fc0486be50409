"""lrpc bench."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from lrpc.cli.options import MODEL, RULES_EPILOG, plan_arguments, plan_options
from lrpc.cli.show import note, table, working
from lrpc.composites.builtin import COMPOSITES


def _counts(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[int]:
    try:
        return [int(part) for text in texts for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{','.join(texts)!r} is not a whole number, nor several with commas.") from error


@click.command("bench", epilog=RULES_EPILOG, short_help="Time it beside the forward pass, the gradient and zennit.")
@MODEL
@click.option("--torch", "torch_model", metavar="torchvision:NAME|MODULE:FACTORY",
              help="The PyTorch model, for its gradient and for zennit.")  # fmt: skip
@click.option("--weights", metavar="none|DEFAULT|FILE.pt", help="Its weights. Default: none.")
@plan_options
@click.option(
    "--compare", multiple=True, metavar="NAME", help="Bench another composite too, in the same run. Repeatable."
)
@click.option("--batch", "batches", multiple=True, default=("4",), show_default="4", callback=_counts, metavar="N,..",
              help="Samples per run. Repeatable.")  # fmt: skip
@click.option("--threads", type=int, metavar="N", help="CPU threads for each contestant. Default: every core.")
@click.option("--provider", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--rounds", type=int, default=5, show_default=True, help="Turns of each contestant; the best one counts.")
@click.option("--levels", multiple=True, default=("0,1",), show_default="0,1", callback=_counts, metavar="N,..",
              help="Which levels of optimization to bench.")  # fmt: skip
@click.option("--memory", is_flag=True, help="Also run each in a process of its own, and tell its peak memory.")
@click.option("--profile", is_flag=True, help="Also tell which ops the time goes to.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the times.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench_command(
    model: Path,
    torch_model: str | None,
    weights: str | None,
    compare: tuple[str, ...],
    batches: list[int],
    threads: int | None,
    provider: str,
    rounds: int,
    levels: list[int],
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

    cases = [_case(model, options)] + [_case(model, _bare(options, name)) for name in compare]
    torch = Torch(torch_model, weights or "none") if torch_model else None
    machine = Machine(provider, cores() if threads is None else threads)
    setting = Setting(machine, torch, batches, rounds, levels, memory, profile)
    with working(f"benching {model.name}") as report:
        result = bench(model, cases, setting, report)
    click.echo(result.to_json()) if as_json else _print(result)
    if plot is not None:
        from lrpc.inspect.bench.plot import plot_bench

        plot_bench(result, plot)
        note(f"wrote {plot}")


def _case(model: Path, options: dict[str, Any]) -> Any:
    from lrpc.inspect.bench.bench import Case

    arguments = plan_arguments(model, **options)
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
