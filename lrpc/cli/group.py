"""How errors reach a command-line user: one clear message on stderr, exit code 2, no traceback."""

from __future__ import annotations

from typing import Any

import click

from passes.errors import LrpcError


class LrpcGroup(click.Group):
    """A command group that prints errors instead of raising them, unless --debug is given."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an LrpcError is about the input, anything else is lrpc's own fault."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except LrpcError as error:
            _raise_if(ctx, error)
            _fail(ctx, f"Error: {error}")
        except MemoryError as error:
            _raise_if(ctx, error)
            _fail(ctx, "Error: not enough memory. Use a smaller batch or image.")
        except Exception as error:
            _raise_if(ctx, error)
            _fail(ctx, f"Error: lrpc failed unexpectedly ({type(error).__name__}: {error}). "
                       "Run it again as `lrpc --debug ...` and report what it prints.")  # fmt: skip


def _raise_if(ctx: click.Context, error: Exception) -> None:
    if ctx.params.get("debug"):
        raise error


def _fail(ctx: click.Context, message: str) -> None:
    click.echo(message, err=True)
    ctx.exit(2)
