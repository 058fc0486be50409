"""Weights in a file of their own: where they lie, how many bytes they take, and what is refused before any is read."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from passes.errors import LrpcError
from passes.graph import write
from passes.graph.write import LARGEST, left_out, to_proto
from passes.loading.load import load
from passes.loading.tensors import byte_size, check_tensors, map_values
from passes.numbers import short
from tests.graphs import model
from tests.passes.cases import node, normal

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)
FILE = np.arange(10, dtype=np.float32).tobytes()


def external(**entries: object) -> onnx.ModelProto:
    """A model whose weight says where it lies."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    proto = model([node("Gemm", "x w", "y")], {"w": VALUES}, {"x": ["n", 2]}, {"y": ["n", 3]})
    proto.graph.initializer[0].CopyFrom(tensor)
    return proto


# where it lies in a file of 40 bytes, and what is wrong with that
PLACES = {
    "at the beginning": ({"location": "data", "length": 24}, ""),
    "behind others": ({"location": "data", "offset": 16, "length": 24}, ""),
    "to the end": ({"location": "data", "offset": 16}, ""),
    "to the end, of no length": ({"location": "data", "offset": 16, "length": ""}, ""),
    "nothing": ({"location": "data", "offset": 0, "length": 0}, "need 24 bytes, and it has 0"),
    "too much to the end": ({"location": "data"}, "need 24 bytes, and it has 40"),
    "one byte short": ({"location": "data", "offset": 17}, "need 24 bytes, and it has 23"),
    "beyond the end": ({"location": "data", "offset": 17, "length": 24}, "it ends at byte 41 of data, which has 40"),
    "behind the end": ({"location": "data", "offset": 44}, "it ends at byte 40 of data"),
    "before the beginning": ({"location": "data", "offset": -4, "length": 24}, "it ends at byte 20 of data"),
    "no number": ({"location": "data", "offset": "x"}, "where its values lie cannot be read"),
    "another file": ({"location": "other", "length": 24}, "the file 'other' with its values is missing"),
    "no file": ({"length": 24}, "with its values is missing"),
    "a folder": ({"location": ".", "length": 24}, "with its values is missing"),
    "outside": ({"location": "../data", "length": 24}, "outside the model's folder"),
    "elsewhere": ({"location": "/data", "length": 24}, "outside the model's folder"),
}  # fmt: skip


@pytest.mark.parametrize(("entries", "reason"), PLACES.values(), ids=PLACES)
def test_where_a_weight_lies_is_checked_before_it_is_read(tmp_path, entries, reason):
    (tmp_path / "data").write_bytes(FILE)
    proto = external(**entries)
    if reason:
        with pytest.raises(LrpcError) as caught:
            check_tensors(proto, tmp_path, "model")
        assert reason in caught.value.problems[0].reason
        return
    check_tensors(proto, tmp_path, "model")
    start = int(entries.get("offset", 0)) // 4
    np.testing.assert_array_equal(map_values(proto.graph.initializer[0], tmp_path).ravel(), np.arange(start, start + 6))


def test_without_a_folder_nothing_lies_elsewhere():
    with pytest.raises(LrpcError, match="its values are in another file"):
        check_tensors(external(location="data", length=24), None, "model")


BYTES = {
    "float32": (TensorProto.FLOAT, [2, 3], 24),
    "float64": (TensorProto.DOUBLE, [2, 3], 48),
    "int4, even": (TensorProto.INT4, [4], 2),
    "int4, odd": (TensorProto.INT4, [5], 3),
    "a scalar": (TensorProto.FLOAT16, [], 2),
    "nothing": (TensorProto.FLOAT, [0, 3], 0),
    "texts": (TensorProto.STRING, [2], None),
    "of no type": (TensorProto.UNDEFINED, [2], None),
    "of a type that there is not": (999, [2], None),
}


