"""The mutants themselves: which tokens are changed, and that a draw stays what it is when other code moves."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from studies.mutation.mutations import drawn, mutations_of
from studies.mutation.named import equivalents, named, purposes
from studies.mutation.places import ROOT, mutated_files

# a function's body, what each mutation makes of it
CHANGES = {
    "a comparison": ("return a < b", ["return a <= b"]),
    "a chain": ("return 0 <= a != b", ["return 0 < a != b", "return 0 <= a == b", "return 1 <= a != b"]),
    "a negated identity": ("return a is not None", ["return a is None"]),
    "a membership": ("return a in b", ["return a not in b"]),
    "a sum": ("return a + b", ["return a - b"]),
    "a union": ("return a | b", ["return a & b"]),
    "a sum in place": ("a += b", ["a -= b"]),
    "a condition": ("if a: pass", ["if not (a): pass"]),
    "a negated condition": ("if not a: pass", ["if (a): pass"]),
    "and": ("return a and b", ["return a or b", "return (a)", "return (b)"]),
    "a minus": ("return -a", ["return (a)"]),
    "a choice": ("return a if c else b", ["return a if not (c) else b"]),
    "a filter": ("return [a for a in b if c]", ["return [a for a in b if not (c)]"]),
    "a whole number": ("return a[2]", ["return a[3]", "return a[1]"]),
    "nothing": ("return a[0]", ["return a[1]"]),
    "a fraction": ("return 0.5", ["return 1.0"]),
    "an epsilon": ("return 1e-06", ["return 9.999999999999999e-06"]),
    "a truth": ("f(x=True)", ["f(x=False)"]),
    "the name of an operator": ('f("Add")', ['f("Sub")']),
    "a member": ("return Side.POSITIVE", ["return Side.NEGATIVE"]),
    "a modifier": ("return KEEP", ["return POS"]),
    "a sign": ("return sign.negative", ["return sign.positive"]),
    "a pattern": ("match a:\n  case Neg(): pass", ["match a:\n  case Pos(): pass"]),
    "the least": ("return min(a)", ["return max(a)"]),
    "a pair": ("return a, b", ["return b, a"]),
    "a text": ('return "Sum of all"', []),
    "a message": ('raise LrpcError(f"{a + 1}", 3)', []),
    "an assertion": ("assert a > 0", []),
    "a hint": ("a: int | None", []),
    "how many there must be": ("zip(a, b, strict=True)", []),
}


def found(tmp_path: Path, text: str) -> list:
    (tmp_path / "file.py").write_text(text)
    return mutations_of(tmp_path, tmp_path / "file.py")


@pytest.mark.parametrize(("body", "changed"), CHANGES.values(), ids=CHANGES)
def test_a_body_is_mutated_one_token_at_a_time(tmp_path, body, changed):
    text = f'def f(a: int = None, *, b: "x < y" = None) -> bool | None:\n  """1 < 2."""\n  {body.replace(chr(10), chr(10) + "  ")}\n'
    mutants = [m.applied(text.encode()).decode() for m in found(tmp_path, text)]
    bodies = [m[text.index('"""\n') + 4 :].replace("\n  ", "\n").strip() for m in mutants]
    assert sorted(bodies) == sorted(changed)


def test_how_a_value_prints_and_what_decorates_it_are_left_alone(tmp_path):
    assert (
        found(tmp_path, "@cache(1)\nclass A(B[2]):\n  def __str__(self): return 1\n  def __repr__(self): return 1\n")
        == []
    )


def test_mutants_stay_what_they_are_when_other_code_moves(tmp_path):
    before = found(tmp_path, "def f(a):\n  return a + 1\ndef g(a):\n  return a < 1\n")
    after = found(
        tmp_path, "X = 5\n\ndef h(a): return a < 1\n\ndef g(a):\n  return a < 1\n\ndef f(a):\n\n  return a + 1\n"
    )
    assert {m.key for m in before} <= {m.key for m in after}
    assert {m.rank(0) for m in before} <= {m.rank(0) for m in after}
    assert {m.rank(0) for m in before} != {m.rank(1) for m in before}


def test_a_draw_gives_each_file_its_part():
    mutants = [m for path in mutated_files()[:20] for m in mutations_of(ROOT, path)]
    few, more = drawn(mutants, 40, 0), drawn(mutants, 80, 0)
    assert (len(few), len(more)) == (40, 80)
    whole, part = Counter(m.file for m in mutants), Counter(m.file for m in more)
    assert all(abs(part[file] - 80 * count / len(mutants)) <= 1 for file, count in whole.items())
    assert {m.key for m in drawn(mutants[::-1], 40, 0)} == {m.key for m in few}
    assert {m.key for m in drawn(mutants, 40, 1)} != {m.key for m in few}


def test_every_mutant_has_a_key_of_its_own_and_is_python():
    mutants = [m for path in mutated_files() for m in mutations_of(ROOT, path)]
    assert len({m.key for m in mutants}) == len(mutants) > 5000
    for mutant in drawn(mutants, 300, 0):
        ast.parse(mutant.applied((ROOT / mutant.file).read_bytes()))


def test_what_is_named_is_there_and_what_is_equivalent_is_argued():
    assert len({m.key for m in named()}) == len(named()) == len(purposes())
    assert all(m.applied((ROOT / m.file).read_bytes()) != (ROOT / m.file).read_bytes() for m in named())
    keys = {m.key for path in mutated_files() for m in mutations_of(ROOT, path)}
    assert set(equivalents()) <= keys, "an argument for what is no mutant any more"
    assert all(why.endswith(".") and len(why) > 30 for why in equivalents().values())
