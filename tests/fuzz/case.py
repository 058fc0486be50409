"""What a case is: a damaged input in a folder, and the commands that a user would run on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Damage = Callable[..., None]


@dataclass(frozen=True)
class Case:
    """mutation: what was done.  commands: arguments of `lrpc`, run in order in the case's folder until one fails."""

    mutation: str
    commands: list[list[str]]


Mutator = Callable[[random.Random, int, Path], Case]
"""Writes case `number` into an empty folder. The same seed and number always write the same."""


def mutators() -> dict[str, Mutator]:
    """Every kind of input, by the option that asks for it. A further kind is a module and a line here."""
    from tests.fuzz import bundles, files, pictures

    return {"files": files.write, "bundles": bundles.write, "pictures": pictures.write}


def rng_of(seed: int, kind: str, number: int) -> random.Random:
    """Every case has numbers of its own, so that it can be replayed alone."""
    return random.Random(f"{seed}/{kind}/{number}")
