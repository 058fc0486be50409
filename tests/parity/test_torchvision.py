"""torchvision's networks at full size under every composite, against zennit in float64."""

from __future__ import annotations

import hashlib
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import lrpc
from lrpc.export import export, load_torch
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import COMPARED, NEGLIGIBLE, compare, validate
from lrpc.reference import run_zennit
from lrpc.reference.oracle import ReferenceResult
from lrpc.reference.zennit_adapter import COMPOSITES
from tests.nets import pictures, settle

LAYERS = {"alexnet": 12, "resnet18": 31, "resnet50": 72, "vgg11_bn": 17, "vgg16": 22}
"""Convolutions, dense layers, sums and pools of each network: all of them are compared."""

CACHE = Path(__file__).parents[2] / ".reference_cache"
"""float64 results by content; delete it at will."""

pytestmark = pytest.mark.slow


@cache
def exported(name, folder):
    loaded = load_torch(f"torchvision:{name}")
    settle(loaded.module, torch.randn(4, *loaded.spec.shape, generator=torch.Generator().manual_seed(0)), rounds=1)
    return loaded, onnx.load(export(loaded, folder / f"{name}.onnx"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def exact(module, composite, parameters, x, seed, layers) -> ReferenceResult:
    """Run zennit in float64, or take what an earlier run of the same content stored (as float32)."""
    digest = hashlib.sha256(repr((composite, sorted(parameters.items()), sorted(layers), torch.__version__)).encode())
    for array in (x, seed, *(value.numpy() for value in module.state_dict().values())):
        digest.update(array.tobytes())
    file = CACHE / f"{digest.hexdigest()[:32]}.pickle"
    if not file.exists():
        result = run_zennit(module, composite, parameters, x, seed)
        kept = ReferenceResult(
            result.output,
            result.relevance,
            {k: v.astype(np.float32) for k, v in result.activations.items() if k in layers},
            {k: v.astype(np.float32) for k, v in result.arriving.items() if k in layers},
        )
        CACHE.mkdir(exist_ok=True)
        file.write_bytes(pickle.dumps(kept))
        return result
    return pickle.loads(file.read_bytes())


def sliced(result, i: int):
    """One sample of a batch's results, ours or a reference's."""
    one = slice(i, i + 1)
    tensors = ({k: v[one] for k, v in part.items()} for part in (result.activations, result.arriving))
    return type(result)(result.output[one], result.relevance[one], *tensors)


@pytest.mark.parametrize("composite", [name for name in COMPOSITES if name not in ("tutorial", "epsilon")])
@pytest.mark.parametrize("name", LAYERS)
def test_parity(name, composite, folder):
    """One float32 run of each side decides where it passes.

    Where it does not, five runs decide, on inputs that differ by a rounding: two maxima of a pool that
    are equal but for rounding have a winner by chance, in zennit as in lrpc.
    """
    loaded, proto = exported(name, folder)
    spec, module = loaded.spec, loaded.module
    parameters = {"low": spec.low, "high": spec.high} if composite == "epsilon_gamma_box" else {}
    plan = lrpc.plan_model(proto, composite=lrpc.composites.COMPOSITES[composite](**parameters))
    x, seed = pictures(spec), np.eye(1000, dtype=np.float32)[[1, 10, 100]]
    layers = {row.layer for row in plan.rows if row.kind in COMPARED}
    rounded = run_zennit(module, composite, parameters, x, seed, "float32")
    reference = exact(module, composite, parameters, x, seed, layers)
    ours = run_traced(plan, x, seed)
    result = compare(plan, ours, "zennit", reference, rounded)
    report(f"{name} {composite}", result)
    assert len(result.layers) == LAYERS[name]
    if result.passed:
        return

    for i in range(len(x)):
        if compare(plan, sliced(ours, i), "zennit", sliced(reference, i), sliced(rounded, i)).passed:
            continue

        def run(copies, seeds, dtype, i=i):
            if dtype == "float64":
                return sliced(reference, i)
            return run_zennit(module, composite, parameters, copies, seeds, dtype)

        again = validate(plan, x[i : i + 1], seed[i : i + 1], "zennit", run)
        report(f"{name} {composite}, input {i}, five roundings", again)
        assert again.passed, [(c.layer, c.relevance, c.yardstick) for c in again.failures]


def report(title, result):
    large = [c.ratio for c in result.layers if c.relevance >= NEGLIGIBLE]
    print(
        f"\n{title}: {len(result.layers)} layers, median ratio {result.median_ratio:.2f}, "
        f"worst ratio {max(large, default=0.0):.2f} (errors above {NEGLIGIBLE:g}), "
        f"worst error {max(c.relevance for c in result.layers):.1e}, "
        f"input {result.input.relevance:.1e} ({result.input.ratio:.2f})"
    )
