"""Hold numbered random networks against the oracle: `python -m tests.random_run FIRST LAST`.

Prints a line for each that fails and a count; `tests/parity/test_random_nets.py` tries what hypothesis draws.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from hypothesis.errors import UnsatisfiedAssumption

from tests.parity.test_random_nets import PLAIN, check
from tests.random_nets import net_of


def main(first: int, last: int) -> None:
    """Try the networks from `first` to before `last`, each under one composite in turn."""
    names, ends, started = [*PLAIN, "kept"], Counter[str](), time.perf_counter()
    for number in range(first, last):
        name = names[number % len(names)]
        try:
            check(net_of(number), name)
            ends["right"] += 1
        except UnsatisfiedAssumption:
            ends["without relevance"] += 1
        except Exception as error:
            ends["wrong"] += 1
            print(f"{number} {name}: {type(error).__name__} {error}", flush=True)
    print(f"{first} to {last}: {dict(ends)}, {time.perf_counter() - started:.0f} s", flush=True)
    sys.exit(1 if ends["wrong"] else 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
