"""Files of torch's older exporter, by TorchScript: the layers are called after their modules, and they compile."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import helper

import lrpc
from lrpc.export import module_to_proto
from passes.loading.load import load
from passes.loading.names import WEIGHTED
from passes.loading.torchscript_names import torchscript_name, torchscript_owners
from passes.pipeline import canonize

# builder, opset, whether the batch is dynamic
FILES = {
    "resnet18, opset 7": ("resnet18", 7, True),
    "resnet18, static": ("resnet18", 13, False),
    "squeezenet1_1": ("squeezenet1_1", 10, True),
    "densenet121": ("densenet121", 12, True),
    "shufflenet_v2_x0_5": ("shufflenet_v2_x0_5", 16, True),
    "mobilenet_v3_small": ("mobilenet_v3_small", 17, True),
}


@pytest.fixture(scope="module", params=FILES.values(), ids=FILES)
def exported(request):
    """A module in eval mode, its file, and pictures."""
    name, opset, dynamic = request.param
    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None).eval()
    x = torch.randn(2, 3, 64, 64)
    axes = {"x": {0: "n"}, "y": {0: "n"}} if dynamic else None
    file = io.BytesIO()
    torch.onnx.export(
        module, (x,), file, dynamo=False, opset_version=opset, input_names=["x"], output_names=["y"], dynamic_axes=axes
    )
    return module, onnx.load_from_string(file.getvalue()), x


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::lrpc.HealthWarning", "ignore:.*legacy.*", "ignore:Setting 'keep_init"
)
def test_it_compiles_with_the_outputs_of_pytorch(exported):
    module, proto, x = exported
    result = lrpc.Explainer(lrpc.compile(proto))(x.numpy(), 1)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(result.output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.isfinite(result.relevance).all()
    assert result.relevance.shape == x.shape


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*legacy.*", "ignore:Setting 'keep_init")
def test_layers_with_weights_are_called_as_in_a_file_of_the_newer_exporter(exported):
    module, proto, x = exported
    files = (proto, module_to_proto(module, x))
    older, newer = ({n.name for n in canonize(load(file)).nodes if n.op in WEIGHTED} for file in files)
    assert older == newer


# op, node name, layer name
NAMES = {
    "a module in a list": ("Conv", "/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
    "lists in lists": ("Conv", "/features/features.1/block/block.0/block.0.0/Conv", "features.1.block.0.0"),
    "a functional op in a module": ("Add", "/layer1/layer1.0/Add", "layer1.0.add"),
    "a second one": ("Add", "/layer1/layer1.0/Add_1", "layer1.0.add"),
    "a functional op of the model": ("Flatten", "/Flatten", "flatten"),
    "a module of the model": ("MaxPool", "/maxpool/MaxPool", "maxpool"),
    "a name that another op has": ("Relu", "/layer1/Conv", ""),
    "a name that only looks like it": ("Conv", "/layer1/Convolution", ""),
    "a relative name": ("Conv", "model/conv1/Conv", ""),
    "no name": ("Conv", "", ""),
}


@pytest.mark.parametrize(("op", "name", "layer"), NAMES.values(), ids=NAMES)
def test_names_of_nodes_are_read_as_module_paths(op, name, layer):
    nodes = [helper.make_node(op, ["x"], ["y"], name=name) for op, name, _ in NAMES.values()]
    owners = torchscript_owners(nodes)
    assert torchscript_name(helper.make_node(op, ["x"], ["y"], name=name), owners) == layer
