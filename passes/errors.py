"""The one exception for bad input, holding every problem that was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MOST_ALIKE = 4
"""Rows that are printed of one operator and problem."""
_LONGEST = 120
"""Characters of a name that a row shows."""


@dataclass(frozen=True)
class Problem:
    """One reason why a model, a plan or an option cannot be used.

    layer: the layer's name, or "" where no layer is to blame.  op: its ONNX op type, or "".
    reason: what is wrong.  hint: what the user can do about it, or "".
    """

    layer: str
    op: str
    reason: str
    hint: str = ""


class LrpcError(Exception):
    """Bad input: a headline, then every problem found, in `problems`; printed, one row each.

    Of many layers that have the same operator and problem, the first few have a row, and the others share one.

    >>> print(LrpcError("1 of 4 layers of m.onnx has no rule.", [Problem("fc", "Gemm", "no rule")]))
    1 of 4 layers of m.onnx has no rule.
    <BLANKLINE>
      layer  op    why
      fc     Gemm  no rule
    """

    def __init__(self, headline: str, problems: Sequence[Problem] = (), hint: str = "") -> None:
        self.headline = headline
        self.problems = tuple(problems)
        self.hint = hint
        super().__init__(self._render())

    def _render(self) -> str:
        parts = [self.headline]
        if self.problems:
            parts += ["", *_table(self.problems)]
        hints = list(dict.fromkeys(h for h in (*(p.hint for p in self.problems), self.hint) if h))
        if hints:
            parts += ["", *hints] if self.problems else hints
        return "\n".join(parts)


def _table(problems: Sequence[Problem]) -> list[str]:
    rows = [("layer", "op", "why"), *_rows(problems)]
    layer_width = max(len(row[0]) for row in rows)
    op_width = max(len(row[1]) for row in rows)
    return [f"  {layer:<{layer_width}}  {op:<{op_width}}  {why}" for layer, op, why in rows]


def _cut(name: str) -> str:
    """Return a name, of a long one the beginning and the end, which tells layers of one kind apart."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}...{name[-_LONGEST // 4 :]}"


def _rows(problems: Sequence[Problem]) -> Iterator[tuple[str, str, str]]:
    kinds = Counter((p.op or "-", p.reason) for p in problems)
    shown: Counter[tuple[str, str]] = Counter()
    for problem in problems:
        kind = (problem.op or "-", problem.reason)
        shown[kind] += 1
        if kinds[kind] <= _MOST_ALIKE or shown[kind] < _MOST_ALIKE:
            yield (_cut(problem.layer or "-"), *kind)
    for kind, count in kinds.items():
        if count > _MOST_ALIKE:
            yield (f"and {count - _MOST_ALIKE + 1} more", *kind)
