"""What CUDA leaves to the CPU: nothing of what lrpc emits, and the table knows the exceptions."""

import inspect

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import lrpc
from lrpc.composites.builtin import COMPOSITES
from lrpc.lower import explain_graph, forward_graph, relevance_graph
from tests.graphs import model, small_resnet
from tests.placement import PLACED, UNTIL, cpu_bound

SHAPES = "models/shapes/shapes.onnx"


def composite(name):
    ranged = "low" in inspect.signature(COMPOSITES[name]).parameters
    return COMPOSITES[name](**({"low": -2.0, "high": 2.0} if ranged else {}))


def graphs(plan):
    relevance, taps = relevance_graph(plan)
    return [explain_graph(plan)[0], relevance, forward_graph(plan, taps)]


@pytest.mark.parametrize("name", COMPOSITES)
@pytest.mark.parametrize("source", [small_resnet, lambda: SHAPES], ids=["small", "shapes"])
def test_cuda_runs_every_node_that_lrpc_emits(source, name):
    plan = lrpc.plan_model(source(), composite=composite(name))
    assert [line for proto in graphs(plan) for line in cpu_bound(proto)] == []


def pictures(op, opset=18, extra=(), element=TensorProto.FLOAT, **attributes):
    """A model of one node that reads pictures, and weights of ones for its other inputs."""
    weights = {f"w{i}": np.asarray(value) for i, value in enumerate(extra)}
    node = helper.make_node(op, ["x", *weights], ["y"], name="node", **attributes)
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"])], weights, {"x": [2, 3, 8, 8]}, {"y": ["a", "b", "c", "d"]}, opset=opset
    )
    proto.graph.node[0].CopyFrom(node)
    proto.graph.input[0].type.tensor_type.elem_type = element
    proto.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="y"))
    proto.ir_version = 8 if opset <= 18 else 10
    return proto


KERNEL = np.ones((3, 3, 2, 2), np.float32)
PADS = np.array([0, 0, 1, 1, 0, 0, -1, 1])
ONES = np.ones(3, np.float32)
LEFT_TO_THE_CPU = {
    "asymmetric pads": (pictures("ConvTranspose", extra=[KERNEL], pads=[0, 0, 1, 1]), "symmetric pads only"),
    "automatic pads": (pictures("ConvTranspose", extra=[KERNEL], auto_pad="SAME_UPPER"), "no auto_pad"),
    "new MaxPool": (pictures("MaxPool", 22, kernel_shape=[2, 2]), "up to opset 21, this is 22"),
    "new Elu": (pictures("Elu", 22), "up to opset 21"),
    "new Selu": (pictures("Selu", 22), "up to opset 21"),
    "new Dropout": (pictures("Dropout", 22), "up to opset 21"),
    "Celu": (pictures("Celu"), "not known to have it"),
    "MaxUnpool": (
        pictures("MaxUnpool", extra=[np.zeros((2, 3, 8, 8), np.int64)], kernel_shape=[1, 1]),
        "not known to have it",
    ),
    "padded integers": (pictures("Pad", extra=[PADS], element=TensorProto.INT64), "not have it for int64"),
}

PLACED_THERE = {
    "symmetric pads": pictures("ConvTranspose", extra=[KERNEL], pads=[1, 1, 1, 1]),
    "groups and dilations": pictures("ConvTranspose", extra=[KERNEL[:, :1]], group=3, dilations=[2, 2]),
    "asymmetric Conv": pictures("Conv", extra=[KERNEL], pads=[0, 0, 1, 1]),
    "MaxPool": pictures("MaxPool", 21, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "Elu": pictures("Elu", 21),
    "BatchNormalization": pictures("BatchNormalization", 23, extra=[ONES, ONES, ONES, ONES]),
    "ArgMax": pictures("ArgMax", 23, axis=1),
    "Gelu": pictures("Gelu", 20),
    "Pad": pictures("Pad", 23, extra=[PADS]),
    "add at indices": pictures(
        "ScatterElements", extra=[np.zeros((2, 3, 8, 8), np.int64), np.ones((2, 3, 8, 8), np.float32)], reduction="add"
    ),
}


@pytest.mark.parametrize(("proto", "reason"), LEFT_TO_THE_CPU.values(), ids=LEFT_TO_THE_CPU)
def test_what_cuda_lacks_is_named_with_its_reason(proto, reason):
    (line,) = cpu_bound(proto)
    assert line.startswith("node (")
    assert reason in line


@pytest.mark.parametrize("proto", PLACED_THERE.values(), ids=PLACED_THERE)
def test_what_cuda_has_is_not_named(proto):
    assert cpu_bound(proto) == []


def test_the_table_agrees_with_itself():
    assert set(UNTIL) <= PLACED
