"""Which code is mutated, and copies of the tree in which that is done."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORE = ROOT / ".mutation"
"""What a run keeps between calls: which test runs which line."""

_FOLDERS = (
    "lrpc/behaviours",
    "lrpc/behaviours/linear",
    "lrpc/lower",
    "lrpc/ops",
    "passes",
    "passes/graph",
    "passes/loading",
)
_MODULES = (
    "plan/certificate", "plan/facts", "plan/simplify", "plan/support", "rules/algebra", "rules/sign",
    "rules/stabilizer", "runtime/buffers", "runtime/engine", "runtime/explainer",
    "runtime/explanation", "runtime/health", "runtime/seeds", "runtime/session",
)  # fmt: skip

_TEXTS = ("errors.py",)
"""Modules that do nothing but word messages."""

_LEFT_OUT = (".git", ".venv", STORE.name, "__pycache__", ".*_cache", ".hypothesis", "node_modules", "demo", "build")


def mutated_files(root: Path = ROOT) -> list[Path]:
    """Return the files whose code is mutated, in order."""
    folders = [path for folder in _FOLDERS for path in sorted((root / folder).glob("*.py")) if path.name not in _TEXTS]
    return [*folders, *(root / f"lrpc/{name}.py" for name in _MODULES)]


def suites(root: Path = ROOT) -> list[Path]:
    """Return the files of the default test suite, in order."""
    return sorted((root / "tests").rglob("test_*.py"))


def copy_tree(target: Path) -> Path:
    """Copy what the tests need of the repository; nothing is ever mutated in place."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    return target


def digest(files: Iterable[Path]) -> str:
    """Return one number for what some files hold."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
