"""Every model of onnx's own test suite compiles with its forward output unchanged, or is refused in lrpc's words.

One that compiles also runs: with the batch that its file gives, and where that is free, with 3 samples as with each of them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from lrpc.ops import OPS

ROOT = Path(__file__).parents[2]
LIMIT = 1800

COMPILED = {"files": 81, "nodes": 235, "free": 205}
"""At least so many do, with onnx 1.23; newer ones add tests."""

EXCUSES = {
    r"depends on \d+ inputs": "several inputs",
    r"is float|is bfloat|is u?int|needs a float32 input": "not float32",
    "cannot be converted to": "an opset that ONNX Runtime does not run, in a type that older ones lack",
    r"batch is not its first axis|rows for each sample|(along|over|reduces|drops|size of) the batch|for each of \d+ samples": "samples are mixed, or lie along another axis",
    r"cannot run the model: .*(mismatched dimensions|Invalid bias|Dimension mismatch|must match X.shape)": "the size of the batch is written into its constants, so that it does not run with another",
    "has no input": "nothing to explain",
    "not a tensor of a known type|has no shape, and none can be inferred": "a sequence or an optional value",
    "in training mode": "normalises by the batch, or drops at random",
    "transposes its input": "the batch is not the first axis",
    "only constant padding": "reflects or repeats what is at the edge",
    "only nearest and linear resizing": "cubic, antialiased or cropping",
    "keeping the aspect ratio": "a resize to at most or at least a size",
    "it reduces the batch": "a sum or mean over all axes: samples are mixed",
    "it names no axes": "a sum of nothing, between the model's input and its output",
    "steps backwards": "a slice with a negative step",
    "combines the input with a constant": "a product with a constant of another shape than one number per channel",
    r"Could not find an implementation for Swish|Failed to find kernel for Swish": "ONNX Runtime cannot run the file itself",
    "one of its operands is a constant": "a sum with a constant that no layer before it can take as bias",
}
"""Why a model whose ops are all in the table may be refused, by what the refusal says."""


@cache
def outcomes(kind: str) -> list[dict[str, object]]:
    """Run them in a process of their own: a crash of native code must not take the test suite with it."""
    command = [sys.executable, "-m", "tests.corpus", kind]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert run.returncode == 0, f"crashed on {lines[-1]}: {run.stderr[-2000:]}"
    return [line for line in lines if "end" in line]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPILED)
def test_every_model_compiles_or_is_refused(kind):
    models = outcomes(kind)
    ends = Counter(str(model["end"]) for model in models)
    print(f"\n{kind}: {len(models)} models, {dict(ends)}")
    assert {"compiled", "refused"} == set(ends), [m for m in models if m["end"] not in ("compiled", "refused")]
    assert ends["compiled"] >= COMPILED[kind]
    known = [model for model in models if set(model["ops"]) <= OPS.keys() | {"Constant"}]
    refused = [model for model in known if model["end"] == "refused"]
    unexcused = [m for m in refused if not any(re.search(pattern, str(m["text"])) for pattern in EXCUSES)]
    print(f"{len(known)} of ops in the table, {len(refused)} of them refused for a reason that is listed")
    assert unexcused == []


@pytest.mark.slow
def test_the_light_networks_compile():
    """All nine: AlexNet, DenseNet, two Inceptions, ResNet, ShuffleNet, SqueezeNet, VGG, ZFNet."""
    ends = {str(m["name"]): m["end"] for m in outcomes("files")}
    light = {name: end for name, end in ends.items() if name.startswith("light_")}
    assert len(light) == 9
    assert set(light.values()) == {"compiled"}
