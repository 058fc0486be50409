"""Every pass tells what it leaves alone, and why: each reason that it can give is given once here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from passes.loading.load import load
from passes.pipeline import PIPELINE
from tests.passes.bad_models import parsed
from tests.passes.declines import CASES

STEPS = {step.name: step for step in PIPELINE}
SHARED = {
    "affine": ("fold_batchnorm", "fold_batchnorm_forward", "join_batchnorms"),
    "max_of_rows": ("spell_pooling",),
}
"""Files that word reasons for several passes, or for one, beside the passes' own."""


def graph_of(name: str, text: str):
    """The loaded graph, as a pass finds it where it reads what is spelled out; paddings belong to the layer behind them."""
    graph = load(parsed(text))
    if name == "merge_paddings":
        layer = next(node for node in graph.nodes if node.op == "Conv")
        pad = next(node for node in graph.nodes if node.op == "Pad")
        pad.name, layer.name = "conv", "conv:1"
    return STEPS["spell_attributes"].run(graph) if "spell_attributes" in STEPS[name].needs else graph


@pytest.mark.parametrize(("name", "text", "reason"), CASES.values(), ids=CASES)
def test_a_pass_tells_what_it_leaves_alone(name, text, reason):
    after = STEPS[name].run(graph_of(name, text))
    assert reason in [problem.reason for problem in STEPS[name].declines(after)]


def reasons_in(file: Path) -> set[str]:
    """The patterns of all reasons that a file words: of what it calls Declined with, and what functions of text return."""
    worded: list[ast.expr] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Declined":
            worded += node.args
        if isinstance(node, ast.FunctionDef) and node.returns is not None and "str" in ast.unparse(node.returns):
            worded += [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value is not None]
    return {pattern for value in worded for pattern in _patterns(value) if pattern}


def _patterns(value: ast.expr) -> list[str]:
    match value:
        case ast.Constant(value=str(text)):
            return [re.escape(text)]
        case ast.JoinedStr(values=parts):
            return ["".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in parts)]
        case ast.IfExp(body=first, orelse=second):
            return [*_patterns(first), *_patterns(second)]
        case ast.BinOp(left=first):
            return _patterns(first)
    return []


@pytest.mark.parametrize("name", [*STEPS, *SHARED])
def test_every_reason_has_a_case(name):
    root = Path(__file__).parents[2] / "passes"
    given = [reason for owner, _, reason in CASES.values() if owner in SHARED.get(name, (name,))]
    wanted = reasons_in(root / f"{name}.py")
    assert [pattern for pattern in wanted if not any(re.match(pattern, reason) for reason in given)] == []
    assert wanted or name in SHARED
