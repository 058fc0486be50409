"""Damage to a model's protos: what a broken exporter, or somebody who means harm, could write."""

from __future__ import annotations

import random
from collections.abc import Callable

import onnx
from onnx import AttributeProto, TensorProto, helper

Edit = Callable[[onnx.ModelProto, random.Random], None]

SIZES = (0, 1, 2, 3, 7, 100, 5000, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, -2, -(2**31), -(2**63))
_OPS = (
    "Relu", "Gemm", "MatMul", "Softmax", "Loop", "If", "Scan", "Nonsense", "", "Reshape", "Expand", "Tile", "Pad", "Resize",
    "Upsample", "Range", "ConstantOfShape", "Conv", "ConvTranspose", "MaxPool", "AveragePool", "LRN", "BatchNormalization",
    "Concat", "Split", "Gather", "Slice", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "ReduceMean", "Einsum", "OneHot",
    "Dropout", "Clip", "Pow", "Identity", "Cast", "Shape", "QuantizeLinear", "LSTM", "StringNormalizer", "SequenceConstruct",
)  # fmt: skip


def _node(proto: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    return rng.choice(proto.graph.node)


def _attribute(proto: onnx.ModelProto, rng: random.Random) -> AttributeProto:
    held = [attribute for node in proto.graph.node for attribute in node.attribute]
    if not held:
        _node(proto, rng).attribute.append(helper.make_attribute("axis", 0))
        return _attribute(proto, rng)
    return rng.choice(held)


def _tensor(proto: onnx.ModelProto, rng: random.Random) -> TensorProto:
    inner = [a.t for node in proto.graph.node for a in node.attribute if a.HasField("t")]
    held = [*proto.graph.initializer, *inner]
    if not held:
        name = proto.graph.node[0].input[0] if proto.graph.node[0].input else "x"
        proto.graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [2], [1.0, 2.0]))
        return proto.graph.initializer[0]
    return rng.choice(held)


def attribute_value(proto: onnx.ModelProto, rng: random.Random) -> None:
    attribute = _attribute(proto, rng)
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(SIZES)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice([0.0, -1.0, 1e30, float("inf"), float("nan"), -1e-30])
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.choice([b"", b"SAME_UPPER", b"VALID", b"nonsense", b"\xff\xfe", b"x" * 5000])
    else:
        attribute.i = rng.choice(SIZES)


def attribute_type(proto: onnx.ModelProto, rng: random.Random) -> None:
    attribute = _attribute(proto, rng)
    name = attribute.name
    values = (7, -1.5, "text", [1, 2, 3], [0.5], ["a", "b"], helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0]))
    attribute.CopyFrom(helper.make_attribute(name, rng.choice(values)))


def attribute_kind(proto: onnx.ModelProto, rng: random.Random) -> None:
    _attribute(proto, rng).type = rng.choice(AttributeProto.AttributeType.values())


def attribute_list(proto: onnx.ModelProto, rng: random.Random) -> None:
    attribute = _attribute(proto, rng)
    if rng.random() < 0.3:
        attribute.ints.extend([rng.choice(SIZES)] * rng.choice([1, 3, 2000]))
    else:
        del attribute.ints[rng.randrange(len(attribute.ints) + 1) :]


def attribute_gone(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(proto, rng)
    if node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]


def attribute_added(proto: onnx.ModelProto, rng: random.Random) -> None:
    names = (
        "axis",
        "axes",
        "group",
        "pads",
        "strides",
        "dilations",
        "auto_pad",
        "ceil_mode",
        "alpha",
        "perm",
        "to",
        "mode",
    )
    value = rng.choice([rng.choice(SIZES), [rng.choice(SIZES)] * rng.choice([1, 2, 4]), "SAME_LOWER", float("nan")])
    _node(proto, rng).attribute.append(helper.make_attribute(rng.choice(names), value))


