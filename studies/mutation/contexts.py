"""A pytest plugin: which lines each test runs, and how long it takes. Loaded by `-p studies.mutation.contexts`.

A fixture that several tests share runs once, for the first of them, so that its lines are kept under its own name, and
each test says which fixtures it has. LRPC_COVERAGE names the file to write, LRPC_MEASURED lists the files to look at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

_TARGET = Path(os.environ["LRPC_COVERAGE"])
_COVERAGE = coverage.Coverage(data_file=None, include=os.environ["LRPC_MEASURED"].split(os.pathsep), config_file=False)
_TESTS: dict[str, dict[str, Any]] = {}
_COVERAGE.start()


def _name(fixture: pytest.FixtureDef[Any]) -> str:
    return f"{fixture.baseid}::{fixture.argname}"


def _processor_time() -> float:
    """Return the seconds that this process and those that it waited for have had."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what one test runs, its own fixtures included, and the processor time that all of it takes."""
    _TESTS[item.nodeid] = {"seconds": 0.0, "fixtures": [], "passed": True}
    _COVERAGE.switch_context(item.nodeid)
    start = _processor_time()
    result = yield
    _TESTS[item.nodeid]["seconds"] = _processor_time() - start
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """Note what a shared fixture runs under its own name."""
    if fixturedef.scope == "function":
        return (yield)
    node = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    _COVERAGE.switch_context(_name(fixturedef))
    result = yield
    _COVERAGE.switch_context(node)
    return result


def pytest_runtest_call(item: pytest.Item) -> None:
    """Note which shared fixtures a test has."""
    definitions = getattr(item, "_request")._fixture_defs  # noqa: B009
    _TESTS[item.nodeid]["fixtures"] = [_name(d) for d in definitions.values() if d.scope != "function"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note which tests do not pass: they can notice nothing."""
    if report.failed or report.skipped:
        _TESTS[report.nodeid]["passed"] = False


def pytest_sessionfinish() -> None:
    """Write everything down."""
    _COVERAGE.stop()
    data, names = _COVERAGE.get_data(), {name: number for number, name in enumerate(_contexts())}
    lines = {
        file: {line: sorted(names[c] for c in found) for line, found in data.contexts_by_lineno(file).items()}
        for file in data.measured_files()
    }
    content = {"tests": _TESTS, "contexts": list(names), "lines": lines}
    _TARGET.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _contexts() -> list[str]:
    return sorted(_COVERAGE.get_data().measured_contexts())
