"""Time explanations of torchvision's models beside forward, gradient and zennit: `python -m benchmarks.run`.

Writes a JSON file for this machine into benchmarks/results/, model by model; `python -m benchmarks.report` makes
docs/benchmarks.md of all that is there. With --provider cuda it also measures how far CUDA is from the CPU; a node that
cannot run on the device is an error.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import lrpc
from benchmarks.composites import NAMES, built
from benchmarks.records import FOLDER, store
from lrpc.composites.composite import Composite
from lrpc.export import export, load_torch
from lrpc.inspect.bench.bench import LEVELS, Case, Setting, bench
from lrpc.inspect.bench.contestants import PROVIDERS, Machine, Torch
from lrpc.inspect.bench.machine import cores
from lrpc.inspect.bench.result import Bench
from passes.graph import sizes_of


def main() -> None:
    """Measure every model that is asked for."""
    options = _options()
    machine = Machine(options.provider, options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    for model in options.models:
        setting = Setting(
            machine,
            Torch(f"torchvision:{model}"),
            options.batches,
            options.rounds,
            options.levels,
            options.memory,
            options.profile,
        )
        with tempfile.TemporaryDirectory() as folder:
            found, content = _measured(model, options.composites, setting, Path(folder))
        wrote = store("explain", found.machine, options.title or model, content, options.output)
        print(f"wrote {wrote}", flush=True)


def _options() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=names, default=["resnet50"], help="resnet18,resnet50,resnet101,vgg16,...")
    parser.add_argument("--composites", type=names, default=list(NAMES), help=",".join(NAMES))
    parser.add_argument("--batches", type=numbers, default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--levels", type=numbers, default=list(LEVELS))
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--provider", choices=list(PROVIDERS), default="cpu")
    parser.add_argument("--memory", action="store_true", help="peak memory too")
    parser.add_argument("--profile", action="store_true", help="where the time goes too, by op")
    parser.add_argument("--title", help="what the run is called, where one model has several: 'resnet50, batch 16'")
    parser.add_argument("--output", type=Path, default=FOLDER)
    return parser.parse_args()


def _measured(name: str, chosen: list[str], setting: Setting, folder: Path) -> tuple[Bench, dict[str, Any]]:
    loaded = load_torch(f"torchvision:{name}")
    model = export(loaded, folder / f"{name}.onnx")
    assert loaded.spec is not None
    composites = [built(composite, loaded.spec) for composite in chosen]
    found = bench(model, [Case(composite) for composite in composites], setting, lambda line: print(line, flush=True))
    content = json.loads(found.to_json())
    if setting.machine.provider != "cpu":
        content["parity"] = {composite.name: _parity(model, composite, setting) for composite in composites}
    return found, content


def _parity(model: Path, composite: Composite, setting: Setting) -> dict[str, float]:
    """Return, by level, how far the relevance on the device is from that on the CPU, relative in L2."""
    entry = lrpc.plan_model(model, composite=composite).graph.inputs[0]
    x = np.random.default_rng(0).uniform(-1, 1, (2, *sizes_of(entry, 1))).astype(np.float32)
    found = {}
    for level in setting.levels:
        compiled = lrpc.compile(model, composite=composite, optimize=level)
        providers = (PROVIDERS[setting.machine.provider], PROVIDERS["cpu"])
        there, here = (lrpc.Explainer(compiled, providers=[p])(x, 0).relevance for p in providers)
        found[f"lrpc -O{level}"] = float(np.linalg.norm(there - here) / np.linalg.norm(here))
    return found


if __name__ == "__main__":
    main()
