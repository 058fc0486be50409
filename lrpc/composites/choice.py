"""Which built-in composite is meant, before it is known in which range a model's input lies."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lrpc.composites.builtin import COMPOSITES
from lrpc.composites.composite import Composite
from lrpc.rules.arguments import Bound
from passes.errors import LrpcError

Range = tuple[Bound, Bound]
"""The smallest and the largest value of an input after normalisation, each a number or one per channel."""


@dataclass(frozen=True)
class Choice:
    """A built-in composite by its name, and what it is given: numbers, stabilizers, the input's range.

    name: hyphens may stand for underscores; None takes epsilon_gamma_box where the input's range is known, else
    epsilon_plus_flat.
    Raises LrpcError for a name that there is not, and for a parameter that the named composite does not take.
    """

    name: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name is not None:
            self._parameters(self.name)

    def composite(self, known: Range | None) -> Composite:
        """Build it. known: what a model file tells of the input's range; parameters `low` and `high` win over it.

        Raises LrpcError where the composite needs a range that nobody tells, and for values that it cannot take.
        """
        ranged = known is not None or not {"low", "high"}.isdisjoint(self.parameters)
        name = self.name or ("epsilon_gamma_box" if ranged else "epsilon_plus_flat")
        accepted = self._parameters(name)
        ends = zip(("low", "high"), known or (), strict=False)
        arguments = {key: value for key, value in ends if key in accepted} | dict(self.parameters)
        if missing := [key for key in ("low", "high") if key in accepted and key not in arguments]:
            raise LrpcError(
                f"{_hyphens(name)} needs the input's range, and the model file does not tell it.",
                hint=f"Give {' and '.join(map(_option, missing))}, or choose epsilon-plus-flat.",
            )
        try:
            return COMPOSITES[_underscores(name)](**arguments)
        except ValueError as error:
            raise LrpcError(f"{_hyphens(name)} cannot be built: {error}.") from error

    def _parameters(self, name: str) -> set[str]:
        """Return the parameters that a composite takes, all of those that are given among them."""
        if _underscores(name) not in COMPOSITES:
            known = ", ".join(map(_hyphens, COMPOSITES))
            raise LrpcError(f"There is no composite {name!r}.", hint=f"There are {known}.")
        takes = {other: set(inspect.signature(built).parameters) for other, built in COMPOSITES.items()}
        accepted = takes[_underscores(name)]
        for key in self.parameters:
            if key not in accepted:
                takers = ", ".join(_hyphens(other) for other, keys in takes.items() if key in keys)
                raise LrpcError(f"{_hyphens(name)} takes no {_option(key)}.", hint=f"These do: {takers}.")
        return accepted


def _option(key: str) -> str:
    """Return how a parameter is written on the command line."""
    return "--zero-bias" if key == "zero_params" else f"--{_hyphens(key)}"


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def _underscores(name: str) -> str:
    return name.replace("-", "_")
