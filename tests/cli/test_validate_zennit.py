"""lrpc validate --reference zennit: both ways to give the PyTorch model, and what zennit is no reference for."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnx.parser
import pytest

SHAPES = Path(__file__).parents[2] / "models/shapes"
FACTORY = ("--torch", "models.shapes.network:shapes_resnet", "--weights", SHAPES / "shapes.pt")


def test_our_own_network_passes_and_says_what_became_modules(run):
    found = json.loads(run("validate", SHAPES / "shapes.onnx", "--reference", "zennit", *FACTORY, "--json").output)
    assert found["passed"]
    assert found["missing"] == []
    assert "8 functions of the PyTorch model became modules" in found["note"]
    assert "(layer1.0.add, layer1.1.add, layer2.0.add and 5 more)" in found["note"]
    assert {f"layer{stage}.{block}.add" for stage in (1, 2, 3, 4) for block in (0, 1)} <= {
        layer["layer"] for layer in found["layers"]
    }


@pytest.mark.slow
def test_a_network_of_torchvision_passes_and_says_so(run):
    run("export", "torchvision:mobilenet_v2", "-o", "net.onnx", "--weights", "none", "--input-shape", "3,64,64")
    output = run("validate", "net.onnx", "--reference", "zennit", "--torch", "torchvision:mobilenet_v2").output
    assert "11 functions of the PyTorch model became modules" in output
    assert "passed: 64 layers" in output


HEADER = '<ir_version: 8, opset_import: ["" : 18]>\n'
WITHOUT_RULE = {
    "a product": (
        "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1,2,3,4}> { a = MatMul(x, w) b = Tanh(x) y = Mul(a, b) }",
        "zennit has no rule for products of computed tensors, and gives them the gradient",
    ),
    "a norm": (
        "g (float[n,2] x) => (float[n,2] y) <float[2] w = {1,2}> { a = Relu(x) y = LayerNormalization(a, w) }",
        "the plan says pass; zennit has no rule for such norms, and gives them the gradient",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WITHOUT_RULE.values(), ids=WITHOUT_RULE)
def test_what_zennit_has_no_rule_for_is_refused_with_what_works(run, text, reason):
    onnx.save(onnx.parser.parse_model(HEADER + text), "net.onnx")
    refused = run("validate", "net.onnx", "--reference", "zennit", "--torch", "torchvision:resnet18", code=2).output
    assert "zennit is no reference for 1 of " in refused
    assert reason in refused
    assert "Use --reference oracle, which takes any rules." in refused
