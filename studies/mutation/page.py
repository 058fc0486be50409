"""docs/mutants.md: what the tests notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studies.mutation.mutations import Mutation
from studies.mutation.named import purposes
from studies.mutation.places import ROOT
from studies.mutation.results import Record
from studies.mutation.trial import HUNG, KILLED

DOCUMENT = ROOT / "docs/mutants.md"
WANTED = 0.95
"""How many of the mutants that differ from the code must be noticed."""

_INTRODUCTION = """\
# What the tests notice

One token of the code is changed at a time (a comparison, a sign, a constant, a condition, an operator's name), and the
tests of the default suite that run that line must fail. `make mutants` draws {drawn} such mutants by a seed, from each
file as many as is its part of the code, and always runs those named below. A mutant that hangs counts as noticed.
One that computes the same as the code does is argued for, one by one. The tests were written with this draw at hand, so
that another one (`make mutants OPTIONS="--seed 1"`) is the harder question.
"""


def page(
    chosen: Sequence[Mutation], stored: Mapping[str, Record], argued: Mapping[str, str], seed: int
) -> tuple[str, bool]:
    """Return the page, and whether every named mutant and enough of the others were noticed."""
    breaks = purposes()
    others = [m for m in chosen if m.key not in breaks]
    differing = [m for m in others if m.key not in argued and m.key in stored]
    noticed = [m for m in differing if _noticed(stored[m.key])]
    rate = len(noticed) / len(differing) if differing else 1.0
    unnoticed = [m for m in others if m in differing and m not in noticed]
    equal = [m for m in others if m.key in argued]
    parts = [
        _INTRODUCTION.format(drawn=len(others)),
        f"Of {len(others)} mutants (seed {seed}) {len(equal)} are equivalent; {len(noticed)} "
        f"of the other {len(differing)} were noticed, **{rate:.1%}**.\n",
        _by_folder(others, stored, argued),
        "## The named ones\n",
        _table(
            ("where", "change", "what it breaks", "noticed by"),
            [_named_row(m, stored, breaks) for m in chosen if m.key in breaks],
        ),
        "## Those that survived\n",
        _table(("where", "change", "line", "tests run"), [_survivor_row(m, stored[m.key]) for m in unnoticed]),
        "## Those that are equivalent\n",
        _table(("where", "change", "why"), [(_where(m), _change(m), argued[m.key]) for m in equal]),
    ]
    caught = all(m.key in stored and _noticed(stored[m.key]) for m in chosen if m.key in breaks)
    return "\n".join(parts), caught and rate >= WANTED


def _noticed(record: Record) -> bool:
    return record["end"] in (KILLED, HUNG)


def _by_folder(mutants: Sequence[Mutation], stored: Mapping[str, Record], argued: Mapping[str, str]) -> str:
    folders = sorted({m.file.rpartition("/")[0] for m in mutants})
    rows = []
    for folder in folders:
        own = [m for m in mutants if m.file.rpartition("/")[0] == folder]
        differing = [m for m in own if m.key not in argued and m.key in stored]
        noticed = sum(_noticed(stored[m.key]) for m in differing)
        rows.append(
            (f"{folder}/", str(len(own)), str(noticed), str(len(differing) - noticed), str(len(own) - len(differing)))
        )
    return _table(("where", "mutants", "noticed", "survived", "equivalent"), rows)


def _named_row(mutation: Mutation, stored: Mapping[str, Record], breaks: Mapping[str, str]) -> tuple[str, ...]:
    record = stored.get(mutation.key)
    by = "not run" if record is None else f"`{record['by']}`" if record["by"] else record["end"]
    return _where(mutation), _change(mutation), breaks[mutation.key], by


def _survivor_row(mutation: Mutation, record: Record) -> tuple[str, ...]:
    ran = f"{record['ran']} of {record['covering']}"
    return _where(mutation), _change(mutation), _code(mutation.source), ran


def _where(mutation: Mutation) -> str:
    return f"{mutation.file}:{mutation.line}"


def _change(mutation: Mutation) -> str:
    return f"{_code(mutation.old)} to {_code(mutation.new)}"


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`" if text.strip() else "nothing"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None.\n"
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
