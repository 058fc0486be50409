"""lrpc plan."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrpc.cli.options import JSON, MODEL, RULES_EPILOG
from lrpc.cli.plan_options import plan_arguments, plan_options
from lrpc.cli.show import table

if TYPE_CHECKING:
    from lrpc.plan.plan import Plan


@click.command("plan", epilog=RULES_EPILOG, short_help="Show which rule each layer gets, why, and what can go wrong.")
@MODEL
@plan_options
@click.option(
    "--facts",
    "with_facts",
    is_flag=True,
    help="Show what is known of each linear layer, and the formulas that -O1 leaves.",
)
@JSON
def plan_command(model: Path, with_facts: bool, as_json: bool, **options: Any) -> None:
    """Show which rule each layer of the canonized model gets, and why; nothing is written.

    The column amplification is a guarantee, whatever the input: how much more relevance (sum of |R|) a layer
    can hand to its inputs than arrives at its output. The last line says it for the whole network. A layer
    that is unbounded need not explode; `lrpc trace` shows what it does on a picture.

    \b
    lrpc plan resnet50.onnx
    lrpc plan resnet50.onnx --composite epsilon-plus --rule 'layer4.*=gamma(0.1)'
    lrpc plan resnet50.onnx --composite bounded
    lrpc plan resnet50.onnx --facts
    """
    import lrpc
    from lrpc.plan.certificate import certify

    plan = lrpc.plan_model(model, **plan_arguments(**options))
    if with_facts:
        _print_facts(plan, as_json)
        return
    certificate = certify(plan)
    if as_json:
        click.echo(json.dumps({**json.loads(plan.to_json()), **certificate.to_dict()}, indent=1))
        return
    bounds = [str(bound) for bound in certificate.layers.values()]
    rows = [
        (str(i), r.layer, r.op, str(r.kind), str(r.rule), bound, r.why)
        for i, (r, bound) in enumerate(zip(plan.rows, bounds, strict=True))
    ]
    table(("#", "layer", "op", "kind", "rule", "amplification", "why"), rows, right=(0,))
    click.echo(f"composite {plan.composite.replace('_', '-')}, {len(rows)} layers")
    click.echo(certificate.verdict)
    if plan.destination:
        click.echo(plan.destination)


def _print_facts(plan: Plan, as_json: bool) -> None:
    from lrpc.plan.fact_table import fact_rows

    rows = fact_rows(plan)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    numbers = {text: str(i) for i, text in enumerate(dict.fromkeys(row.formula for row in rows), start=1)}
    cells = [(r.layer, r.rule, r.known, str(r.maps), str(r.left), numbers[r.formula]) for r in rows]
    columns = ("layer", "rule", "known, whatever the input", "maps -O0", "maps -O1", "formula")
    table(columns, cells, right=(3, 4, 5))
    click.echo(
        "What -O1 leaves: J_{w} is a layer's transpose with weight w, f(x; w, b) the layer, z its output, v+ max(v, 0):"
    )
    for text, number in numbers.items():
        click.echo(f"  {number}  {text}")
    click.echo(f"{sum(r.maps for r in rows)} linear maps by definition, {sum(r.left for r in rows)} are left")
