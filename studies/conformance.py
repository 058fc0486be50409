"""Write the tables of docs/deploy.md anew: `python -m studies.conformance [--tables-only]`.

What runtimes lack comes from lrpc/emit/capabilities.py; how far they are from ONNX Runtime, from runs on this machine
of the trained network and of ResNet-50 with random weights (2 minutes). --tables-only leaves the runs as they are.

Needs the runtimes that `make test-deploy` installs.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner

import lrpc
from lrpc.cli import main as command_line
from lrpc.emit.capabilities import FORMS, LACKS, TARGETS

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/deploy.md"
NODE_MODULES = ROOT / "tests/deploy/node_modules"


def targets() -> str:
    """Return a table of which runtimes each target stands for."""
    rows = [f"| `{target}` | {', '.join(runtimes)} |" for target, runtimes in TARGETS.items()]
    return "\n".join(["| `--target` | for |", "|---|---|", *rows])


def capabilities() -> str:
    """Return a table of what some runtime lacks, and how that is known."""
    runtimes = [name for name, lacking in LACKS.items() if lacking]
    heads = ["operator form", *runtimes]
    rows = [[form, *(_cell(runtime, form) for runtime in runtimes)] for form in FORMS]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def _cell(runtime: str, form: str) -> str:
    lack = LACKS[runtime].get(form)
    return "" if lack is None else f"{lack.how} ({lack.known})"


def shapes() -> str:
    """Return what `lrpc conformance` says of the trained network, with pictures in and heatmaps out."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = lrpc.compile(ROOT / "models/shapes/shapes.onnx", target="portable")
        file = Path(folder) / "shapes.explain.onnx"
        return _printed(compiled.variant(preprocess="any", heatmap=True).save(file, single_file=True))


def resnet50(composite: str) -> str:
    """Return what it says of ResNet-50."""
    from lrpc.export import export, load_torch

    with tempfile.TemporaryDirectory() as folder:
        loaded = load_torch("torchvision:resnet50")
        model = export(loaded, Path(folder) / "resnet50.onnx")
        # epsilon_gamma_box takes the input's range from the file, where it is the default.
        chosen = None if composite == "epsilon_gamma_box" else lrpc.composites.COMPOSITES[composite]()
        compiled = lrpc.compile(model, composite=chosen, target="portable")
        file = Path(folder) / "resnet50.explain.onnx"
        return _printed(compiled.variant(preprocess="size", heatmap=True).save(file, single_file=True))


def _printed(file: Path) -> str:
    result = CliRunner().invoke(command_line, ["conformance", str(file), "--node-modules", str(NODE_MODULES)])
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    return "\n".join(["```", *lines, "```"])


TABLES = {"targets": targets, "capabilities": capabilities}
RUNS = {
    "shapes": shapes,
    "resnet50 epsilon-gamma-box": lambda: resnet50("epsilon_gamma_box"),
    "resnet50 epsilon-plus": lambda: resnet50("epsilon_plus"),
}


def section(text: str, name: str) -> str:
    """Return what a document has between the marks of a section."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    return str(found)


def main() -> None:
    """Write every section."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, make in (TABLES if "--tables-only" in sys.argv else TABLES | RUNS).items():
        text = text.replace(f"<!-- {name} -->\n{section(text, name)}\n", f"<!-- {name} -->\n{make()}\n")
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
