"""Models that are small as files and enormous as tensors, in front of, behind and beside what lrpc compiles."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graphs import small_resnet

Ints = list[int]
_COUNTS = (2**20, 2**27, 2**31, 10**10, 10**12, 2**40, 2**62)
node = helper.make_node


def _dims(rng: random.Random) -> Ints:
    count = rng.choice(_COUNTS)
    side = int(count**0.5)
    return rng.choice([[count], [side, side], [1, 3, side, side], [2**40, 2**40]])


def _with(proto: onnx.ModelProto, name: str, values: object, dtype: type = np.int64) -> str:
    proto.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), name))
    return name


def _constant(op: str) -> Callable[[onnx.ModelProto, random.Random], None]:
    """Let an op make an enormous constant, which is then added to the output or the input."""

    def damage(proto: onnx.ModelProto, rng: random.Random) -> None:
        dims, one = _dims(rng), _with(proto, "one", 1.0, np.float32)
        ops: dict[str, Callable[[], onnx.NodeProto]] = {
            "ConstantOfShape": lambda: node(op, [_with(proto, "dims", dims)], ["huge"]),
            "Expand": lambda: node(op, [one, _with(proto, "dims", dims)], ["huge"]),
            "Tile": lambda: node(op, [_with(proto, "row", np.ones([1] * len(dims)), np.float32), _with(proto, "dims", dims)], ["huge"]),
            "Range": lambda: node(op, [_with(proto, "a", 0), _with(proto, "b", dims[0]), _with(proto, "c", 1)], ["huge"]),
            "OneHot": lambda: node(op, [_with(proto, "at", [0, 1]), _with(proto, "depth", dims[0]), _with(proto, "pair", [0, 1], np.float32)], ["huge"]),
        }  # fmt: skip
        made = [ops[op]()]
        if op == "Range" or rng.random() < 0.3:
            made.append(node("Cast", ["huge"], ["cast"], to=TensorProto.FLOAT))
        made.append(node("ReduceSum", [made[-1].output[0]], ["sum"], keepdims=0))
        made.append(node("Add", ["y", rng.choice(["sum", made[-2].output[0]])], ["final"]))
        proto.graph.node.extend(made)
        proto.graph.output[0].name = "final"
        proto.graph.output[0].type.tensor_type.ClearField("shape")

    damage.__name__ = f"huge_{op}"
    return damage


def _layer(op: str) -> Callable[[onnx.ModelProto, random.Random], None]:
    """Let the network's input pass through an op that enlarges it."""

    def damage(proto: onnx.ModelProto, rng: random.Random) -> None:
        side = rng.choice([10**4, 10**5, 2**31, 2**62])
        axes = [1, 1, side, rng.choice([1, side])]
        ops: dict[str, Callable[[], onnx.NodeProto]] = {
            "Resize": lambda: node(op, ["x", "", _with(proto, "by", axes, np.float32)], ["large"]),
            "Pad": lambda: node(op, ["x", _with(proto, "by", [0, 0, side, 0, 0, 0, side, 0])], ["large"]),
            "Tile": lambda: node(op, ["x", _with(proto, "by", axes)], ["large"]),
            "Expand": lambda: node(op, ["x", _with(proto, "by", [1, side, 1, 1][: rng.choice([4, 4, 1])] or [side])], ["large"]),
            "Conv": lambda: node(op, ["x", "conv1.weight"], ["large"], pads=[side] * 4),
            "ConvTranspose": lambda: node(op, ["x", _with(proto, "w", np.ones((3, 3, 1, 1)), np.float32)], ["large"], strides=[side, side]),
            "Concat": lambda: node(op, ["x"] * min(side, 10**4), ["large"], axis=1),
        }  # fmt: skip
        proto.graph.node.insert(0, ops[op]())
        for other in proto.graph.node[1:]:
            other.input[:] = ["large" if name == "x" else name for name in other.input]

    damage.__name__ = f"large_{op}"
    return damage


def huge_input(proto: onnx.ModelProto, rng: random.Random) -> None:
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    sides = rng.choice([(10**5, 10**5), (10**4, 10**4), (2**31, 2**31), (2**62, 4), (30_000, 8), (2**20, 1)])
    dims[2].dim_value, dims[3].dim_value = sides
    if rng.random() < 0.3:
        dims[0].dim_value = rng.choice([10**6, 2**40])


def huge_weight(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    tensor.dims[:] = _dims(rng)
    if rng.random() < 0.7:
        tensor.ClearField("raw_data")


def huge_window(proto: onnx.ModelProto, rng: random.Random) -> None:
    pool = next(n for n in proto.graph.node if n.op_type == "MaxPool")
    pool.op_type = rng.choice(["MaxPool", "AveragePool"])
    side = rng.choice([999, 10**4, 10**5, 2**31])
    del pool.attribute[:]
    pool.attribute.extend(helper.make_attribute(k, [side] * n) for k, n in (("kernel_shape", 2), ("pads", 4)))
    if rng.random() < 0.5:
        pool.attribute.pop()
        sizes = proto.graph.input[0].type.tensor_type.shape.dim
        sizes[2].dim_value = sizes[3].dim_value = side


def chain(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Constants that double in each of many nodes."""
    _with(proto, "c0", np.ones(1024), np.float32)
    count = rng.choice([10, 18, 30, 60])
    doubled = [node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(count)]
    ends = [node("ReduceSum", [f"c{count}"], ["sum"], keepdims=0), node("Add", ["y", "sum"], ["final"])]
    proto.graph.node.extend([*doubled, *ends])
    proto.graph.output[0].name = "final"


def outer(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Two constants whose sum, product or matrix product is far larger than both."""
    side = rng.choice([1000, 20_000, 200_000])
    _with(proto, "column", np.ones((side, 1)), np.float32)
    _with(proto, "row", np.ones((1, side)), np.float32)
    op = rng.choice(["Add", "Mul", "MatMul", "Max", "Less", "Where"])
    operands = ["column", "row"] if op != "Where" else ["yes", "column", "row"]
    _with(proto, "yes", True, np.bool_)
    made = [node(op, operands, ["table"]), node("Cast", ["table"], ["floats"], to=TensorProto.FLOAT)]
    ends = [node("ReduceSum", ["floats"], ["sum"], keepdims=0), node("Add", ["y", "sum"], ["final"])]
    proto.graph.node.extend([*made, *ends])
    proto.graph.output[0].name = "final"


ABSURD: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    *map(_constant, ("ConstantOfShape", "Expand", "Tile", "Range", "OneHot")),
    *map(_layer, ("Resize", "Pad", "Tile", "Expand", "Conv", "ConvTranspose", "Concat")),
    huge_input, huge_weight, huge_window, chain, outer,
)  # fmt: skip


def absurd_base(rng: random.Random) -> onnx.ModelProto:
    """Return the network that these are built into; below opset 18 it is run to check its conversion."""
    return small_resnet(batch=rng.choice(["batch", 1]), opset=rng.choice([18, 18, 13]))
