"""How commands print: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_WIDEST = 400


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print a table without cutting names; the columns numbered in `right` are numbers."""
    console = Console(width=_WIDEST, highlight=False, soft_wrap=True)
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        view.add_column(column, justify="right" if index in right else "left", no_wrap=True)
    for row in rows:
        view.add_row(*(Text(cell) for cell in row))
    with console.capture() as capture:
        console.print(view)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def note(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something is going on, and a line on stderr for every step that is reported."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield note
        return
    with console.status(escape(what)) as status:

        def report(line: str) -> None:
            console.print(Text(line))
            status.update(escape(f"{what}: {line}"))

        yield report


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something is going on, and the step that is reported last; nothing is left behind."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line: None
        return
    with console.status(escape(what)) as status:
        yield lambda line: status.update(escape(f"{what}: {line}"))
