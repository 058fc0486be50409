"""Every operator form that lrpc emits, and every form of the capability table, as small models with inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

import lrpc
from lrpc import rules
from lrpc.emit import capabilities as has
from lrpc.emit.capabilities import FORMS
from lrpc.emit.check import uses
from lrpc.lower import explain_graph
from lrpc.plan.simplify import simplify
from tests.graphs import METADATA, small_resnet
from tests.layers import LINEAR, MOVING, PARAMETRIC, RELU_RULES, normal, plan_of
from tests.targets import DISTINCT

ORDINARY = ("gamma", "alpha_beta", "norm", "rms")
"""The rules that every linear op is emitted under; conv is under all of them."""


@dataclass(frozen=True)
class Form:
    """A model, its inputs, and what ONNX Runtime makes of them. has: the rows of the capability table that it is of."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    expected: list[np.ndarray]

    @property
    def rows(self) -> list[str]:
        return [row for row, is_of in FORMS.items() for use in uses(self.model) if is_of(use)]


def emitted() -> dict[str, Form]:
    """One form for each way in which lrpc uses an operator, by a name that tells them apart."""
    forms: dict[str, Form] = {}
    for model, feeds in _graphs():
        values = _values(model, feeds)
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        producers = {output: node for node in model.graph.node for output in node.output}
        for node in model.graph.node:
            name = _signature(node, values, weights)
            if name not in forms:
                forms[name] = _alone(name, node, values, weights, model.opset_import[0].version, producers)
    return forms


def _graphs() -> Iterator[tuple[onnx.ModelProto, dict[str, np.ndarray]]]:
    for name, case in LINEAR.items():
        names = PARAMETRIC if name == "conv" else [n for n in ORDINARY if n in PARAMETRIC]
        parametric = case[0] in ("Conv", "ConvTranspose", "Gemm", "BatchNormalization")
        for rule in names if parametric else ("norm", "rms", "abs_split"):
            yield from _explained(case, PARAMETRIC[rule])
    for case in (LINEAR | MOVING).values():
        yield from _explained(case, rules.Gradient())
    for rule in RELU_RULES:
        yield from _explained(MOVING["relu"], rule)
    yield from _pictures()


def _explained(case, rule):
    plan = plan_of(*case, rule)
    feeds = {"x": normal(2, *case[2], seed=1), "seed": normal(2, *case[3], seed=2)}
    for target in DISTINCT:
        yield explain_graph(simplify(plan), seed_input=True, target=target)[0], feeds