def windows(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Negative or enormous strides, pads, dilations and groups."""
    node = rng.choice(
        [n for n in proto.graph.node if n.op_type in ("Conv", "MaxPool", "AveragePool")] or [_node(proto, rng)]
    )
    name = rng.choice(["strides", "pads", "dilations", "kernel_shape", "group", "output_padding", "output_shape"])
    for attribute in [a for a in node.attribute if a.name == name]:
        node.attribute.remove(attribute)
    size = rng.choice(SIZES)
    count = {"pads": 4}.get(name, 2)
    node.attribute.append(helper.make_attribute(name, size if name == "group" else [size] * count))


def tensor_dims(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _tensor(proto, rng)
    if tensor.dims and rng.random() < 0.6:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(SIZES)
    else:
        tensor.dims[:] = [rng.choice(SIZES) for _ in range(rng.choice([0, 1, 3, 9, 70]))]
    if rng.random() < 0.4:
        tensor.ClearField("raw_data")


def tensor_type(proto: onnx.ModelProto, rng: random.Random) -> None:
    _tensor(proto, rng).data_type = rng.choice([*TensorProto.DataType.values(), 99])


def tensor_bytes(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _tensor(proto, rng)
    if rng.random() < 0.5:
        tensor.raw_data = rng.randbytes(rng.choice([0, 1, 4, 1000]))
    else:
        tensor.float_data.extend([1.0] * rng.choice([1, 5, 100]))


def tensor_strings(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _tensor(proto, rng)
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.STRING
    del tensor.float_data[:], tensor.int64_data[:]
    tensor.string_data.extend([rng.choice([b"", b"text", b"\xff"])] * rng.choice([0, 1, 6]))


def tensor_numbers(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Other numbers at the same size: shapes, axes and indices that are wrong."""
    tensor = _tensor(proto, rng)
    width = {TensorProto.INT64: 8, TensorProto.FLOAT: 4, TensorProto.INT32: 4}.get(tensor.data_type, 1)
    if tensor.data_type == TensorProto.INT64 and len(tensor.raw_data) >= width:
        at = rng.randrange(len(tensor.raw_data) // width) * width
        value = rng.choice(SIZES).to_bytes(8, "little", signed=True)
        tensor.raw_data = tensor.raw_data[:at] + value + tensor.raw_data[at + width :]
    elif tensor.int64_data:
        tensor.int64_data[rng.randrange(len(tensor.int64_data))] = rng.choice(SIZES)
    elif tensor.raw_data:
        tensor.raw_data = rng.randbytes(len(tensor.raw_data))


def external(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _tensor(proto, rng)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    places = (
        "../outside.bin",
        "/etc/hostname",
        "nowhere.bin",
        "",
        ".",
        "model.onnx",
        "a/../../b",
        "x" * 5000,
        "/dev/zero",
    )
    entries = {"location": rng.choice(places), "offset": rng.choice(["0", "-8", "4096", str(2**62), "many"])}
    entries |= rng.choice([{}, {"length": rng.choice(["0", "-1", str(2**62), "few"])}])
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def input_shape(proto: onnx.ModelProto, rng: random.Random) -> None:
    for value in proto.graph.input[:1]:
        dims = value.type.tensor_type.shape.dim
        if dims and rng.random() < 0.7:
            dims[rng.randrange(len(dims))].dim_value = rng.choice(SIZES)
        else:
            sizes = [rng.choice(SIZES) for _ in range(rng.choice([0, 1, 4, 9]))]
            value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, sizes))


def value_type(proto: onnx.ModelProto, rng: random.Random) -> None:
    value = rng.choice([*proto.graph.input, *proto.graph.output])
    if rng.random() < 0.5:
        value.type.tensor_type.elem_type = rng.choice([*TensorProto.DataType.values(), 99])
    else:
        value.ClearField("type")


def output_shape(proto: onnx.ModelProto, rng: random.Random) -> None:
    value = rng.choice(proto.graph.output)
    if rng.random() < 0.5:
        value.type.tensor_type.ClearField("shape")
    else:
        value.CopyFrom(
            helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [rng.choice(SIZES)] * rng.randint(0, 4))
        )


