"""Papers are named by keys of docs/bibliography.md, in code and documents alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KEY = re.compile(r"[A-Z]\w+ (?:et\s+al\.|and [A-Z]\w+),? \(?(?:19|20)\d\d")
"""Bach et al. 2015; Zeiler and Fergus 2014; with a comma or a bracket before the year it would be no key, and is found too."""
PLACES = ("lrpc", "passes", "models", "studies", "benchmarks", "examples", "docs", "README.md", "CONTRIBUTING.md")
BIBLIOGRAPHY = ROOT / "docs/bibliography.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in BIBLIOGRAPHY.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| key")
]


def named() -> dict[str, set[str]]:
    """Every paper that is named, and the files that name it."""
    files = [
        f
        for place in PLACES
        for f in ([ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*")))
    ]
    found: dict[str, set[str]] = {}
    for file in files:
        if file.suffix in (".py", ".md") and file != BIBLIOGRAPHY and "node_modules" not in file.parts:
            for key in KEY.findall(file.read_text(encoding="utf-8")):
                found.setdefault(key, set()).add(str(file.relative_to(ROOT)))
    return found


def test_every_paper_that_is_named_is_in_the_bibliography():
    keys = [row[0] for row in ROWS]
    assert {key: files for key, files in named().items() if key not in keys} == {}
    assert set(keys) - set(named()) == set()
    assert keys == sorted(set(keys))
    assert len(named()) > 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_key_is_the_first_author_and_the_year(row):
    key, authors, title, where = row
    first = authors.split(",")[0].split()[-1].replace("é", "e")
    assert key.startswith(first)
    assert where.endswith(key[-4:])
    assert ("et al." in key) == (authors.count(",") > 1)
    assert title
