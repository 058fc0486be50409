"""Export from torch: names, metadata, and a module that stays as it was."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import lrpc
from lrpc.bundle.input_spec import InputSpec
from lrpc.export import Loaded, export, load_torch, module_to_proto
from passes.errors import LrpcError
from passes.loading.load import load
from tests.nets import NETS, built


class Odd(nn.Module):
    """Functional ops, a module that is called twice, and an adaptive pool that does nothing."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.twice = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d((4, 4))
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        x = self.twice(self.norm(self.first(x)))
        x = self.twice(x + self.pool(x))
        return self.head(torch.flatten(x, 1))


@pytest.fixture(scope="module")
def proto():
    return module_to_proto(Odd().eval(), torch.zeros(1, 3, 4, 4))


def test_layers_are_named_by_module_path_and_function(proto):
    ops = {node.name: node.op for node in load(proto).nodes}
    assert ops["first"] == "Conv"
    assert ops["norm"] == "BatchNormalization"
    assert (ops["twice"], ops["twice:1"]) == ("Relu", "Relu")
    assert ops["add"] == "Add"
    assert ops["pool"] == "AveragePool"
    assert ops["head"] == "Gemm"
    assert ops["view"] == "Reshape"


def test_modules_and_leaf_indices_are_kept(proto):
    modules = load(proto).modules
    assert modules["first"].type == "torch.nn.modules.conv.Conv2d"
    assert [modules[name].leaf_index for name in ("first", "norm", "twice", "twice:1", "pool", "head")] == [
        0, 1, 2, 2, 3, 4,
    ]  # fmt: skip
    assert modules["add"].leaf_index is None


def test_the_batch_is_dynamic_and_the_opset_18(proto):
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert proto.opset_import[0].version == 18


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
@pytest.mark.parametrize(
    ("size", "wanted"),
    [((8, 8), (7, 7)), ((16, 5), (5, 1)), ((6, 8), (3, 4)), ((8, 6), (7, 2)), ((5, 5), (1, 1))],
    ids=str,
)
def test_an_adaptive_pool_whose_windows_are_alike_is_a_pool(pool, size, wanted):
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), pool(wanted), nn.Flatten(), nn.Linear(4 * wanted[0] * wanted[1], 3)
    ).eval()
    x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
    proto = module_to_proto(module, torch.from_numpy(x))
    (op,) = (row.op for row in lrpc.plan_model(proto).rows if row.layer == "1")
    assert op.endswith("MaxPool" if pool is nn.AdaptiveMaxPool2d else "AveragePool")
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(lrpc.Explainer(lrpc.compile(proto))(x).output, expected, rtol=1e-4, atol=1e-5)


def test_no_path_of_this_machine_leaks(proto):
    data = proto.SerializeToString()
    assert b"site-packages" not in data
    assert b"stack_trace" not in data
    assert b".py" not in data


