"""One-token mutations of a file, found in its syntax tree and applied to its text.

None touches docstrings, messages, type hints, decorators, assertions, errors that are raised, or how a value prints:
no test should fail for those. `studies.mutation.siblings` has the tables.

mutmut 3.8 and cosmic-ray 8.7 were looked at: neither puts another member of an enumeration in the place of one, which
is half of what can go wrong here, nor draws mutants by a seed, so that a draw stays when other code moves.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from studies.mutation.siblings import ATTRIBUTES, BINARY, CALLS, COMPARISONS, ENUMS, NAMES, OP_NAMES

Change = tuple[int, int, str]
"""Where the text changes, in bytes, and what stands there afterwards."""


@dataclass(frozen=True)
class Mutation:
    """file: relative to the repository.  function: qualified, "" at the top of a module.  old, new: the text.

    occurrence: among those of the function that change the same text to the same, from 0.
    start, end: bytes of the file.  line: its number.  source: the line as it stands.
    """

    file: str
    function: str
    old: str
    new: str
    occurrence: int
    start: int
    end: int
    line: int
    source: str
    lines: range
    """The numbers of its statement's lines."""

    @property
    def key(self) -> str:
        """What stays the same when other code moves."""
        return " | ".join((self.file, self.function, self.old, self.new, str(self.occurrence)))

    def rank(self, seed: int) -> str:
        """Return its place in the draw."""
        return hashlib.sha256(f"{seed} {self.key}".encode()).hexdigest()

    def applied(self, text: bytes) -> bytes:
        """Return the file with this change."""
        return text[: self.start] + self.new.encode() + text[self.end :]


def mutations_of(root: Path, path: Path) -> list[Mutation]:
    """Return every mutation of one file, in order."""
    text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))
    found, counts, seen = [], Counter[tuple[str, str, str]](), set[Change]()
    for function, span, (start, end, new) in _Walk(text, begins).visit(ast.parse(text), "", range(0)):
        old = text[start:end].decode()
        if (start, end, new) in seen or old == new:
            continue
        seen.add((start, end, new))
        number = sum(begin <= start for begin in begins)
        where = (function, old, new)
        source = lines[number - 1].decode().strip()
        found.append(Mutation(str(path.relative_to(root)), *where, counts[where], start, end, number, source, span))
        counts[where] += 1
    return found


def drawn(mutations: Iterable[Mutation], count: int, seed: int) -> list[Mutation]:
    """Draw by a seed, from each file as many as is its part of all; which ones does not depend on where they stand."""
    by_file: dict[str, list[Mutation]] = {}
    for mutation in mutations:
        by_file.setdefault(mutation.file, []).append(mutation)
    total = sum(map(len, by_file.values()))
    parts = {file: min(count, total) * len(found) / total for file, found in by_file.items()}
    quotas = {file: int(part) for file, part in parts.items()}
    rest = min(count, total) - sum(quotas.values())
    for file in sorted(parts, key=lambda file: (quotas[file] - parts[file], file))[:rest]:
        quotas[file] += 1
    ranked = {file: sorted(found, key=lambda m: m.rank(seed)) for file, found in by_file.items()}
    return [
        mutation for file, quota in quotas.items() for mutation in sorted(ranked[file][:quota], key=lambda m: m.start)
    ]


