"""What the README and the docs say is executed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from lrpc.cli import main
from lrpc.composites.builtin import COMPOSITES
from lrpc.inspect.conformance.runtimes import RUNTIMES
from lrpc.ops import OPS
from lrpc.plan.op_table import markdown, op_rows
from lrpc.rules.constructors import RULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language, text):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which the repository's models stand where the README has them."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_readme_runs(folder, capsys):
    (code,) = blocks("python", README)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "gamma(0.25)" in printed
    assert "(4, 10) (4, 3, 64, 64)" in printed


def test_the_commands_of_the_readme_run(folder):
    commands = [line for block in blocks("sh", README) for line in block.splitlines() if line.startswith("lrpc ")]
    local = [c for c in commands if any(name in c for name in ("models/shapes", "shapes.lrp", "shapes.explain.onnx"))]
    assert len(local) == 12
    for command in local:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}"


def test_the_readme_and_the_contract_name_every_command():
    contract = (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    for command in main.commands:
        assert f"`lrpc {command}`" in README
        assert f"lrpc {command} " in contract


def test_every_option_of_the_contract_exists():
    contract = (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    known = {option for c in main.commands.values() for p in c.params for option in p.opts} | {"--debug"}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", contract.split("## Layer names")[0]))
    assert mentioned - known == set()


def test_semantics_names_every_rule_and_composite():
    text = (ROOT / "docs/semantics.md").read_text(encoding="utf-8")
    for name in (*RULES, *COMPOSITES):
        assert name in text


def test_the_table_of_ops_is_what_the_ops_say():
    """`python -m studies.ops` writes it anew."""
    assert (ROOT / "docs/ops.md").read_text(encoding="utf-8") == markdown()
    assert [row.op for row in op_rows()] == list(OPS)


def test_the_command_prints_the_table_of_ops():
    printed = CliRunner().invoke(main, ["ops"]).output
    assert all(row.op in printed for row in op_rows())
    rows = json.loads(CliRunner().invoke(main, ["ops", "--json"]).output)
    assert [row["op"] for row in rows] == list(OPS)
    by_op = {row["op"]: row for row in rows}
    assert by_op["Relu"]["rules"] == ["pass", "gradient", "the ReLU rules"]
    assert by_op["Conv"]["rules"] == ["every linear rule", "gradient"]
    assert by_op["Conv"]["tested_by"] == ["oracle", "zennit"]


def test_the_toml_of_the_contract_is_a_composite(tmp_path):
    from lrpc.composites.toml import composite_from_toml

    (toml,) = blocks("toml", (ROOT / "docs/contract.md").read_text(encoding="utf-8"))
    (tmp_path / "c.toml").write_text(toml)
    assert composite_from_toml(tmp_path / "c.toml").name == "mine"


@pytest.mark.parametrize(
    "file",
    [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "models/README.md",
        *sorted((ROOT / "examples").rglob("*.md")),
    ],
    ids=str,
)
def test_links_lead_somewhere(file):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), target


def test_stability_has_every_table_that_its_script_makes():
    """`python -m studies.stability` fills them; an empty one was never made."""
    text = (ROOT / "docs/stability.md").read_text(encoding="utf-8")
    tables = dict(re.findall(r"<!-- (\w+) -->\n(.*?)<!-- end -->", text, re.DOTALL))
    script = (ROOT / "studies/stability.py").read_text(encoding="utf-8")
    assert set(tables) == set(re.findall(r'_write\(\s*"(\w+)"', script))
    assert all(table.count("\n") > 3 for table in tables.values())


def test_deploy_has_the_tables_that_the_code_makes_and_every_run():
    """`python -m studies.conformance` writes them; --tables-only those that need no runtime."""
    from studies.conformance import DOCUMENT, RUNS, TABLES, section

    text = DOCUMENT.read_text(encoding="utf-8")
    assert {name: section(text, name) for name in TABLES} == {name: make() for name, make in TABLES.items()}
    for name in RUNS:
        printed = section(text, name)
        assert all(runtime.title in printed for runtime in RUNTIMES)
        assert "DISAGREES" not in printed
        assert "FAILED" not in printed


def test_benchmarks_is_what_the_runs_make():
    """`python -m benchmarks.report` writes it, and the pictures."""
    from benchmarks.report import page

    assert (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8") == page()


def test_architectures_is_what_the_runs_make_and_leaves_no_builder_out():
    """`python -m studies.architectures` runs the networks and writes it."""
    from studies.architectures_page import page, stored
    from studies.nets import NETS

    assert (ROOT / "docs/architectures.md").read_text(encoding="utf-8") == page()
    assert all(name in page() for name in NETS)
    assert set(stored()["nets"]) <= set(NETS)
