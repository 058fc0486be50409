"""What a layer is called, by what its file tells: from the most to the least that is known."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from passes.loading.names import name_layers
from tests.graphs import model

W = np.ones((2, 2), np.float32)
SCOPES = {"pkg.torch.onnx.name_scopes": "['', 'body', 'body.relu', 'relu']"}
MODULE = SCOPES | {"pkg.torch.onnx.class_hierarchy": "['Net', 'Net', 'torch.nn.modules.activation.ReLU', 'aten.relu']"}
FUNCTION = {
    "pkg.torch.onnx.name_scopes": "['', 'body', 'relu_3']",
    "pkg.torch.onnx.class_hierarchy": "['Net', 'net.Block', 'aten.relu']",
}

# op, name, weight, metadata: what it is called
CASES = {
    "what lrpc wrote": ("Gemm", "/a/Gemm", "fc.weight", MODULE | {"lrpc.layer": "mine"}, "mine"),
    "the weight's stem": ("Gemm", "/a/Gemm", "fc.weight", MODULE, "fc"),
    "a weight of another name": ("Gemm", "/a/Gemm", "matrix", {}, "a"),
    "torch's module": ("Relu", "/a/Relu", "", MODULE, "body.relu"),
    "torch's function": ("Relu", "/a/Relu", "", FUNCTION, "body.relu"),
    "TorchScript's module": ("Relu", "/body/relu/Relu", "", {}, "body.relu"),
    "TorchScript's function of the model itself": ("Relu", "/Relu_2", "", {}, "relu"),
    "the node's own name": ("Relu", "act", "", {}, "act"),
    "its output": ("Relu", "", "", {}, "y"),
}


@pytest.mark.parametrize(("op", "name", "weight", "metadata", "expected"), CASES.values(), ids=CASES)
def test_a_layer_is_called_by_the_best_that_is_known(op, name, weight, metadata, expected):
    node = helper.make_node(op, ["x", weight] if weight else ["x"], ["y"], name=name)
    for key, value in metadata.items():
        node.metadata_props.add(key=key, value=value)
    proto = model([node], {weight: W} if weight else {}, {"x": ["n", 2]}, {"y": ["n", 2]})
    assert name_layers(proto)[0] == [expected]


def test_repeats_are_numbered_in_order():
    names = ["act", "", "act", "act"]
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"], name=name) for i, name in enumerate(names)]
    proto = model(nodes, {}, {"t0": ["n", 2]}, {"t4": ["n", 2]})
    assert name_layers(proto)[0] == ["act", "t2", "act:1", "act:2"]
