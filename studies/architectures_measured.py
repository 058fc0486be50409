"""What docs/architectures.md says of a network: whether it compiles, its size, its errors against the references."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

import lrpc
from lrpc.composites.composite import Composite
from lrpc.export.conversion import write_module
from lrpc.inspect.bench.process import peak_memory
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle, run_zennit
from lrpc.reference.zennit_adapter import COMPOSITES
from passes.errors import LrpcError
from studies.nets import FAMILIES, HIGH, LOW, NETS

INPUTS = 3
PARAMETERS: dict[str, dict[str, float]] = {"epsilon_gamma_box": {"low": LOW, "high": HIGH}, "bounded": {}}
"""The composites that every network is run under; what amplifies nothing shows the smallest mistakes."""


def measured(name: str) -> dict[str, Any]:
    """Return all that the table says of a network."""
    net = NETS[name]
    module: torch.nn.Module | None = net.settled()
    assert module is not None
    x, weights = net.inputs(INPUTS), sum(p.numel() for p in module.parameters())
    with torch.no_grad():
        scores = module(torch.from_numpy(x)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        write_module(module, torch.randn(2, *net.shape), path, {})
        if FAMILIES[net.family] or net.refused:
            module = None  # the largest leave no memory for what nobody needs
        try:
            found = _compiled(path, x, scores, module)
        except LrpcError as error:
            reasons = Counter((problem.op, problem.reason) for problem in error.problems)
            return {"headline": error.headline, "refused": [[*key, count] for key, count in sorted(reasons.items())]}
    return {"shape": net.shape, "weights": weights, **found, "peak": peak_memory()}


def _compiled(path: Path, x: np.ndarray, scores: np.ndarray, module: torch.nn.Module | None) -> dict[str, Any]:
    """Return what is found of a file. scores: the module's, of x.  module: what zennit explains, if it can."""
    seed = _seed(scores)
    found: dict[str, Any] = {"composites": {}}
    for name, parameters in PARAMETERS.items():
        composite = lrpc.composites.COMPOSITES[name](**parameters)
        layers, exact, rounded = _by_definition(path, composite, x, seed)
        entry: dict[str, Any] = {"oracle": errors(rounded, exact)}
        for level in (0, 1):
            told, result = _explained(path, composite, level, x, seed)
            entry[f"-O{level}"] = errors(result.relevance, exact)
            found |= {"layers": layers, **told, "forward": max(errors(result.output, scores))}
        if name in COMPOSITES and module is not None:
            theirs = run_zennit(module, name, parameters, x, seed).relevance
            entry |= {"zennit": errors(result.relevance, theirs), "definitions": errors(exact, theirs)}
        found["composites"][name] = entry
    return found


def _by_definition(
    path: Path, composite: Composite, x: np.ndarray, seed: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the number of layers, and the oracle's relevance in float64 and in float32."""
    plan = lrpc.plan_model(path, composite=composite)
    exact, rounded = (
        run_oracle(plan.graph, plan.behaviours, x, seed, dtype).relevance for dtype in ("float64", "float32")
    )
    return len(plan.rows), exact, rounded


def _explained(
    path: Path, composite: Composite, level: int, x: np.ndarray, seed: np.ndarray
) -> tuple[dict[str, float], lrpc.Explanation]:
    """Compile, save and run; told: the seconds until it was saved, and the nodes of relevance.onnx."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        bundle = lrpc.compile(path, composite=composite, optimize=level, seed_input=True).save(Path(folder) / "m")
        seconds = time.perf_counter() - started
        nodes = len(onnx.load(bundle / "relevance.onnx", load_external_data=False).graph.node)
        return {"seconds": seconds, "nodes": nodes}, lrpc.Explainer(bundle)(x, seed)


def _seed(scores: np.ndarray) -> np.ndarray:
    """Return a seed for class 1, of a map everywhere; for the top class where a last ReLU left class 1 nothing."""
    seed = np.zeros_like(scores)
    seed[:, 1] = 1
    for sample, values in zip(seed, scores, strict=True):
        if not values[1].any():
            sample[1], sample[values.reshape(len(values), -1).sum(axis=1).argmax()] = 0, 1
    return seed


def errors(ours: np.ndarray, expected: np.ndarray) -> list[float]:
    """Return the relative error of each input's result."""
    return [relative_error(one, other) for one, other in zip(ours, expected, strict=True)]
