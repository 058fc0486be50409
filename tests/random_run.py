"""Hold numbered random networks, or plans, against the oracle: `python -m tests.random_run nets|plans FIRST LAST`.

Prints a line for each that fails and a count. A plan that fails is shrunk first: the rules that it fails without are
replaced by plain ones. `tests/parity/test_random_nets.py` tries what hypothesis draws, `test_random_plans.py` the first 200.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.emitted import complaint, explains, shrunk
from tests.random_check import PLAIN, check
from tests.random_nets import net_of
from tests.random_plans import case_of


def try_net(number: int) -> str:
    """Try one network under one composite in turn."""
    names = [*PLAIN, "kept"]
    name = names[number % len(names)]
    try:
        return "right" if check(net_of(number), name) else "without relevance"
    except Exception as error:
        print(f"{number} {name}: {type(error).__name__} {error}", flush=True)
        return "wrong"


def try_plan(number: int) -> str:
    """Try one plan, at every level."""
    case = case_of(number)
    if not explains(case):
        return "beyond float32"
    if not complaint(case):
        return "right"
    print(f"{number}: {complaint(shrunk(case))}", flush=True)
    return "wrong"


TRIED: dict[str, Callable[[int], str]] = {"nets": try_net, "plans": try_plan}


def main(what: str, first: int, last: int) -> None:
    """Try those from `first` to before `last`; the exit code is 1 if one was wrong."""
    started = time.perf_counter()
    ends = Counter(TRIED[what](number) for number in range(first, last))
    print(f"{what} {first} to {last}: {dict(ends)}, {time.perf_counter() - started:.0f} s", flush=True)
    sys.exit(1 if ends["wrong"] else 0)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
