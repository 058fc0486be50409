"""Which tests run a line: each file of tests runs once, in a copy of the tree, with the lines noted test by test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from studies.mutation.places import ROOT, STORE, copy_tree, digest, mutated_files, suites

DEFAULT_SUITE = "not slow and not deploy"


@dataclass(frozen=True)
class Test:
    """A test that passes: its node id, and the seconds of processor that it takes."""

    name: str
    seconds: float

    @property
    def function(self) -> str:
        """Its name without parameters."""
        return self.name.partition("[")[0]


def measure(jobs: int) -> None:
    """Run every file of tests whose lines are not known for the code as it is."""
    sources = digest(mutated_files())
    missing = [path for path in suites() if _known(path, sources) is None]
    if not missing:
        return
    STORE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lrpc-mutation-") as folder, ThreadPoolExecutor(jobs) as pool:
        copy = copy_tree(Path(folder) / "tree")
        runs = pool.map(lambda path: _measured(copy, path, sources), missing)
        for _ in track(runs, "which test runs which line", total=len(missing)):
            pass


def _kept(path: Path) -> Path:
    return STORE / (str(path.relative_to(ROOT)).replace("/", ".") + ".json")


def _known(path: Path, sources: str) -> dict[str, Any] | None:
    kept = _kept(path)
    if not kept.exists():
        return None
    content: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return content if content["digest"] == digest([path]) and content["sources"] == sources else None


def _measured(copy: Path, path: Path, sources: str) -> None:
    relative, target = path.relative_to(ROOT), _kept(path).with_suffix(".part")
    options = [
        "-q",
        "-m",
        DEFAULT_SUITE,
        "-p",
        "studies.mutation.contexts",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
    ]
    environment = {
        "PYTHONPATH": str(copy),
        "LRPC_COVERAGE": str(target),
        "LRPC_MEASURED": os.pathsep.join(map(str, mutated_files(copy))),
    }
    command = [sys.executable, "-m", "pytest", str(relative), *options]
    run = subprocess.run(command, cwd=copy, env=os.environ | environment, capture_output=True, text=True)
    if not target.exists():
        raise RuntimeError(f"{relative} could not be run:\n{run.stdout}{run.stderr}")
    content = json.loads(target.read_text(encoding="utf-8"))
    content["lines"] = {str(Path(file).relative_to(copy)): lines for file, lines in content["lines"].items()}
    content |= {"digest": digest([copy / relative]), "sources": sources}
    target.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    target.rename(_kept(path))


class Cover:
    """What is known of the tests of the default suite."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._of_line: dict[str, dict[int, set[str]]] = {}
        """The tests that run a line, by file and number."""
        for path in suites():
            if (kept := _kept(path)).exists():
                self._add(json.loads(kept.read_text(encoding="utf-8")))

    def _add(self, content: dict[str, Any]) -> None:
        tests = {name: test for name, test in content["tests"].items() if test["passed"]}
        self._seconds |= {name: test["seconds"] for name, test in tests.items()}
        behind: dict[str, list[str]] = {name: [name] for name in tests}
        for name, test in tests.items():
            for fixture in test["fixtures"]:
                behind.setdefault(fixture, []).append(name)
        found = [behind.get(context, []) for context in content["contexts"]]
        for file, lines in content["lines"].items():
            of_line = self._of_line.setdefault(file, {})
            for line, contexts in lines.items():
                of_line.setdefault(int(line), set()).update(*(found[c] for c in contexts))

    def tests(self, file: str, lines: range, *, imported: bool) -> list[Test]:
        """Return the tests that run one of some lines, in the order in which they are to be tried.

        imported: the lines run when the module is imported, for whichever test is the first; any that runs a line of
        the file will do.  Cheap tests come first, and of one test function each further case counts for more.
        """
        of_line = self._of_line.get(file, {})
        wanted = of_line if imported else lines
        names = set[str]().union(*(of_line.get(line, set()) for line in wanted))
        tests = sorted((Test(name, self._seconds[name]) for name in names), key=lambda test: (test.seconds, test.name))
        cases, placed = Counter[str](), []
        for test in tests:
            cases[test.function] += 1
            placed.append((test.seconds * cases[test.function], test))
        return [test for _, test in sorted(placed, key=lambda entry: (entry[0], entry[1].name))]
