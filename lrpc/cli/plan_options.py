"""The options that say which rule each layer gets, and what they mean to the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lrpc.cli.numbers import bounds, number
from lrpc.composites.builtin import COMPOSITES
from lrpc.composites.choice import Choice
from lrpc.composites.composite import Composite
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.stabilizer import Stabilizer
from lrpc.rules.text import parse_rule

_NAMES = ", ".join(name.replace("_", "-") for name in COMPOSITES)


def _stabilizer(text: str) -> Stabilizer:
    try:
        return Stabilizer.of(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def _override(text: str) -> tuple[str, Behaviour]:
    """Read PATTERN=RULE."""
    pattern, equals, rule = text.partition("=")
    if not equals or not pattern:
        raise click.BadParameter(f"{text!r} is not PATTERN=RULE, as in 'layer4.*=epsilon(0.1)'.")
    try:
        return pattern, parse_rule(rule)
    except ValueError as error:
        raise click.BadParameter(f"for {pattern}: {error}.") from error


_OPTIONS = (
    click.option(
        "--input",
        "entry",
        metavar="NAME",
        help="The input that relevance goes to, where the output depends on several; the others stay inputs.",
    ),
    click.option(
        "--output",
        "explained",
        metavar="NAME",
        help="The output to explain, where there are several, or an inner tensor: the scores before a softmax.",
    ),
    click.option(
        "--composite",
        metavar="NAME|FILE.toml",
        help=f"Which layer gets which rule: {_NAMES}, or a TOML file. Default: epsilon-gamma-box where the file tells "
        "the input's range, else epsilon-plus-flat.",
    ),
    click.option("--low", type=bounds, metavar="L",
                 help="Smallest input after normalisation: a number, or one per channel: -2.1,-2,-1.8."),
    click.option("--high", type=bounds, metavar="H", help="Largest input after normalisation, likewise."),
    click.option("--gamma", type=number(), metavar="G", help="The composite's gamma (default 0.25)."),
    click.option("--epsilon", type=_stabilizer, metavar="E",
                 help="Epsilon of the composite's dense layers (default 1e-6)."),
    click.option("--stabilizer", type=_stabilizer, metavar="S",
                 help="Stabilizer of the composite's other rules: an epsilon, or "
                 "'eps=1e-6,floor=1e-9,scale=rms,clip'."),
    click.option("--sum-stabilizer", type=_stabilizer, metavar="S",
                 help="Stabilizer of residual sums, where it is another one."),
    click.option("--zero-bias", is_flag=True, help="Let biases take no relevance (zennit's zero_params='bias')."),
    click.option("--share-bias", is_flag=True, help="Hand what a bias earns to the layer's inputs in equal parts."),
    click.option(
        "--rule",
        "rules",
        multiple=True,
        type=_override,
        metavar="PATTERN=RULE",
        help="Give layers a rule, as in 'layer4.*=epsilon(0.1)'. PATTERN is a case-sensitive glob over "
        "whole layer names; with a wildcard it means the layers that the rule fits. Repeatable; the first match "
        "wins, before the composite.",
    ),
)  # fmt: skip


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the plan options; the command gets them as keyword arguments for `plan_arguments`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def plan_arguments(
    *,
    entry: str | None,
    explained: str | None,
    composite: str | None,
    zero_bias: bool,
    share_bias: bool,
    rules: tuple[tuple[str, Behaviour], ...],
    **parameters: Any,
) -> dict[str, Any]:
    """Turn the plan options into arguments of `lrpc.compile`: composite, rules, input and output.

    parameters: the composite's numbers and stabilizers by name, None where they are not given.
    """
    flags = {"zero_params": "bias" if zero_bias else None, "share_bias": share_bias or None}
    given = {key: value for key, value in (parameters | flags).items() if value is not None}
    return {"composite": _composite(composite, given), "rules": list(rules), "input": entry, "output": explained}


def _composite(name: str | None, given: dict[str, Any]) -> Composite | Choice:
    if name is None or not name.endswith(".toml"):
        return Choice(name, given)
    if given:
        options = ", ".join("--zero-bias" if key == "zero_params" else f"--{key.replace('_', '-')}" for key in given)
        raise click.UsageError(f"{options} cannot be combined with a composite file; write them into {name}.")
    from lrpc.composites.toml import composite_from_toml

    return composite_from_toml(name)
