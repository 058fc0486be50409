"""The options and arguments that several commands share, each declared here once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lrpc.rules.constructors import RULES
from lrpc.rules.text import signature

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
PATH = click.Path(path_type=Path)
RULES_EPILOG = "\b\nRules:\n" + "\n".join(f"  {signature(name)}" for name in RULES)
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_CLASS_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")

MODEL = click.argument("model", type=PATH, metavar="MODEL.onnx")
IMAGES = click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FIT = click.option("--fit", type=click.Choice(["crop", "stretch", "exact"]), default="crop", show_default=True,
                   help="How a picture of another size becomes the model's: cut out, scaled, or refused.")  # fmt: skip
TORCH = click.option(
    "--torch", "torch_model", metavar="torchvision:NAME|MODULE:FACTORY",
    help="The PyTorch model, for the references that need it: zennit, and its gradient.",
)  # fmt: skip
FEED = click.option(
    "--feed",
    "feeds",
    multiple=True,
    metavar="NAME=FILE.npy",
    help="What another input of the model is given: a row for each picture, in order, or one sample for all. "
    "Repeatable.",
)


def bundle(metavar: str = "BUNDLE.lrp") -> Decorator:
    """Take a compiled bundle, in the forms that the command knows."""
    return click.argument("bundle", type=PATH, metavar=metavar)


def classes(default: str = "the top class") -> Decorator:
    """Take the class to explain; `class_number` reads it. default: which one it is where none is given."""
    return click.option("--class", "classes", metavar="N",
                        help=f"The class to explain, by number or name. Default: {default}.")  # fmt: skip


def provider(what: str = "Where ONNX Runtime runs it; on cuda nothing falls back to the CPU.") -> Decorator:
    """Take where graphs run. what: the help."""
    return click.option("--provider", type=click.Choice([*_PROVIDERS]), default="cpu", show_default=True, help=what)


def weights(what: str = "The PyTorch model's weights: random ones, torchvision's pretrained, or a state dict. "
            "Default: none.", **default: Any) -> Decorator:  # fmt: skip
    """Take which weights a PyTorch model gets. what: the help.  default: as `click.option` takes it."""
    return click.option("--weights", metavar="none|DEFAULT|FILE.pt", help=what, **default)


def force(what: str) -> Decorator:
    """Let something that exists be replaced. what: that."""
    return click.option("--force", is_flag=True, help=f"Replace {what}.")


def output(what: str, *names: str) -> Decorator:
    """Take where the result is written. what: the help.  names: beside -o, where `--output` is no plan option."""
    return click.option("-o", *names, "output", type=PATH, help=what)


def plot(what: str) -> Decorator:
    """Take a file to draw into. what: what is drawn."""
    return click.option("--plot", type=PATH, help=f"Draw {what}.")


def npz(what: str) -> Decorator:
    """Take a file for arrays. what: the help."""
    return click.option("--npz", type=PATH, help=what)


def execution_providers(name: str) -> list[str]:
    """Return what ONNX Runtime calls the choice of --provider."""
    return [_PROVIDERS[name]]


def class_number(text: str | None, names: Sequence[str] | None) -> int | None:
    """Read a class by number or name; who explains it checks the range."""
    if text is None:
        return None
    if _CLASS_NUMBER.fullmatch(text):
        return int(text)
    if names and text in names:
        return names.index(text)
    known = f"its {len(names)} class names hold no {text!r}" if names else "the model has no class names"
    raise click.BadParameter(f"{text!r} is no class: {known}.", param_hint="--class")
