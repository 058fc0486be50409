"""Imports go down only, and running a bundle needs numpy, onnx and onnxruntime alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    "version", "rules", "bundle", "composites", "emit", "ops", "images", "behaviours", "plan", "lower", "variants",
    "assemble", "runtime", "package", "export", "reference", "compiler", "inspect", "cli",
)  # fmt: skip
"""The rooms of lrpc from the ground up: each may import from those before it."""

SERVER = {"onnx_graphsurgeon", "torch", "click", "rich", "PIL", "matplotlib", "zennit", "tritonclient"}
"""What a machine that runs a bundle need not have."""
APART = {
    "rules": {"onnx", "onnxruntime", "numpy", "passes.graph", *SERVER},
    "composites": {"onnx", "onnxruntime", "numpy", "passes.graph", *SERVER},
    "bundle": {"onnxruntime", *SERVER},
    "ops": {"lrpc.rules.algebra", "lrpc.rules.constructors", "lrpc.rules.stabilizer", "lrpc.composites", "torch"},
    "behaviours": {"torch", "onnxruntime"},
    "plan": {"torch", "onnxruntime"},
    "lower": {"torch", "onnxruntime"},
    "variants": {"torch", "onnxruntime"},
    "assemble": {"torch", "onnxruntime"},
    "runtime": SERVER,
    "package": SERVER,
    "reference": {"lrpc.ops", "lrpc.behaviours", "lrpc.lower", "lrpc.plan", "lrpc.emit"},
}
"""What a room has no use for, beside what is above it. Numbers that are proved against each other share no code."""
LIGHT = {
    "inspect/bench/contestants.py": {"lrpc.plan", "lrpc.compiler", *SERVER},
    "inspect/bench/process.py": {"lrpc", "numpy", "onnx", "onnxruntime", *SERVER},
    "inspect/bench/result.py": {"lrpc", "numpy", "onnx", "onnxruntime", *SERVER},
}
"""What is weighed in a process of its own, or read without running anything, brings nothing along."""


def imported(file: Path) -> set[str]:
    """Every module that a file imports where it runs, not for type checking only."""
    names: set[str] = set()
    for node in _running(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _running(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def named(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def room_of(file: Path) -> str:
    return file.relative_to(ROOT / "lrpc").with_suffix("").parts[0]


FILES = [file for file in sorted((ROOT / "lrpc").rglob("*.py")) if room_of(file) not in ("__init__", "__main__")]


def test_every_module_is_in_a_room():
    assert {room_of(file) for file in FILES} == set(FLOORS)
    assert {file.stem for file in (ROOT / "lrpc").glob("*.py")} == {"__init__", "__main__", "version", "compiler"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_down_only(file):
    room = room_of(file)
    above = {f"lrpc.{other}" for other in FLOORS[FLOORS.index(room) + 1 :]}
    apart = APART.get(room, set()) | LIGHT.get(str(file.relative_to(ROOT / "lrpc")), set())
    wrong = [name for name in imported(file) if named(name, above | apart)]
    if FLOORS.index(room) < FLOORS.index("compiler") and "import lrpc\n" in file.read_text(encoding="utf-8"):
        wrong.append("lrpc")  # which is everything above
    assert not wrong, f"{room} is below, or has no use for, {wrong}"


PASSES = {"graph": {"errors", "numbers", "graph"}, "loading": {"errors", "numbers", "graph", "loading"}}
"""What the rooms of passes import of passes: the graph is below loading, and both are below the passes themselves."""


@pytest.mark.parametrize(("room", "below"), PASSES.items(), ids=PASSES)
def test_the_rooms_of_passes_import_down_only(room, below):
    for file in (ROOT / "passes" / room).rglob("*.py"):
        used = {name.split(".")[1] for name in imported(file) if name.startswith("passes.")}
        assert used <= below, file


def test_passes_know_nothing_of_relevance():
    for file in (ROOT / "passes").rglob("*.py"):
        assert not [name for name in imported(file) if named(name, {"lrpc"})], file


def test_torch_is_imported_by_export_and_reference_alone():
    allowed = {"lrpc/export", "lrpc/reference"}
    users = [
        str(file.relative_to(ROOT))
        for package in ("lrpc", "passes")
        for file in (ROOT / package).rglob("*.py")
        if any(name == "torch" or name.startswith(("torch.", "torchvision")) for name in imported(file))
    ]
    assert users
    assert [user for user in users if not any(user.startswith(room) for room in allowed)] == []


def test_running_a_bundle_loads_neither_torch_nor_the_compiler():
    code = (
        "import sys, lrpc; lrpc.Explainer; "
        "heavy = {'torch', 'onnx_graphsurgeon', 'click', 'rich', 'PIL', 'matplotlib', 'zennit'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_no_test_module_imports_from_another():
    """What two of them need has a home that is no test module: its tests would run twice, or be left out unseen."""
    for file in sorted((ROOT / "tests").rglob("*.py")):
        wrong = [name for name in imported(file) if any(part.startswith("test_") for part in name.split("."))]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"
