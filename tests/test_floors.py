"""Imports go down only, and running a bundle needs numpy, onnx and onnxruntime alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RUNTIME = ["torch", "click", "rich", "PIL", "onnx_graphsurgeon", "lrpc.plan"]
"""What a server that runs a bundle need not have."""

FORBIDDEN = {
    "passes": ["lrpc"],
    "lrpc/rule_arguments.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc.rules"],
    "lrpc/composite.py": ["lrpc.plan", "lrpc.ops", "lrpc.lower", "lrpc.compiler", "onnx", "numpy"],
    "lrpc/rules.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch"],
    "lrpc/algebra.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc.rules"],
    "lrpc/stabilizer.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc"],
    "lrpc/kinds.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc"],
    "lrpc/ops": ["lrpc.rules", "lrpc.algebra", "lrpc.stabilizer", "lrpc.plan", "lrpc.lower", "lrpc.compiler", "torch"],
    "lrpc/composites.py": ["lrpc.plan", "lrpc.ops", "lrpc.lower", "lrpc.compiler", "onnx", "numpy"],
    "lrpc/plan.py": ["lrpc.lower", "lrpc.compiler", "lrpc.bundle", "lrpc.runtime", "torch"],
    "lrpc/lower": ["lrpc.compiler", "lrpc.bundle", "lrpc.runtime", "lrpc.reference", "torch"],
    "lrpc/reference": ["lrpc.ops", "lrpc.lower", "lrpc.plan", "lrpc.compiler", "lrpc.emitter"],
    "lrpc/bundle.py": ["torch", "click", "rich", "PIL", "onnx_graphsurgeon", "lrpc.plan"],
    "lrpc/manifest.py": [*RUNTIME, "onnx", "onnxruntime"],
    "lrpc/agreement.py": [*RUNTIME, "onnx"],
    "lrpc/array_file.py": [*RUNTIME, "onnx", "onnxruntime"],
    "lrpc/picture_file.py": ["torch", "click", "rich", "onnx_graphsurgeon", "lrpc.plan", "onnx", "onnxruntime"],
    "lrpc/runtime.py": ["torch", "click", "rich", "PIL", "onnx_graphsurgeon", "lrpc.plan"],
    "lrpc/health.py": ["torch", "click", "rich", "PIL", "onnx_graphsurgeon", "lrpc"],
    "lrpc/instrument.py": RUNTIME,
    "lrpc/sign.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc"],
    "lrpc/rule_facts.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc.rules", "lrpc.plan"],
    "lrpc/facts.py": ["lrpc.lower", "lrpc.compiler", "torch"],
    "lrpc/support.py": ["lrpc.lower", "lrpc.compiler", "lrpc.facts", "torch"],
    "lrpc/simplify.py": ["onnx", "onnx_graphsurgeon", "numpy", "lrpc.lower", "lrpc.compiler", "torch"],
    "lrpc/capabilities.py": ["onnx", "onnx_graphsurgeon", "numpy", "passes", "torch", "lrpc"],
    "lrpc/supported.py": ["onnx_graphsurgeon", "lrpc.ops", "lrpc.lower", "lrpc.compiler", "torch"],
    "lrpc/targets.py": ["onnx", "onnx_graphsurgeon", "numpy", "lrpc.ops", "lrpc.lower", "torch"],
    "lrpc/certificate.py": ["lrpc.lower", "lrpc.compiler", "lrpc.runtime", "torch"],
    "lrpc/session.py": ["torch", "click", "rich", "PIL", "onnx_graphsurgeon", "lrpc.plan"],
    "lrpc/files.py": [*RUNTIME, "lrpc", "numpy", "onnx", "onnxruntime"],
    "lrpc/binding.py": RUNTIME,
    "lrpc/pair.py": RUNTIME,
    "lrpc/seeds.py": RUNTIME,
    "lrpc/others.py": RUNTIME,
    "lrpc/entries.py": ["lrpc.plan", "lrpc.ops", "lrpc.lower", "lrpc.compiler", "torch"],
    "lrpc/placement.py": [*RUNTIME, "lrpc", "numpy", "onnxruntime"],
    "lrpc/package": [*RUNTIME, "lrpc.compiler", "tritonclient"],
    "lrpc/inspect": ["lrpc.cli"],
    "lrpc/inspect/contestants.py": ["torch", "click", "rich", "PIL", "onnx_graphsurgeon", "lrpc.plan", "lrpc.compiler"],
    "lrpc/inspect/process.py": ["numpy", "onnx", "onnxruntime", "torch", "lrpc"],
    "lrpc/inspect/bench_result.py": ["numpy", "onnx", "onnxruntime", "torch", "lrpc"],
}


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


@pytest.mark.parametrize(("room", "forbidden"), FORBIDDEN.items(), ids=str)
def test_a_room_imports_nothing_from_above_it(room, forbidden):
    path = ROOT / room
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    assert files
    for file in files:
        wrong = [n for n in imported(file) for f in forbidden if n == f or n.startswith(f"{f}.")]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


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