@pytest.mark.parametrize(("kind", "dims", "size"), BYTES.values(), ids=BYTES)
def test_how_many_bytes_a_weight_takes(kind, dims, size):
    assert byte_size(TensorProto(data_type=kind, dims=dims)) == size


def test_values_that_are_not_as_many_as_said_are_refused():
    proto = model([node("Gemm", "x w", "y")], {"w": VALUES}, {"x": ["n", 2]}, {"y": ["n", 3]})
    check_tensors(proto, None, "model")
    proto.graph.initializer[0].dims[0] = 4
    with pytest.raises(LrpcError, match="need 48 bytes, and the file holds 24"):
        check_tensors(proto, None, "model")
    proto.graph.initializer[0].dims[0] = -2
    with pytest.raises(LrpcError, match=r"its dimensions are \[-2, 3\]"):
        check_tensors(proto, None, "model")


@pytest.mark.parametrize("kind", [0, 999], ids=["undefined", "unknown"])
def test_an_input_of_an_unknown_type_is_refused(kind):
    proto = model([node("Relu", "x", "y")], {}, {"x": ["n", 2]}, {"y": ["n", 2]})
    proto.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(LrpcError, match="The input x of model is not a tensor of a known type"):
        load(proto)


def test_what_is_too_large_for_one_message_leaves_out_its_matrices(monkeypatch):
    """Vectors stay, and so does what takes less than a kilobyte."""
    weights = {"wide": normal(16, 16), "small": normal(16, 15), "long": normal(300), "last": normal(15, 300)}
    nodes = [
        node("Gemm", "x wide", "a"), node("Gemm", "a small", "b"), node("Gemm", "b last", "c"), node("Add", "c long", "y"),
    ]  # fmt: skip
    graph = load(model(nodes, weights, {"x": ["n", 16]}, {"y": ["n", 300]}))
    assert left_out(to_proto(graph)) == []
    size = sum(values.nbytes for values in weights.values())
    monkeypatch.setattr(write, "LARGEST", size)
    assert left_out(to_proto(graph)) == []
    monkeypatch.setattr(write, "LARGEST", size - 1)
    assert sorted(left_out(to_proto(graph))) == ["last", "wide"]
    assert left_out(to_proto(graph, weights=["wide", "small", "long"])) == ["wide"]


def test_a_message_has_room_for_more_than_its_weights():
    assert left_out(to_proto(load(model([node("Relu", "x", "y")], {}, {"x": ["n", 2]}, {"y": ["n", 2]})))) == []
    assert 2**24 < 2**31 - LARGEST < 2**28


@pytest.mark.parametrize("size", [1 << 20, 3], ids=["absurd", "small"])
@pytest.mark.parametrize("kind", [np.int64, np.float32], ids=["a target", "no target"])
def test_a_constant_shape_that_no_machine_holds_is_refused_by_name(size, kind):
    if kind is np.int64:
        proto = model(
            [node("Expand", "x s", "y")], {"s": np.array([size, size, 2])}, {"x": [1, 1, 2]}, {"y": [size, size, 2]}
        )
    else:
        proto = model([node("Add", "x s", "y")], {"s": np.float32([size, size])}, {"x": ["n", 2]}, {"y": ["n", 2]})
    if kind is np.int64 and size > 3:
        with pytest.raises(
            LrpcError, match=f"Expand 'expand_y' of model makes a tensor of {short(2 * size**2)} values"
        ):
            load(proto)
        return
    assert len(load(proto).nodes) == 1


@pytest.mark.parametrize(("opset", "ir_version"), [(18, 8), (19, 9), (20, 9), (21, 10), (22, 10), (23, 11)])
def test_a_file_has_the_ir_version_of_its_opset(opset, ir_version):
    graph = load(model([node("Relu", "x", "y")], {}, {"x": ["n", 2]}, {"y": ["n", 2]}, opset))
    assert to_proto(graph).ir_version == ir_version
