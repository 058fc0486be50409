"""How errors reach a command-line user: one clear message on stderr, exit code 2, no traceback."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from passes.errors import LrpcError
from passes.loading.file_errors import reason_of, told


class LrpcGroup(click.Group):
    """A command group that prints errors instead of raising them, unless --debug is given."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Let every name be printed, whatever bytes it is made of, and run the command line."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an LrpcError is about the input, anything else is lrpc's own fault."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except LrpcError as error:
            _raise_if(ctx, error)
            _fail(ctx, f"Error: {error}")
        except BrokenPipeError:  # click ends quietly where the reader of a pipe has gone
            raise
        except (OSError, ValueError) as error:
            _raise_if(ctx, error)
            _fail(ctx, f"Error: {told(error)}" if reason_of(error) else _own_fault(error))
        except MemoryError as error:
            _raise_if(ctx, error)
            _fail(ctx, "Error: not enough memory. Use a smaller batch or image.")
        except Exception as error:
            _raise_if(ctx, error)
            _fail(ctx, _own_fault(error))


def _own_fault(error: Exception) -> str:
    return (
        f"Error: lrpc failed unexpectedly ({type(error).__name__}: {error}). "
        "Run it again as `lrpc --debug ...` and report what it prints."
    )


def _raise_if(ctx: click.Context, error: Exception) -> None:
    if ctx.params.get("debug"):
        raise error


def _fail(ctx: click.Context, message: str) -> None:
    click.echo(message, err=True)
    ctx.exit(2)