def test_the_module_is_left_as_it_was():
    module = Odd().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    compiled = lrpc.compile(module, example_input=torch.zeros(2, 3, 4, 4))
    assert module.training
    assert isinstance(module.pool, nn.AdaptiveAvgPool2d)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    x = np.random.default_rng(0).standard_normal((3, 3, 4, 4)).astype(np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(lrpc.Explainer(compiled)(x).output, expected, rtol=1e-4, atol=1e-5)


def test_a_torch_module_needs_an_example():
    with pytest.raises(LrpcError, match="needs `example_input`"):
        lrpc.compile(Odd())


def test_the_file_tells_its_input(tmp_path):
    spec = InputSpec((3, 4, 4), [0.5] * 3, [0.25] * 3, list("abcde"))
    path = export(Loaded(Odd().eval(), "tests:Odd", "none", spec), tmp_path / "odd.onnx")
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert InputSpec.from_metadata(metadata) == InputSpec((3, 4, 4), [0.5] * 3, [0.25] * 3, list("abcde"))
    assert metadata["lrpc.source"] == "tests:Odd"
    assert [file.name for file in tmp_path.iterdir()] == ["odd.onnx"]


@pytest.mark.parametrize("name", NETS)
def test_every_small_network_keeps_its_batch_norms_and_compiles(name):
    module = built(NETS[name])
    norms = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
    proto = module_to_proto(module, torch.zeros(1, *NETS[name].shape))
    assert sum(node.op_type == "BatchNormalization" for node in proto.graph.node) == norms
    plan = lrpc.plan_model(proto)
    assert not any(row.op == "BatchNormalization" for row in plan.rows)


def test_a_factory_tells_its_input_and_a_state_dict_is_checked(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))\n"
        "    net.lrpc_input = {'shape': [3, 2, 2], 'mean': [0, 0, 0], 'std': [1, 1, 1], 'classes': ['no', 'yes']}\n"
        "    return net\n"
        "def wrong():\n"
        "    return 'a string'\n"
    )
    monkeypatch.chdir(tmp_path)
    loaded = load_torch("mine:build")
    assert loaded.spec == InputSpec((3, 2, 2), [0, 0, 0], [1, 1, 1], ["no", "yes"])
    torch.save(loaded.module.state_dict(), "right.pt")
    torch.save(nn.Linear(3, 3).state_dict(), "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    assert load_torch("mine:build", weights="right.pt").weights == "right.pt"
    for weights, message in {
        "other.pt": "does not fit", "text.pt": "not a file that torch can load", "no.pt": "does not exist",
        "DEFAULT": "for torchvision's models",
    }.items():  # fmt: skip
        with pytest.raises(LrpcError, match=message):
            load_torch("mine:build", weights=weights)
    with pytest.raises(LrpcError, match="returned a str"):
        load_torch("mine:wrong")


def test_random_weights_are_the_same_every_time():
    first, second = (load_torch("torchvision:squeezenet1_1").module for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    from torchvision import models

    def offline(*arguments, weights=None, **options):
        if weights is not None:
            raise OSError("no route to host")

    monkeypatch.setattr(models, "get_model", offline)
    with pytest.raises(LrpcError, match="could not be downloaded: no route to host") as error:
        load_torch("torchvision:resnet18", weights="DEFAULT")
    assert "--weights none" in str(error.value)


def test_torchvision_tells_normalisation_and_classes():
    spec = load_torch("torchvision:squeezenet1_1").spec
    assert spec.shape == (3, 224, 224)
    assert spec.mean == pytest.approx([0.485, 0.456, 0.406])
    assert len(spec.classes) == 1000
    assert json.loads(spec.to_metadata()["lrpc.classes"])[0] == "tench"


def test_a_network_built_for_smaller_pictures_than_its_weights_tells_its_own_size(monkeypatch):
    from torchvision import models

    monkeypatch.setattr(models, "get_model", lambda name, weights: SimpleNamespace(image_size=224, eval=lambda: None))
    assert models.get_model_weights("vit_h_14").DEFAULT.transforms().crop_size == [518]
    assert load_torch("torchvision:vit_h_14").spec.shape == (3, 224, 224)


def test_what_torch_cannot_export_is_told_in_one_line():
    module = nn.Sequential(nn.AdaptiveMaxPool2d(5), nn.Flatten(), nn.Linear(75, 2))
    with pytest.raises(LrpcError, match=r"cannot export Sequential: No ONNX function found for .*adaptive_max_pool2d"):
        module_to_proto(module, torch.zeros(1, 3, 7, 7))


def test_a_shape_that_the_module_does_not_take_is_told(tmp_path):
    loaded = Loaded(Odd().eval(), "tests:Odd", "none", InputSpec((3, 5, 5)))
    with pytest.raises(LrpcError, match=r"(?s)Odd does not take a batch of shape \(2, 3, 5, 5\).*--input-shape"):
        export(loaded, tmp_path / "odd.onnx")
    assert not list(tmp_path.iterdir())
