"""How the one exception prints what it found."""

from __future__ import annotations

import pytest

from passes.errors import LrpcError, Problem

ALIKE = [Problem(f"layer{i}", "Softmax", "no rules") for i in range(6)]

CASES = {
    "none": ([], "bad"),
    "no layer to blame": ([Problem("", "", "odd")], "bad\n\n  layer  op  why\n  -      -   odd"),
    "a long name": (
        [Problem("a" * 100 + "." + "z" * 100, "Mod", "odd")],
        f"bad\n\n  {'layer':<93}  op   why\n  {'a' * 60}...{'z' * 30}  Mod  odd",
    ),
    "few alike": (
        ALIKE[:4],
        "bad\n\n  layer   op       why\n" + "\n".join(f"  layer{i}  Softmax  no rules" for i in range(4)),
    ),
    "many alike, another between": (
        [*ALIKE[:5], Problem("odd", "Mod", "no rules"), ALIKE[5]],
        "bad\n\n  layer       op       why\n"
        "  layer0      Softmax  no rules\n"
        "  layer1      Softmax  no rules\n"
        "  layer2      Softmax  no rules\n"
        "  odd         Mod      no rules\n"
        "  and 3 more  Softmax  no rules",
    ),
}


@pytest.mark.parametrize(("problems", "expected"), CASES.values(), ids=CASES.keys())
def test_it_prints(problems, expected):
    error = LrpcError("bad", problems)
    assert str(error) == expected
    assert error.problems == tuple(problems)