class _Walk:
    """Find the changes of a tree with the function that each is in."""

    def __init__(self, text: bytes, begins: list[int]) -> None:
        self._text, self._begins = text, begins

    def visit(self, node: ast.AST, function: str, lines: range) -> Iterator[tuple[str, range, Change]]:
        if _is_left_out(node):
            return
        lines = _lines(node, lines)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            function = f"{function}.{node.name}" if function else node.name
        for change in self._changes(node):
            yield function, lines, change
        for child in _children(node):
            field = isinstance(node, ast.ClassDef) and not isinstance(child, ast.FunctionDef)
            yield from ((f, lines if field else own, change) for f, own, change in self.visit(child, function, lines))

    def _at(self, line: int, column: int) -> int:
        return self._begins[line - 1] + column

    def _span(self, node: ast.expr | ast.pattern) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _source(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._text[start:end].decode()

    def _whole(self, node: ast.expr | ast.pattern, *texts: str) -> Iterator[Change]:
        start, end = self._span(node)
        yield from ((start, end, text) for text in texts)

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Change]:
        """Change the operator that stands between two operands."""
        start, end = self._span(left)[1], self._span(right)[0]
        at = self._text.find(old.encode(), start, end)
        if at >= 0:
            yield at, at + len(old), new

    def _changes(self, node: ast.AST) -> Iterator[Change]:  # noqa: C901  # a table by kind of node, in one place
        match node:
            case ast.Compare(left, ops, comparators):
                operands = [left, *comparators]
                for index, op in enumerate(ops):
                    old, new = COMPARISONS[type(op)]
                    yield from self._between(operands[index], operands[index + 1], old, new)
            case ast.BinOp(left, op, right) if type(op) in BINARY:
                yield from self._between(left, right, *BINARY[type(op)])
            case ast.AugAssign(target, op, value) if type(op) in BINARY:
                old, new = BINARY[type(op)]
                yield from self._between(target, value, f"{old}=", f"{new}=")
            case ast.BoolOp(op, values):
                yield from self._bool_op(node, op, values)
            case ast.UnaryOp(ast.Not() | ast.USub(), operand):
                yield from self._whole(node, f"({self._source(operand)})")
            case ast.If(test) | ast.IfExp(test) | ast.While(test):
                yield from self._negated(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    yield from self._negated(test)
            case ast.Return(ast.Tuple([first, second]) as value) if ast.dump(first) != ast.dump(second):
                yield from self._whole(value, f"{self._source(second)}, {self._source(first)}")
            case ast.Constant(value):
                yield from self._whole(node, *_constants(value))
            case ast.Attribute(ast.Name(owner), name) if name in ENUMS.get(owner, {}):
                yield from self._whole(node, *(f"{owner}.{other}" for other in ENUMS[owner][name]))
            case ast.Attribute(attr=name) if name in ATTRIBUTES:
                end = self._span(node)[1]
                yield end - len(name), end, ATTRIBUTES[name]
            case ast.Name(name, ast.Load()) if name in NAMES:
                yield from self._whole(node, *NAMES[name])
            case ast.Name(name, ast.Load()) if name in CALLS:
                yield from self._whole(node, CALLS[name])
            case ast.MatchClass(cls=ast.Name(name) as cls) if name in NAMES:
                yield from self._whole(cls, *NAMES[name])
            case _:
                pass

    def _bool_op(self, node: ast.BoolOp, op: ast.boolop, values: list[ast.expr]) -> Iterator[Change]:
        old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
        for left, right in pairwise(values):
            yield from self._between(left, right, old, new)
        for dropped in values:
            rest = [f"({self._source(value)})" for value in values if value is not dropped]
            yield from self._whole(node, f" {old} ".join(rest))

    def _negated(self, test: ast.expr) -> Iterator[Change]:
        told = isinstance(test, ast.Compare) and isinstance(
            test.ops[0], (ast.Is, ast.IsNot, ast.In, ast.NotIn, ast.Eq, ast.NotEq)
        )
        if not told and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            yield from self._whole(test, f"not ({self._source(test)})")


def _lines(node: ast.AST, around: range) -> range:
    """Return the lines of a statement, of one with a body those of its head; for what is no statement those around it.

    Defaults and the fields of a class are computed at import: of them it is the whole function or class.
    """
    if isinstance(node, ast.match_case):
        return range(node.pattern.lineno, node.body[0].lineno)
    if not isinstance(node, ast.stmt):
        return around
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    body = getattr(node, "body", None)
    end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
    return range(node.lineno, max(end, node.lineno + 1))


def _constants(value: object) -> Iterator[str]:
    """Yield what a constant is changed to; of texts only the names of operators."""
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
        if value:
            yield str(value - 1)
    elif isinstance(value, float):
        yield repr(1.0 if value == 0 else value * (10 if abs(value) < 1e-3 else 2))
    elif isinstance(value, str) and value in OP_NAMES:
        yield repr(OP_NAMES[value]).replace("'", '"')


def _is_left_out(node: ast.AST) -> bool:
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.FunctionDef(name):
            return name in ("__repr__", "__str__")
        case ast.If(ast.Name("TYPE_CHECKING")):
            return True
        case ast.keyword("strict" | "compare"):
            return True
        case ast.Assign([ast.Name(name)], value):
            return name == "__all__" or (isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr))
        case ast.Call(ast.Name(name)):
            return name.endswith("Error") or name in ("Problem", "TypeVar", "cast")
        case ast.Expr(ast.Constant()):
            return True
        case _:
            return False


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what of a node is code that computes: no type hints and no decorators."""
    hints = {"annotation", "returns", "decorator_list", "type_params", "bases"}
    for name, value in ast.iter_fields(node):
        if name not in hints:
            yield from (
                child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
            )
