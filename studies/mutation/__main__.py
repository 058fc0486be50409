"""Mutate the code, run the tests that should notice, and write docs/mutants.md: `python -m studies.mutation`.

Results are stored after each mutant, so that a run that was interrupted goes on where it stopped. `--again` tries those
that survived once more, after tests were written. The argued ones (equivalent.toml) are not run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from studies.mutation.cover import Cover, Test, measure
from studies.mutation.mutations import Mutation, drawn, mutations_of
from studies.mutation.named import equivalents, named
from studies.mutation.page import DOCUMENT, page
from studies.mutation.places import ROOT, copy_tree, mutated_files
from studies.mutation.results import Record, load_results, store_result
from studies.mutation.trial import NO_TEST, SURVIVED, Outcome, Trial, warm


def main() -> None:
    """Run what is asked for and not stored; end with 1 where a named mutant survived, or too many others did."""
    options = _options()
    chosen = _chosen(options)
    stored, argued = load_results(), equivalents()
    waiting = [m for m in chosen if m.key not in argued and _is_open(stored.get(m.key), m, options.again)]
    if waiting:
        measure(options.jobs)
        _run(waiting, options.jobs, options.seconds)
    if not options.file:
        text, good = page(chosen, load_results(), argued, options.seed)
        DOCUMENT.write_text(text, encoding="utf-8")
        sys.exit(0 if good else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--count", type=int, default=150, help="how many are drawn (default 150), beside the named ones"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many run side by side (default 2)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of tests for each mutant at most (default 60)")
    parser.add_argument("--again", action="store_true", help="run those that survived once more")
    parser.add_argument(
        "--file", action="append", help="every mutant of a file, or those drawn with --count; no page is written"
    )
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Mutation]:
    found = [m for path in mutated_files() for m in mutations_of(ROOT, path)]
    if options.file:
        return drawn([m for m in found if m.file in options.file], options.count, options.seed)
    own = named()
    return [*own, *(m for m in drawn(found, options.count, options.seed) if m.key not in {n.key for n in own})]


def _is_open(record: Record | None, mutation: Mutation, again: bool) -> bool:
    if record is None or record["source"] != mutation.source:
        return True
    return again and record["end"] in (SURVIVED, NO_TEST)


def _run(waiting: Sequence[Mutation], jobs: int, seconds: float) -> None:
    warm()
    cover, running = Cover(), list[Trial]()
    with tempfile.TemporaryDirectory(prefix="lrpc-mutation-") as folder, Progress() as progress:
        free = [copy_tree(Path(folder) / f"tree{number}") for number in range(jobs)]
        task, rest = progress.add_task("mutants", total=len(waiting)), list(waiting)
        try:
            while rest or running:
                while rest and free:
                    mutation = rest.pop(0)
                    tests = cover.tests(mutation.file, mutation.lines, imported=not mutation.function)
                    affordable = _within(tests, seconds)
                    if not affordable:
                        _note(progress, mutation, Outcome(NO_TEST))
                        progress.advance(task)
                        continue
                    trial = Trial(mutation, affordable, len(tests), free.pop())
                    trial.start()
                    running.append(trial)
                time.sleep(0.1)
                for trial in list(running):
                    if (outcome := trial.poll()) is not None:
                        running.remove(trial)
                        free.append(trial.tree)
                        _note(progress, trial.mutation, outcome)
                        progress.advance(task)
        finally:
            for trial in running:
                trial.stop()


def _within(tests: Sequence[Test], seconds: float) -> list[Test]:
    """Return the first tests that take so long together; at least one."""
    total, kept = 0.0, list[Test]()
    for test in tests:
        total += test.seconds
        if total > seconds and kept:
            break
        kept.append(test)
    return kept


def _note(progress: Progress, mutation: Mutation, outcome: Outcome) -> None:
    store_result(mutation, outcome)
    by = outcome.by or f"{outcome.ran} of {outcome.covering} tests"
    progress.print(
        f"{outcome.end}: {mutation.file}:{mutation.line} {mutation.old!r} -> {mutation.new!r} ({by})", markup=False
    )


if __name__ == "__main__":
    main()
