"""lrpc ops."""

from __future__ import annotations

import json

import click

from lrpc.cli.options import JSON
from lrpc.cli.show import table


@click.command("ops", short_help="List the operators that relevance runs through.")
@JSON
def ops_command(as_json: bool) -> None:
    """List the operators that relevance runs through, after canonization, and the rules that each takes.

    What a model file spells otherwise (Add, MatMul, ReduceMean, Constant) becomes these; see `lrpc passes`.
    An operator that is not listed is refused by name. docs/ops.md is this table.
    """
    from lrpc.plan.op_table import COLUMNS, op_rows

    if as_json:
        click.echo(json.dumps([row.to_dict() for row in op_rows()], indent=1))
        return
    table(COLUMNS, [row.cells() for row in op_rows()])
