"""lrpc passes."""

from __future__ import annotations

import inspect
import json

import click

from lrpc.cli.options import JSON
from lrpc.cli.show import table


@click.command("passes", short_help="List the canonization passes.")
@click.option("--details", is_flag=True, help="Print what each pass needs, gives, keeps and declines.")
@JSON
def passes_command(details: bool, as_json: bool) -> None:
    """List the canonization passes in the order in which `lrpc compile` runs them.

    Each leaves the function that the model computes unchanged; `lrpc compile -v` prints what each did.
    """
    from passes.pipeline import PIPELINE

    if as_json:
        entries = [{"name": p.name, "summary": p.summary, "details": inspect.cleandoc(p.details)} for p in PIPELINE]
        click.echo(json.dumps(entries, indent=1))
    elif details:
        for step in PIPELINE:
            click.echo(f"{step.name}\n  " + inspect.cleandoc(step.details).replace("\n", "\n  ") + "\n")
    else:
        table(("pass", "what it does"), [(p.name, p.summary) for p in PIPELINE])
