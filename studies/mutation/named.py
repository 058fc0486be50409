"""Mutants that are always run, and those that no test can tell from the code: data, in TOML beside this file."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from studies.mutation.mutations import Mutation
from studies.mutation.places import ROOT

_FOLDER = Path(__file__).parent


def named() -> list[Mutation]:
    """Return the mutants of named.toml. Raises ValueError for one whose old text is not in its function."""
    entries = tomllib.loads((_FOLDER / "named.toml").read_text(encoding="utf-8"))["mutant"]
    return [_placed(entry) for entry in entries]


def purposes() -> dict[str, str]:
    """Return what each named mutant breaks, by its key."""
    entries = tomllib.loads((_FOLDER / "named.toml").read_text(encoding="utf-8"))["mutant"]
    return {_placed(entry).key: entry["breaks"] for entry in entries}


def equivalents() -> dict[str, str]:
    """Return by the key of a mutation why it computes the same as the code does."""
    entries = tomllib.loads((_FOLDER / "equivalent.toml").read_text(encoding="utf-8")).get("mutant", [])
    return {entry["key"]: entry["why"] for entry in entries}


def _placed(entry: dict[str, str]) -> Mutation:
    path = ROOT / entry["file"]
    text = path.read_bytes()
    first, last = _lines(ast.parse(text), entry["function"])
    lines = text.splitlines(keepends=True)
    begin, end = len(b"".join(lines[: first - 1])), len(b"".join(lines[:last]))
    start = text.find(entry["old"].encode(), begin, end)
    if start < 0:
        raise ValueError(f"{entry['old']!r} is not in {entry['function']} of {entry['file']}")
    line = text.count(b"\n", 0, start) + 1
    stop = start + len(entry["old"].encode())
    source = lines[line - 1].decode().strip()
    span = range(line, line + 1)
    return Mutation(entry["file"], entry["function"], entry["old"], entry["new"], 0, start, stop, line, source, span)


def _lines(tree: ast.Module, function: str) -> tuple[int, int]:
    """Return the first and the last line of a function, by its qualified name."""
    node: ast.AST = tree
    for name in function.split("."):
        node = next(n for n in ast.iter_child_nodes(node) if getattr(n, "name", "") == name)
    assert isinstance(node, (ast.FunctionDef, ast.ClassDef))
    assert node.end_lineno is not None
    return node.lineno, node.end_lineno
