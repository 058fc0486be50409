"""lrpc plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from lrpc.cli.options import MODEL, RULES_EPILOG, plan_arguments, plan_options
from lrpc.cli.show import table


@click.command("plan", epilog=RULES_EPILOG, short_help="Show which rule each layer gets, why, and what can go wrong.")
@MODEL
@plan_options
@click.option(
    "--facts", "with_facts", is_flag=True, help="Show what is known of each linear layer, and what -O1 leaves."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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
    from lrpc.certificate import certify
    from lrpc.simplify import fact_rows

    plan = lrpc.plan_model(model, **plan_arguments(model, **options))
    if with_facts:
        facts = fact_rows(plan)
        if as_json:
            click.echo(json.dumps(facts, indent=1))
            return
        cells = [(f["layer"], f["rule"], f["known"], str(f["terms"]), str(f["left"])) for f in facts]
        table(("layer", "rule", "known, whatever the input", "terms -O0", "terms -O1"), cells, right=(3, 4))
        click.echo(f"{sum(f['terms'] for f in facts)} terms by definition, {sum(f['left'] for f in facts)} are left")
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