def missing_input(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(proto, rng)
    if node.input:
        at = rng.randrange(len(node.input))
        node.input[at] = rng.choice(["", "nowhere", *[name for other in proto.graph.node for name in other.output]])


def fewer_operands(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(proto, rng)
    del node.input[rng.randrange(len(node.input) + 1) :]


def more_operands(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(proto, rng)
    node.input.extend([rng.choice([*node.input, *node.output, ""])] * rng.randint(1, 4))


def more_results(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(proto, rng)
    node.output.extend([rng.choice(["extra", "", *node.output])] * rng.randint(1, 3))


def same_names(proto: onnx.ModelProto, rng: random.Random) -> None:
    graph = proto.graph
    how = rng.randrange(4)
    if how == 0:
        graph.node.append(rng.choice(graph.node))
    elif how == 1 and graph.initializer:
        graph.initializer.append(rng.choice(graph.initializer))
    elif how == 2:
        graph.input.append(graph.input[0] if graph.input else graph.output[0])
    else:
        graph.output.append(graph.output[0])


def own_names(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Names that lrpc gives itself, or that no name should be."""
    new = rng.choice(["relevance", "seed", "target", "health", "../x", "a/b", "\x00", " ", "é" * 300, "x" * 5000, ""])
    node = _node(proto, rng)
    if rng.random() < 0.5 or not node.output:
        node.name = new
        return
    old = node.output[0]
    for other in proto.graph.node:
        other.input[:] = [new if name == old else name for name in other.input]
        other.output[:] = [new if name == old else name for name in other.output]
    for value in proto.graph.output:
        value.name = new if value.name == old else value.name


def cycle(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = proto.graph.node
    first = rng.randrange(len(nodes))
    last = rng.randrange(first, len(nodes))
    if nodes[first].input and nodes[last].output:
        nodes[first].input[0] = nodes[last].output[0]


def other_order(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = list(proto.graph.node)
    rng.shuffle(nodes)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def other_op(proto: onnx.ModelProto, rng: random.Random) -> None:
    _node(proto, rng).op_type = rng.choice(_OPS)


def other_domain(proto: onnx.ModelProto, rng: random.Random) -> None:
    _node(proto, rng).domain = rng.choice(["com.microsoft", "ai.onnx", "ai.onnx.ml", "nowhere", "\xff"])


def node_gone(proto: onnx.ModelProto, rng: random.Random) -> None:
    del proto.graph.node[rng.randrange(len(proto.graph.node))]


def part_gone(proto: onnx.ModelProto, rng: random.Random) -> None:
    name = rng.choice(["input", "output", "initializer", "name", "value_info"])
    proto.graph.ClearField(name)


def opset(proto: onnx.ModelProto, rng: random.Random) -> None:
    if proto.opset_import and rng.random() < 0.8:
        proto.opset_import[0].version = rng.choice([0, -1, 1, 5, 8, 12, 19, 23, 28, 999, 10**9, 2**62])
    elif rng.random() < 0.5:
        del proto.opset_import[:]
    else:
        proto.opset_import.append(helper.make_opsetid(rng.choice(["", "ai.onnx", "x"]), rng.choice([1, 18, 21])))


def ir_version(proto: onnx.ModelProto, rng: random.Random) -> None:
    proto.ir_version = rng.choice([0, 1, 3, 99, -1, 2**62])


def metadata(proto: onnx.ModelProto, rng: random.Random) -> None:
    values = ("", "nonsense", "null", "[]", "3", '{"shape": null}', '{"shape": [3], "mean": "a", "std": 1}', '["a"]',
              '{"shape": [3, 8, 8], "mean": [0], "std": [0, 0, 0]}', '{"shape": [-1, 1e400, 8]}', "[" * 100_000,
              '{"shape": [3, 8, 8], "mean": [null, 0, 0], "std": [1, 1, 1]}', '{"a": "b"}', "[1, 2]")  # fmt: skip
    del proto.metadata_props[:]
    proto.metadata_props.add(key=rng.choice(["lrpc.input", "lrpc.input", "lrpc.classes"]), value=rng.choice(values))
    if rng.random() < 0.5:
        proto.metadata_props.add(key="lrpc.input", value='{"shape": [3, 8, 8], "mean": [0, 0, 0], "std": [1, 1, 0]}')


def node_metadata(proto: onnx.ModelProto, rng: random.Random) -> None:
    values = ("", "-1", "many", "a.b", "\x00", "{}", "x" * 3000)
    keys = (
        "lrpc.layer",
        "lrpc.module",
        "lrpc.leaf_index",
        "pkg.torch.onnx.name_scopes",
        "pkg.torch.onnx.class_hierarchy",
    )
    for node in proto.graph.node:
        node.metadata_props.add(key=rng.choice(keys), value=rng.choice(values))


def stated_shapes(proto: onnx.ModelProto, rng: random.Random) -> None:
    names = [name for node in proto.graph.node for name in node.output if name]
    for name in rng.sample(names, min(len(names), 3)):
        sizes = [rng.choice([*SIZES, "n"]) for _ in range(rng.randint(0, 5))]
        proto.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes))


STRUCTURE: tuple[Edit, ...] = (
    attribute_value, attribute_type, attribute_kind, attribute_list, attribute_gone, attribute_added, windows,
    tensor_dims, tensor_type, tensor_bytes, tensor_strings, tensor_numbers, external, input_shape, value_type, output_shape,
    missing_input, fewer_operands, more_operands, more_results, same_names, own_names, cycle, other_order, other_op,
    other_domain, node_gone, part_gone, opset, ir_version, metadata, node_metadata, stated_shapes,
)  # fmt: skip
