"""Hold numbered random networks, or plans, against the oracle: `python -m tests.random_run nets|plans FIRST LAST`.

Prints a line for each that fails and a count. A plan that fails is shrunk first: the rules that it fails without are
replaced by plain ones. `tests/parity/test_random_nets.py` and `test_random_plans.py` try what hypothesis draws.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from hypothesis.errors import UnsatisfiedAssumption

from lrpc.composite import Composite
from lrpc.plan import assign
from tests.emitted import check_emitted, explains
from tests.parity.test_random_nets import PLAIN, check
from tests.random_nets import net_of
from tests.random_plans import ENTRIES, Case, case_of


def try_net(number: int) -> str:
    """Try one network under one composite in turn."""
    names = [*PLAIN, "kept"]
    name = names[number % len(names)]
    try:
        check(net_of(number), name)
    except UnsatisfiedAssumption:
        return "without relevance"
    except Exception as error:
        print(f"{number} {name}: {type(error).__name__} {error}", flush=True)
        return "wrong"
    return "right"


def try_plan(number: int) -> str:
    """Try one plan, at every level."""
    case = case_of(number)
    if not explains(case):
        return "beyond float32"
    if not (told := complaint(case)):
        return "right"
    print(f"{number}: {told}\nshrunk: {complaint(shrunk(case))}", flush=True)
    return "wrong"


def complaint(case: Case) -> str:
    """What is wrong with a case, "" if nothing is."""
    try:
        check_emitted(case)
    except Exception as error:
        return f"{type(error).__name__} {error}"
    return ""


def shrunk(case: Case) -> Case:
    """Give each layer a plain rule, one after the other, as long as the case stays wrong."""
    rules = case.plan.behaviours
    for layer in list(rules):
        fewer = [(name, rule) for name, rule in rules.items() if name != layer]
        plainer = replace(case, plan=assign(case.plan.graph, Composite("random", ENTRIES), fewer))
        if complaint(plainer):
            case, rules = plainer, dict(fewer)
    return case


TRIED: dict[str, Callable[[int], str]] = {"nets": try_net, "plans": try_plan}


def main(what: str, first: int, last: int) -> None:
    """Try those from `first` to before `last`; the exit code is 1 if one was wrong."""
    started = time.perf_counter()
    ends = Counter(TRIED[what](number) for number in range(first, last))
    print(f"{what} {first} to {last}: {dict(ends)}, {time.perf_counter() - started:.0f} s", flush=True)
    sys.exit(1 if ends["wrong"] else 0)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
