"""Damage input by the thousand, run lrpc on it, and print a table; exit with 1 if anything ended as nothing should."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.case import mutators, rng_of
from tests.fuzz.pool import Task, run_all
from tests.fuzz.table import bad, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the options ask for."""
    options = _parser().parse_args(arguments)
    if options.only:
        kind, _, numbers = options.only.partition(":")
        tasks = [Task(kind, int(number), options.seed) for number in numbers.split(",")]
    else:
        tasks = [Task(kind, i, options.seed) for kind in mutators() for i in range(getattr(options, kind))]
    if not tasks:
        print("Nothing to do: give --files N, --bundles N or --pictures N.")
        return 0
    if options.keep:
        Path(options.keep).mkdir(parents=True, exist_ok=True)
        _keep(tasks, Path(options.keep))
    ends = []
    for end in run_all(tasks, options.jobs):
        ends.append(end)
        if end in bad([end]) or options.only:
            told = " | ".join(end.detail.strip().splitlines()[-6:])[-1500:]
            print(f"{end.kind} {end.number} {end.mutation}: {end.ending}, {end.seconds:.1f} s: {told}", flush=True)
        elif len(ends) % 500 == 0:
            print(f"{len(ends)} of {len(tasks)}", file=sys.stderr, flush=True)
    print(table(ends))
    for end in bad(ends):
        print(f"replay: python -m tests.fuzz --seed {options.seed} --only {end.kind}:{end.number}")
    return 1 if bad(ends) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    for kind in mutators():
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N", help=f"damage N {kind}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="workers at once")
    parser.add_argument("--only", metavar="KIND:N,N,..", help="run these cases alone, and print what they say")
    parser.add_argument("--keep", metavar="DIR", help="also write the cases there, a folder each")
    return parser


def _keep(tasks: Sequence[Task], folder: Path) -> None:
    for task in tasks:
        place = Path(tempfile.mkdtemp(prefix=f"{task.kind}-{task.number}-", dir=folder))
        case = mutators()[task.kind](rng_of(task.seed, task.kind, task.number), task.number, place)
        print(f"{place}: {case.mutation}, {case.commands}")


if __name__ == "__main__":
    sys.exit(main())
