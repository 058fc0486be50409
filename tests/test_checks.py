"""What is checked before a commit is what `make check` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = [hook for repo in CONFIG["repos"] for hook in repo["hooks"]]


def test_the_hooks_run_what_make_check_runs():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ncheck:")[1].split("\n\n")[0]
    commands = re.findall(r"\$\(RUN\)/(.+)", recipe)
    assert [hook["entry"] for hook in HOOKS] == [command.removesuffix(" .") for command in commands]
    assert len(commands) == 3


def test_the_hooks_take_the_programs_of_the_environment():
    """So that they are of the versions that pyproject.toml asks for, and nothing is downloaded."""
    assert {repo["repo"] for repo in CONFIG["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split(r"[><=\[]", entry)[0] for entry in project["optional-dependencies"]["dev"]}
    assert {hook["entry"].split()[0] for hook in HOOKS} | {"pre-commit"} <= asked


def test_a_hook_that_reads_the_whole_project_is_given_no_files():
    for hook in HOOKS:
        assert set(hook) <= {"id", "name", "entry", "language", "types_or", "require_serial", "pass_filenames"}
        assert hook.get("pass_filenames", True) == (hook["id"] != "mypy")


def test_functions_are_held_to_a_complexity():
    """Ten ways through one are the most; who needs more says why on the line."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "C901" in ruff["select"]
    assert ruff["mccabe"]["max-complexity"] == 10
    assert "C901" not in [*ruff["ignore"], *(rule for rules in ruff["per-file-ignores"].values() for rule in rules)]
    for place in ("lrpc", "passes", "studies", "tests", "models", "benchmarks"):
        for file in (ROOT / place).rglob("*.py"):
            for line in file.read_text(encoding="utf-8").splitlines():
                if "noqa: C901" in line and file != Path(__file__):
                    assert re.search(r"# noqa: C901 +# \w+ \w+", line), f"{file}: {line}"
