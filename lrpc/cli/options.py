"""The options that several commands share, and what they mean to the compiler."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lrpc.composites.builtin import COMPOSITES
from lrpc.composites.composite import Composite
from lrpc.rules.constructors import RULES, Behaviour
from lrpc.rules.text import parse_rule, signature
from passes.loading.file_errors import is_file

MODEL = click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.onnx")

_PLAN_OPTIONS = (
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
        help="Which layer gets which rule: "
        + ", ".join(name.replace("_", "-") for name in COMPOSITES)
        + ", or a TOML file. Default: epsilon-gamma-box where the file tells the input's range, "
        "else epsilon-plus-flat.",
    ),
    click.option(
        "--low", metavar="L", help="Smallest input after normalisation: a number, or one per channel: -2.1,-2,-1.8."
    ),
    click.option("--high", metavar="H", help="Largest input after normalisation, likewise."),
    click.option("--gamma", type=float, help="The composite's gamma (default 0.25)."),
    click.option("--epsilon", metavar="E", help="Epsilon of the composite's dense layers (default 1e-6)."),
    click.option(
        "--stabilizer",
        metavar="S",
        help="Stabilizer of the composite's other rules: an epsilon, or 'eps=1e-6,floor=1e-9,scale=rms,clip'.",
    ),
    click.option("--sum-stabilizer", metavar="S", help="Stabilizer of residual sums, where it is another one."),
    click.option("--zero-bias", is_flag=True, help="Let biases take no relevance (zennit's zero_params='bias')."),
    click.option("--share-bias", is_flag=True, help="Hand what a bias earns to the layer's inputs in equal parts."),
    click.option(
        "--rule",
        "rules",
        multiple=True,
        metavar="PATTERN=RULE",
        help="Give layers a rule, as in 'layer4.*=epsilon(0.1)'. PATTERN is a case-sensitive glob over "
        "whole layer names; with a wildcard it means the layers that the rule fits. Repeatable; the first match "
        "wins, before the composite.",
    ),
)

FEED = click.option(
    "--feed",
    "feeds",
    multiple=True,
    metavar="NAME=FILE.npy",
    help="What another input of the model is given: a row for each picture, in order, or one sample for all. "
    "Repeatable.",
)

RULES_EPILOG = "\b\nRules:\n" + "\n".join(f"  {signature(name)}" for name in RULES)


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the plan options; the command gets them as keyword arguments for `plan_arguments`."""
    for option in reversed(_PLAN_OPTIONS):
        command = option(command)
    return command


def plan_arguments(
    model: Path,
    *,
    entry: str | None,
    explained: str | None,
    composite: str | None,
    low: str | None,
    high: str | None,
    gamma: float | None,
    epsilon: str | None,
    stabilizer: str | None,
    sum_stabilizer: str | None,
    zero_bias: bool,
    share_bias: bool,
    rules: tuple[str, ...],
) -> dict[str, Any]:
    """Turn the plan options into arguments of `lrpc.compile`: composite, rules, input and output."""
    parameters = {
        "low": _bound(low, "--low"),
        "high": _bound(high, "--high"),
        "gamma": gamma,
        "epsilon": _stabilizer(epsilon, "--epsilon"),
        "stabilizer": _stabilizer(stabilizer, "--stabilizer"),
        "sum_stabilizer": _stabilizer(sum_stabilizer, "--sum-stabilizer"),
        "zero_params": "bias" if zero_bias else None,
        "share_bias": True if share_bias else None,
    }
    given = {key: value for key, value in parameters.items() if value is not None}
    return {
        "composite": _composite(model, entry, composite, given),
        "rules": [_rule(text) for text in rules],
        "input": entry,
        "output": explained,
    }


def _composite(model: Path, entry: str | None, name: str | None, given: dict[str, Any]) -> Composite:
    if name is not None and name.endswith(".toml"):
        if given:
            options = ", ".join(_option(key) for key in given)
            raise click.UsageError(f"{options} cannot be combined with a composite file; write them into {name}.")
        from lrpc.composites.toml import composite_from_toml

        return composite_from_toml(name)
    ranged = _input_range(model, entry)
    chosen = (name or ("epsilon_gamma_box" if ranged or "low" in given else "epsilon_plus_flat")).replace("-", "_")
    constructor = COMPOSITES.get(chosen)
    if constructor is None:
        known = ", ".join(other.replace("_", "-") for other in COMPOSITES)
        raise click.BadParameter(f"there is no composite {name!r}. There are: {known}.", param_hint="--composite")
    accepted = inspect.signature(constructor).parameters
    for key in given:
        if key not in accepted:
            takers = [n.replace("_", "-") for n, c in COMPOSITES.items() if key in inspect.signature(c).parameters]
            raise click.UsageError(f"{chosen.replace('_', '-')} takes no {_option(key)}; {', '.join(takers)} do.")
    bounds = {key: value for key, value in ranged.items() if key in accepted}
    missing = [key for key in ("low", "high") if key in accepted and key not in bounds | given]
    if missing:
        raise click.UsageError(
            f"{chosen.replace('_', '-')} needs the input's range, and the model file does not tell it: "
            f"give {' and '.join(_option(key) for key in missing)}, or choose epsilon-plus-flat."
        )
    try:
        return constructor(**(bounds | given))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _input_range(model: Path, entry: str | None) -> dict[str, Any]:
    """Return low and high as the model's metadata tells them of an input, nothing where it does not."""
    import onnx

    from lrpc.plan.inputs import spec_for

    if not is_file(model):  # a device or a pipe would be read without an end
        return {}
    try:
        proto = onnx.load(model, load_external_data=False)
    except Exception:  # the compiler reports what is wrong with the file
        return {}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in proto.graph.input}
    shape = [dim.dim_value or None for dim in shapes.get(entry or "", ())][1:]
    metadata = {prop.key: prop.value for prop in proto.metadata_props}
    spec = spec_for(metadata, shape, len(shapes) if entry in shapes else 1)
    return {} if spec is None or spec.low is None else {"low": spec.low, "high": spec.high}


def _option(key: str) -> str:
    return "--zero-bias" if key == "zero_params" else f"--{key.replace('_', '-')}"


def _bound(text: str | None, option: str) -> float | list[float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no number, nor numbers with commas.", param_hint=option) from error
    return values[0] if len(values) == 1 else values


def _stabilizer(text: str | None, option: str) -> Any:
    from lrpc.rules.stabilizer import Stabilizer

    try:
        return None if text is None else Stabilizer.of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _rule(text: str) -> tuple[str, Behaviour]:
    pattern, equals, rule = text.partition("=")
    if not equals or not pattern:
        raise click.BadParameter(f"{text!r} is not PATTERN=RULE, as in 'layer4.*=epsilon(0.1)'.", param_hint="--rule")
    try:
        return pattern, parse_rule(rule)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--rule {pattern}") from error
