"""How long compiling takes, and how it grows with depth: `python -m benchmarks.compile_time`.

Writes a JSON file for this machine into benchmarks/results/: the models as `lrpc compile` takes them, and chains of
tiny layers of growing length, whose time should grow as their number of layers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

import lrpc
from benchmarks.chains import chain, residual_chain
from benchmarks.composites import built
from benchmarks.records import FOLDER, store
from lrpc.bundle.input_spec import InputSpec
from lrpc.composites.composite import Composite
from lrpc.export import export, load_torch
from lrpc.inspect.bench.machine import cores, describe

COMPOSITE = "epsilon_gamma_box"
_BLOCK = 5
"""Layers in a residual block."""
CHAINS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "chain": chain,
    "residual chain": lambda layers: residual_chain(layers // _BLOCK),
}


def main() -> None:
    """Measure models and chains at every level that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="resnet50,resnet152")
    parser.add_argument("--layers", default="250,500,1000,2000")
    parser.add_argument("--levels", default="0,1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    layers = [int(part) for part in options.layers.split(",")]
    machine = describe("cpu") | {"threads": cores()}
    for level in map(int, options.levels.split(",")):
        content = {
            "machine": machine,
            "models": {name: _model(name, level, options.rounds) for name in options.models.split(",")},
            "chains": {kind: _curve(build, layers, level, options.rounds) for kind, build in CHAINS.items()},
        }
        print(f"wrote {store('compile', machine, f'-O{level}', content, options.output)}")


def _model(name: str, level: int, rounds: int) -> dict[str, Any]:
    loaded = load_torch(f"torchvision:{name}")
    assert loaded.spec is not None
    with tempfile.TemporaryDirectory() as folder:
        path = export(loaded, Path(folder) / f"{name}.onnx")
        seconds, layers, size = _measured(path, built(COMPOSITE, loaded.spec), level, rounds)
        ratio = size / path.stat().st_size
    print(f"-O{level} {name}: {layers} layers, {seconds:.2f} s, bundle {ratio:.3f} x the model", flush=True)
    return {"layers": layers, "seconds": seconds, "size_ratio": ratio}


def _curve(
    build: Callable[[int], onnx.ModelProto], counts: Sequence[int], level: int, rounds: int
) -> list[tuple[int, float]]:
    spec = InputSpec((4, 4, 4), mean=[0.5] * 4, std=[0.25] * 4)
    curve = []
    for count in counts:
        seconds, layers, _ = _measured(build(count), built(COMPOSITE, spec), level, rounds)
        print(f"-O{level} {build(5).graph.name} of {layers} layers: {seconds:.2f} s", flush=True)
        curve.append((layers, seconds))
    return curve


def _measured(source: Path | onnx.ModelProto, composite: Composite, level: int, rounds: int) -> tuple[float, int, int]:
    """Return the seconds to compile and save, best of several, the number of layers, and the bundle's bytes."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            compiled = lrpc.compile(source, composite=composite, optimize=level)
            bundle = compiled.save(Path(folder) / "model.lrp")
            times.append(time.perf_counter() - started)
            size = sum(file.stat().st_size for file in bundle.iterdir())
    return min(times), len(compiled.plan.rows), size


if __name__ == "__main__":
    main()
