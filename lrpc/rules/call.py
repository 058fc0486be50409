"""How a behaviour is called: its name and its arguments. That is what it is known by; its text is made of them."""

from __future__ import annotations

from dataclasses import dataclass

from lrpc.rules.stabilizer import shortest


@dataclass(frozen=True)
class Call:
    """A name of `lrpc.rules.constructors.RULES` with the arguments that tell a rule from others of that name, in order.

    An argument that the name tells (gamma of gamma_plain, beta of alpha_beta) prints as its value alone.
    """

    name: str
    arguments: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        words = self.name.split("_")
        shown = [write(value) if key in words else f"{key}={write(value)}" for key, value in self.arguments]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


def write(value: object) -> str:
    """Print an argument so that it parses to the same: a number, a list of them, a word, a stabilizer."""
    match value:
        case tuple():
            return "[" + ", ".join(map(write, value)) + "]"
        case bool():
            return str(value)
        case int() | float():
            return shortest(value)
        case str():
            return repr(value)
        case _:
            return str(value)
