"""Loading: every bad file is one LrpcError that says what to do; names and shapes are known afterwards."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from passes.errors import LrpcError
from passes.graph.write import to_proto
from passes.loading.check import problems
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model, small_resnet

GIVE_A_FILE = "Give the path of an .onnx file; `lrpc export` writes one."
NO_MODEL = (
    " is not an ONNX file, or it is truncated: Error parsing message with type 'onnx.ModelProto': "
    "Wire format was corrupt\nExport or download it again; `lrpc export` writes one from PyTorch."
)
MODEL = small_resnet().SerializeToString()

# file name, content, message behind the path
FILES = {
    "truncated": ("a.onnx", MODEL[: len(MODEL) // 2], NO_MODEL),
    "text": ("a.onnx", b"hello, this is no model\n", NO_MODEL),
    "an archive": ("a.pt", b"PK\x03\x04 weights", NO_MODEL),
    "JSON": ("a.json", b'{"a": 1}', NO_MODEL),
    "ONNX text": ("a.onnxtxt", b"garbage", NO_MODEL),
    "empty": ("a.onnx", b"", " is not an ONNX model: it holds no graph.\n`lrpc export` writes one."),
}


@pytest.mark.parametrize(("name", "content", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_model_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LrpcError) as caught:
        load(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(LrpcError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a folder, not a model file.\n{GIVE_A_FILE}"
    with pytest.raises(LrpcError) as caught:
        load(tmp_path / "no.onnx")
    assert str(caught.value) == f"{tmp_path / 'no.onnx'} does not exist.\n{GIVE_A_FILE}"


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_bytes(MODEL)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(onnx, "load", refuse)
    with pytest.raises(LrpcError, match="cannot be read: this user has no permission"):
        load(path)


def test_weights_in_another_file_are_found_beside_the_model(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    onnx.save(small_resnet(), path, save_as_external_data=True, location="a.bin", size_threshold=0)
    monkeypatch.chdir("/")
    assert all(np.isfinite(n.inputs[1].values).all() for n in load(path).nodes if n.op == "Conv")
    with pytest.raises(LrpcError) as caught:
        load(onnx.load(path, load_external_data=False))
    assert str(caught.value) == (
        "model was given without its weights, which are in another file.\n"
        "Give the path of the .onnx file, or load it with its external data."
    )
    for damage in (lambda file: file.write_bytes(b"short"), lambda file: file.unlink()):
        damage(tmp_path / "a.bin")
        with pytest.raises(LrpcError, match=r"a\.onnx is not a valid ONNX model: weights that cannot") as e:
            load(path)
        assert str(e.value).endswith(
            "Put the weights beside the model, under the name that they had when it was exported."
        )


def test_sparse_weights_are_refused():
    proto = small_resnet()
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [5.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [5])
    proto.graph.sparse_initializer.add().CopyFrom(helper.make_sparse_tensor(values, places, [4, 3]))
    with pytest.raises(LrpcError) as caught:
        load(proto)
    assert str(caught.value) == "model has sparse weights (w).\nExport it with dense weights."


def test_no_damage_raises_anything_but_lrpcerror(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "a.onnx"
    refused = 0
    for _ in range(100):
        content = bytearray(MODEL)
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(3000)] = rng.randrange(256)
        path.write_bytes(bytes(content))
        try:
            graph = load(path)
            problems(graph)
            canonize(graph)
        except LrpcError:
            refused += 1
    assert 10 < refused < 90


@pytest.mark.parametrize("batch", [None, "n", -1, 0, 3])
def test_a_batch_axis_may_be_unnamed_or_negative(batch):
    proto = small_resnet()
    for value in (proto.graph.input[0], proto.graph.output[0]):
        dim = value.type.tensor_type.shape.dim[0]
        dim.Clear()
        if isinstance(batch, str):
            dim.dim_param = batch
        elif batch is not None:
            dim.dim_value = batch
    graph = canonize(load(proto), check=True)
    size = batch if batch in (3, "n") else "batch"
    assert {tensor.shape[0] for node in graph.nodes for tensor in node.outputs} == {size}
    assert [node.name for node in graph.nodes if node.op == "Sum"] == ["block.add"]


def test_a_shortcut_from_an_unnamed_input_is_a_residual():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["x", "a"], ["y"])]
    proto = model(nodes, {}, {"x": [0, 4]}, {"y": [0, 4]})
    assert [node.op for node in canonize(load(proto)).nodes] == ["Relu", "Identity", "Sum"]


def test_names_that_a_file_gives_to_one_axis_do_not_hide_that_it_is_one():
    """tf2onnx gives each tensor its own name for the batch."""
    proto = small_resnet()
    for name, shape in {"c1": ["unk__1", 8, 8, 8], "bn1.out": ["unk__2", 8, 8, 8], "s": ["unk__3", 8, 4, 4]}.items():
        proto.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    assert {t.shape[0] for node in load(proto).nodes for t in node.outputs} == {"batch"}


def test_shapes_in_the_file_count_where_inference_knows_nothing():
    nodes = [
        helper.make_node("Custom", ["x"], ["a"], domain="acme", name="custom"),
        helper.make_node("Relu", ["a"], ["y"], name="relu"),
    ]
    x, a, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", ["b", 4]), ("a", ["b", 2]), ("y", ["b", "k"]))
    )
    graph = helper.make_graph(nodes, "g", [x], [y], value_info=[a])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("acme", 1)]
    loaded = load(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    assert loaded.nodes[1].inputs[0].shape == ["b", 2]


@pytest.mark.parametrize("opset", [8, 9, 11, 13, 15, 17, 18, 19, 20, 21, 22])
def test_every_opset_loads_and_keeps_the_function(opset):
    proto = small_resnet(opset=opset)
    graph = canonize(load(proto), check=True)
    assert graph.opset == max(opset, 18)
    assert set(graph.metadata) == {"lrpc.input", "lrpc.classes"}
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    before, after = (
        ort.InferenceSession(p.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for p in (proto, to_proto(graph))
    )
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_an_old_opset_with_dynamic_sizes_is_upgraded():
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("GlobalAveragePool", ["a"], ["y"])]
    weights = {"w": np.ones((3, 2, 3, 3), np.float32)}
    proto = model(nodes, weights, {"x": ["n", 2, "height", "width"]}, {"y": ["n", 3, 1, 1]}, opset=13)
    assert load(proto).opset == 18


def test_layers_are_named_uniquely_and_survive_a_round_trip():
    ends = ["x", "a", "b", "c", "y"]
    nodes = [helper.make_node("Relu", [ends[i]], [ends[i + 1]], name="r") for i in range(4)]
    graph = load(model(nodes, {}, {"x": ["n", 4]}, {"y": ["n", 4]}))
    names = [node.name for node in graph.nodes]
    assert names == ["r", "r:1", "r:2", "r:3"]
    assert [node.name for node in load(to_proto(graph)).nodes] == names


def test_loading_leaves_the_proto_as_it_was_and_weights_read_only():
    proto = small_resnet(opset=11)
    text = proto.SerializeToString(deterministic=True)
    canonical = canonize(load(proto))
    assert proto.SerializeToString(deterministic=True) == text
    for node in canonical.nodes:
        if node.op in ("Conv", "Gemm"):
            assert not node.inputs[1].values.flags.writeable