def _pictures():
    image = np.random.default_rng(0).integers(0, 256, (2, 13, 9, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for target in DISTINCT:
            path = Path(folder) / f"{target.name}.onnx"
            compiled = lrpc.compile(small_resnet(metadata=METADATA), target=target.name)
            compiled.variant(preprocess="any", heatmap=True).save(path, single_file=True)
            yield onnx.load(path), {"image": image, "target": np.array([-1, 2])}


def _values(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a graph, and return every tensor of it."""
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output if name]
    known = {value.name for value in model.graph.output}
    traced.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return weights | dict(feeds) | dict(zip(names, _run(traced, feeds, names), strict=True))


def _run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], names: list[str] | None = None) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(names, dict(feeds))


def _signature(node: onnx.NodeProto, values, weights) -> str:
    """What may decide whether a runtime has it: operator, attributes but for sizes, kinds and ranks of the inputs."""
    found = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    attributes = {key: str(value) if key == "to" else _coarse(value) for key, value in found.items()}
    inputs = [
        f"{'weight' if name in weights else 'value'}:{values[name].dtype}:{values[name].ndim}" if name else "-"
        for name in node.input
    ]
    told = " ".join(f"{key}={value}" for key, value in sorted(attributes.items()))
    return f"{node.op_type}({', '.join(inputs)}) {told} -> {sum(map(bool, node.output))}"


def _coarse(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return "tensor"
    if isinstance(value, (int, float)):
        return str(min(value, 2))
    found = set(value)
    return str(found.pop()) if len(found) == 1 and found <= {0, 1} else "same" if len(found) == 1 else "mixed"


def _alone(name, node, values, weights, opset: int, producers) -> Form:
    """A form of one node. A shape is taken in the model, as it is in real graphs: tract must know where it is from."""
    nodes = [*(producers[key] for key in node.input if key in producers and producers[key].op_type == "Shape"), node]
    made_here = {output for each in nodes for output in each.output}
    needed = dict.fromkeys(key for each in nodes for key in each.input if key and key not in made_here)
    feeds = {key: values[key] for key in needed if key not in weights}
    outputs = [output for output in node.output if output]
    return made(name, nodes, {key: values[key] for key in needed if key in weights}, feeds, outputs, opset)


def made(name, nodes, weights, feeds, outputs, opset=18) -> Form:
    """A form of its own. Inputs have fixed shapes; whole numbers come out as floats, since tract keeps them back."""
    results = _run(_model(nodes, weights, feeds, dict.fromkeys(outputs), opset), feeds)
    whole = [key for key, result in zip(outputs, results, strict=True) if result.dtype == np.int64]
    casts = [helper.make_node("Cast", [key], [f"{key}/float"], to=onnx.TensorProto.FLOAT) for key in whole]
    told = {
        f"{key}/float" if key in whole else key: result.astype(np.float32) if key in whole else result
        for key, result in zip(outputs, results, strict=True)
    }
    model = _model([*nodes, *casts], weights, feeds, told, opset)
    return Form(name, model, dict(feeds), list(told.values()))


def _model(nodes, weights, feeds, outputs, opset) -> onnx.ModelProto:
    def described(values):
        return [
            onnx.ValueInfoProto(name=key) if array is None
            else helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for key, array in values.items()
        ]  # fmt: skip

    stored = [numpy_helper.from_array(np.asarray(array), key) for key, array in weights.items()]
    graph = helper.make_graph(list(nodes), "form", described(feeds), described(outputs), stored)
    version = 8 if opset <= 18 else 10
    return helper.make_model(graph, ir_version=version, opset_imports=[helper.make_opsetid("", opset)])


X, KERNEL, SQUARE = normal(2, 4, 6, 6), normal(4, 4, 3, 3, seed=3), normal(6, 6, seed=4)
_WINDOW = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}


def _row(row, nodes, weights=None, feeds=None, outputs=("y",)) -> Form:
    return made(row, nodes, weights or {}, feeds or {"x": X}, list(outputs))


def _unpooled() -> Form:
    top, places = _run(_model([helper.make_node("MaxPool", ["x"], ["t", "i"], kernel_shape=[2, 2], strides=[2, 2])],
                              {}, {"x": X}, {"t": None, "i": None}, 18), {"x": X})  # fmt: skip
    node = helper.make_node("MaxUnpool", ["t", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    return _row(has.MAX_UNPOOL, [node], {}, {"t": top, "i": places})


def of_the_table() -> dict[str, Form]:
    """One model for each row that the capability table has."""
    node = helper.make_node
    both = [
        node("Conv", ["x", "w"], ["z"], **_WINDOW),
        node("ConvTranspose", ["z", "w"], ["y"], output_padding=[1, 1], **_WINDOW),
    ]
    add = {"reduction": "add", "axis": 0}
    pads = np.array([0, 0, 1, 1, 0, 0, -2, 1])
    forms = [
        _row(has.MAX_INDICES, [node("MaxPool", ["x"], ["y", "i"], **_WINDOW)], outputs=("y", "i")),
        _unpooled(),
        _row(has.SCATTER_ADD, [node("ScatterElements", ["x", "i", "u"], ["y"], **add)], {},
             {"x": normal(5), "i": np.array([1, 1, 4, 1, 0, 2, 4, 4, 3]), "u": normal(9, seed=5)}),
        _row(has.OUTPUT_SHAPE, [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_shape=[12, 11])],
             {"w": KERNEL}),
        _row(has.SAME_SHAPE, [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_shape=[12, 11],
                                   auto_pad="SAME_UPPER")], {"w": KERNEL}),
        _row(has.COL2IM, [node("Col2Im", ["x", "size", "block"], ["y"])],
             {"size": np.array([5, 5]), "block": np.array([2, 2])}, {"x": normal(1, 8, 16)}),
        _row(has.NEGATIVE_PAD, [node("Pad", ["x", "p"], ["y"])], {"p": pads}),
        _row(has.POOL_1D, [node("AveragePool", ["x"], ["y"], kernel_shape=[3])], {}, {"x": normal(2, 4, 9)}),
        _row(has.NO_VALUE, [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["y"])]),
        _row(has.CELU, [node("Celu", ["x"], ["y"], alpha=0.5)]),
        _row(has.LRN_BIAS, [node("LRN", ["x"], ["y"], size=3, bias=0.8)]),
        _row(has.BOTH_WAYS, both, {"w": KERNEL}),
    ]  # fmt: skip
    return {form.name: form for form in forms}
