"""Time lrpc against zennit and the plain forward pass, in one run: `python -m benchmarks.explain [--provider cuda]`.

Prints a Markdown table: milliseconds per image, best of several, and the ratio to ONNX Runtime's forward
pass. With --provider cuda it also prints how far CUDA is from the CPU; a node that cannot run on the
device is an error.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

import lrpc
from lrpc.export import export, load_torch
from lrpc.session import open_session

COMPOSITES = ("epsilon_gamma_box", "epsilon_plus", "epsilon_alpha2_beta1")


def best(run: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the fastest of several runs, after one to warm up."""
    run()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Measure one torchvision model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(options, Path(folder))


def _measure(options: argparse.Namespace, folder: Path) -> None:
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[options.provider]
    loaded = load_torch(f"torchvision:{options.model}")
    model = export(loaded, folder / "model.onnx")
    spec = loaded.spec
    assert spec is not None
    x = np.random.default_rng(0).standard_normal((options.batch, *spec.shape)).astype(np.float32)
    print(_machine(options))
    session = open_session(model, [provider])
    forward = best(lambda: session.run(None, {"input": x}), options.rounds)
    rows = [("ONNX Runtime forward", forward)]
    for name in COMPOSITES:
        bounds = {"low": spec.low, "high": spec.high} if name == "epsilon_gamma_box" else {}
        started = time.perf_counter()
        compiled = lrpc.compile(model, composite=lrpc.composites.COMPOSITES[name](**bounds))
        bundle = compiled.save(folder / f"{name}.lrp")
        compiling = time.perf_counter() - started
        size = sum(file.stat().st_size for file in bundle.iterdir()) / model.stat().st_size
        print(f"{name}: compiled in {compiling:.1f} s, bundle {size:.3f} x the model's size")
        explainer = lrpc.Explainer(bundle, providers=[provider])
        rows.append((f"lrpc -O0 {name}", best(lambda e=explainer: e(x, 1), options.rounds)))
        rows.append((f"zennit {name}", _zennit(loaded.module, name, bounds, x, options)))
        if provider != "CPUExecutionProvider":
            _parity(explainer, lrpc.Explainer(bundle), x)
    print("\n| what | ms per image | forwards |\n|---|---|---|")
    for label, seconds in rows:
        print(f"| {label} | {1e3 * seconds / options.batch:.1f} | {seconds / forward:.2f} |")


def _zennit(
    module: torch.nn.Module, name: str, bounds: dict[str, object], x: np.ndarray, options: argparse.Namespace
) -> float:
    from lrpc.reference.zennit_adapter import prepared_zennit

    device = torch.device(options.provider)
    model, composite = prepared_zennit(module, name, torch.float32, x.ndim, **bounds)
    model = model.to(device)
    tensor = torch.from_numpy(x).to(device).requires_grad_()
    seed = torch.zeros(len(x), 1000, device=device)
    seed[:, 1] = 1
    with composite.context(model) as modified:

        def run() -> None:
            torch.autograd.grad(modified(tensor), tensor, seed)[0].cpu()

        return best(run, options.rounds)


def _parity(there: lrpc.Explainer, here: lrpc.Explainer, x: np.ndarray) -> None:
    a, b = there(x[:2], 1).relevance, here(x[:2], 1).relevance
    print(f"  CUDA against CPU: relative L2 {np.linalg.norm(a - b) / np.linalg.norm(b):.1e}, every node on the device")


def _machine(options: argparse.Namespace) -> str:
    if options.provider == "cuda":
        processor = torch.cuda.get_device_name()
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = f"{models[0] if models else platform.processor()}, {torch.get_num_threads()} threads"
    versions = f"onnx {onnx.__version__}, onnxruntime {ort.__version__}, torch {torch.__version__}"
    return f"{options.model}, batch {options.batch}, {processor}; {versions}\n"


if __name__ == "__main__":
    main()
