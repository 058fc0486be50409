"""What torch.onnx.export writes is canonized: no arithmetic on shapes, no BatchNorm, layers under their modules' names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from lrpc.export import module_to_proto
from passes.graph.write import to_proto
from passes.loading.load import load
from passes.pipeline import canonize


class Activations(nn.Module):
    """Activations that the exporter spells as arithmetic, and a dense layer along the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.gelu, self.tanh_gelu, self.softplus = nn.GELU(), nn.GELU(approximate="tanh"), nn.Softplus()
        self.mlp = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(), nn.Linear(8, 6))
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.softplus(self.tanh_gelu(self.gelu(self.conv(x))))
        x = functional.interpolate(self.mlp(x) + x, size=(5, 7), mode="bilinear")
        return self.head(x.mean((2, 3)).view(x.shape[0], -1))


def _vgg() -> nn.Module:
    convolutions = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    more = [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(
        *convolutions, *more, nn.Dropout(), nn.Linear(32, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 4)
    )


# module, shape, how many of each op there are afterwards
MODELS = {
    "resnet18": (
        torchvision.models.resnet18, (3, 64, 64),
        {"Conv": 20, "Relu": 17, "MaxPool": 1, "Identity": 5, "Sum": 8, "GlobalAveragePool": 1, "Reshape": 1, "Gemm": 1},
    ),
    "vgg": (_vgg, (3, 16, 16), {"Conv": 2, "Relu": 3, "MaxPool": 1, "AveragePool": 1, "Reshape": 1, "Gemm": 2}),
    "activations": (
        Activations, (3, 6, 6),
        {
            "Conv": 1, "Gelu": 3, "Softplus": 1, "Reshape": 5, "Gemm": 3, "Identity": 1, "Sum": 1, "Resize": 1,
            "GlobalAveragePool": 1,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "shape", "ops"), MODELS.values(), ids=MODELS)
def test_an_export_is_canonized(build, shape, ops):
    torch.manual_seed(0)
    module = build()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low in (
                (norm.running_var, 0.5),
                (norm.running_mean, -0.5),
                (norm.bias, -0.5),
                (norm.weight, 0.5),
            ):
                tensor.data.uniform_(low, 1.5)
    x = torch.randn(3, *shape)
    graph = load(module_to_proto(module.eval(), x[:2]))
    canonical = canonize(graph, check=True)
    assert Counter(node.op for node in canonical.nodes) == ops
    assert canonize(canonical) is canonical
    session = ort.InferenceSession(to_proto(canonical).SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = module(x).numpy()
    (actual,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    modules = dict(module.named_modules())
    layers = [node for node in canonical.nodes if node.op in ("Conv", "Gemm", "Gelu", "Softplus", "MaxPool")]
    assert all(node.name in modules for node in layers), [node.name for node in layers]
    again = load(to_proto(canonical))
    names = {node.name for node in canonical.nodes}
    assert {node.name for node in canonize(again).nodes} == names
