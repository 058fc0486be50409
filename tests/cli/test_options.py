"""What all commands share: each option is declared once, says what it is, and takes numbers that can be computed with."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import click
import pytest

from lrpc.cli import main, options
from lrpc.cli.numbers import bounds, named_number, number, numbers
from lrpc.cli.options import class_number

FILES = sorted(Path(options.__file__).parent.glob("*.py"))
TWICE = {"--json": 2, "--max-batch": 2}
"""`lrpc conformance` prints a table and writes JSON into a file beside it; a batch is of a run, or of a Triton server."""


def declared(file: Path) -> set[str]:
    """Every flag that a file writes in a call: --name, without further words."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    texts = [
        a.value
        for call in calls
        if ast.unparse(call.func) == "click.option"
        for a in call.args
        if isinstance(a, ast.Constant)
    ]
    return {text for text in texts if text.startswith("-")}


def test_an_option_is_declared_once():
    counted = Counter(flag for file in FILES for flag in declared(file))
    assert {flag: times for flag, times in counted.items() if times > 1} == TWICE
    assert counted["--provider"] == counted["--class"] == counted["--torch"] == counted["-o"] == 1


@pytest.mark.parametrize("command", main.commands.values(), ids=main.commands)
def test_every_option_of_a_command_has_a_help_text(command):
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.endswith((".", "OS.", "server")), parameter.help


def test_an_option_means_one_thing_in_all_commands():
    """But for what it is written for: -o and --force say of what, --plot what is drawn, --provider of package where."""
    said = {
        "output",
        "force",
        "plot",
        "npz",
        "weights",
        "provider",
        "explained",
        "classes",
        "json_file",
        "as_json",
        "max_batch",
    }
    texts: dict[str, set[str]] = {}
    for command in main.commands.values():
        for parameter in (p for p in command.params if isinstance(p, click.Option) and p.name not in said):
            texts.setdefault(parameter.opts[-1], set()).add(str(parameter.help))
    assert {flag: len(helps) for flag, helps in texts.items() if len(helps) > 1} == {}


# What reads, a text, and the value.
READ = {
    "a number": (number(), "1e-3", 1e-3),
    "a negative one": (number(), "-.5", -0.5),
    "a default": (number(), 0.25, 0.25),
    "a whole one": (number(whole=True), "7", 7),
    "at the least": (number(least=0), "0", 0.0),
    "several": (numbers(), "0.5,1,-2", [0.5, 1.0, -2.0]),
    "one of several": (numbers(whole=True), "3", [3]),
    "a bound": (bounds, "-2", -2.0),
    "bounds": (bounds, "-2,-1.5", [-2.0, -1.5]),
    "a name": (named_number, "gamma.gamma=0.5", ("gamma.gamma", 0.5)),
}  # fmt: skip
UNREAD = {
    "a word": (number(), "dark", "'dark' is not a number"),
    "nothing": (number(), "", "'' is not a number"),
    "infinity": (number(), "1e400", "is not a number that can be computed with"),
    "minus infinity": (number(), "-inf", "is not a number that can be computed with"),
    "nan": (number(), "nan", "is not a number that can be computed with"),
    "a fraction": (number(whole=True), "1.5", "is not a whole number"),
    "a whole number beyond all": (number(whole=True), "9" * 400, "is not a whole number"),
    "a superscript": (number(whole=True), "²", "is not a whole number"),
    "too small": (number(whole=True, least=1), "0", "must be at least 1"),
    "not above": (number(above=0), "0", "must be above 0"),
    "a gap": (numbers(), "1,,2", "'' is not a number"),
    "a comma too many": (numbers(whole=True), "1,", "'' is not a whole number"),
    "a bound that is none": (bounds, "-1,nan", "'nan' is not a number"),
    "no name": (named_number, "=1", "is not NAME=NUMBER"),
    "no number": (named_number, "gamma", "is not NAME=NUMBER"),
    "a name's bad number": (named_number, "gamma=inf", "'inf' is not a number"),
    "a name's negative number": (named_number, "gamma=-1", "must be at least 0"),
}


