"""lrpc plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrpc.cli.options import MODEL, RULES_EPILOG, plan_arguments, plan_options
from lrpc.cli.show import table


@click.command("plan", epilog=RULES_EPILOG, short_help="Show which rule each layer gets, and why.")
@MODEL
@plan_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_command(model: Path, as_json: bool, **options: Any) -> None:
    """Show which rule each layer of the canonized model gets, and why; nothing is written.

    \b
    lrpc plan resnet50.onnx
    lrpc plan resnet50.onnx --composite epsilon-plus --rule 'layer4.*=gamma(0.1)'
    """
    import lrpc

    plan = lrpc.plan_model(model, **plan_arguments(model, **options))
    if as_json:
        click.echo(plan.to_json())
        return
    rows = [
        (str(index), row.layer, row.op, str(row.kind), str(row.rule), row.why) for index, row in enumerate(plan.rows)
    ]
    table(("#", "layer", "op", "kind", "rule", "why"), rows, right=(0,))
    click.echo(f"composite {plan.composite.replace('_', '-')}, {len(rows)} layers")