@pytest.mark.parametrize(("read", "text", "value"), READ.values(), ids=READ)
def test_a_number_is_read(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize(("read", "text", "reason"), UNREAD.values(), ids=UNREAD)
def test_what_is_no_number_that_makes_sense_is_refused(read, text, reason):
    with pytest.raises(click.BadParameter) as error:
        read(text)
    assert reason in error.value.message


CLASSES = {"3": 3, "+3": 3, "-1": -1, "fox": 1, "²": 2, "1_0": 3}
NAMES = ["ant", "fox", "²", "1_0"]


@pytest.mark.parametrize(("text", "value"), CLASSES.items())
def test_a_class_is_read_by_number_or_name(text, value):
    assert class_number(text, NAMES) == value


@pytest.mark.parametrize(
    ("text", "names"), [("²", None), ("owl", NAMES), ("--1", NAMES), ("9" * 30, None), ("", NAMES)]
)
def test_what_is_no_class_is_refused(text, names):
    with pytest.raises(click.BadParameter, match="is no class"):
        class_number(text, names)


# Arguments that hold a number, a name or a list that makes no sense, and what is said. The folder holds model.onnx,
# model.lrp with tunables, and picture.png.
BAD = {
    "gamma nan": (("plan", "model.onnx", "--gamma", "nan"), ["--gamma", "'nan'"]),
    "gamma infinite": (("plan", "model.onnx", "--gamma", "1e400"), ["--gamma", "'1e400'"]),
    "gamma negative": (("plan", "model.onnx", "--gamma", "-1"), ["gamma must be at least 0"]),
    "gamma absurd": (("plan", "model.onnx", "--gamma", "1e30"), ["gamma must be at most 1e+18"]),
    "epsilon infinite": (("plan", "model.onnx", "--epsilon", "inf"), ["--epsilon", "finite"]),
    "stabilizer empty": (("plan", "model.onnx", "--stabilizer", ""), ["--stabilizer"]),
    "low nan": (("plan", "model.onnx", "--low", "nan", "--high", "1"), ["--low", "'nan'"]),
    "a rule's infinity": (("plan", "model.onnx", "--rule", "fc=epsilon(1e400)"), ["--rule", "finite"]),
    "a rule's stars": (("plan", "model.onnx", "--rule", "fc=gamma(**{'gamma': 3})"), ["--rule", "write it like"]),
    "tune nan": (("explain", "model.lrp", "picture.png", "--tune", "gamma.gamma=nan"), ["--tune", "'nan'"]),
    "tune twice": (("explain", "model.lrp", "picture.png", "--tune", "gamma.gamma=1", "--tune", "gamma.gamma=2"), ["given twice"]),
    "class beyond all": (("explain", "model.lrp", "picture.png", "--class", "9" * 17), ["classes 0 to 4"]),
    "class superscript": (("explain", "model.lrp", "picture.png", "--class", "²"), ["is no class"]),
    "class of validate": (("validate", "model.onnx", "--reference", "oracle", "--class", "owl"), ["is no class"]),
    "class of validate out of range": (("validate", "model.onnx", "--reference", "oracle", "--class", "5"), ["classes 0 to 4"]),
    "class of doctor out of range": (("doctor", "model.onnx", "picture.png", "--class", "7"), ["classes 0 to 4"]),
    "class of trace out of range": (("trace", "model.lrp", "picture.png", "--class", "-2"), ["classes 0 to 4"]),
    "grid infinite": (("doctor", "model.onnx", "picture.png", "--grid", "gamma=1,inf"), ["--grid", "'inf'"]),
    "grid negative": (("doctor", "model.onnx", "picture.png", "--grid", "gamma=-1"), ["--grid", "at least 0"]),
    "grid without a number": (("doctor", "model.onnx", "picture.png", "--grid", "gamma="), ["--grid", "''"]),
    "batch": (("bench", "model.onnx", "--batch", "0"), ["--batch", "at least 1"]),
    "levels": (("bench", "model.onnx", "--levels", "2"), ["The levels are 0 and 1, not 2"]),
    "compare": (("bench", "model.onnx", "--compare", "epsilon-minus"), ["no composite 'epsilon-minus'"]),
    "tolerance": (("conformance", "model.lrp", "--tolerance", "nan"), ["--tolerance", "'nan'"]),
    "timeout": (("conformance", "model.lrp", "--timeout", "0"), ["--timeout", "above 0"]),
    "mean": (("export", "torchvision:resnet18", "--mean", "0.5,inf,0.5"), ["--mean", "'inf'"]),
    "std": (("export", "torchvision:resnet18", "--std", "0,1,1"), ["--std", "above 0"]),
    "input shape": (("export", "torchvision:resnet18", "--input-shape", "3,-1,224"), ["--input-shape", "at least 1"]),
    "a layer that is not there": (("trace", "model.lrp", "picture.png", "--layer", "nowhere", "--npz", "x.npz"), ["nowhere"]),
    "a device for a composite": (("plan", "model.onnx", "--composite", "/dev/null.toml"), ["cannot be read"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_a_number_or_name_that_makes_no_sense_is_told_by_its_option(run, arguments, words):
    if "model.lrp" in arguments:
        run("compile", "model.onnx", "--tunable")
    output = run(*arguments, code=2).output
    assert "unexpectedly" not in output
    for word in words:
        assert word in output
