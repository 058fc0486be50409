"""Why relevance cannot be propagated through a node, told by its op: every complaint, and what gives none."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from lrpc.ops import OPS

SHAPE, WIDE = ("n", 4, 6), ("n", 4, 6, 6)
W, B = np.ones((5, 4, 3), np.float32), np.ones(5, np.float32)
WINDOW = {"kernel_shape": [3], "strides": [1], "dilations": [1], "pads": [0, 0], "group": 1}
FIXED = {"sizes": np.array([1, 4, 12])}
NONE = None
"""An input that is left out."""


def node_of(op: str, attributes: dict, inputs: list, result: tuple | None) -> gs.Node:
    """A node whose inputs are computed tensors, told by their shapes, or constants."""

    def tensor(index, value):
        if value is None:
            return gs.Variable.empty()
        if isinstance(value, np.ndarray | np.generic):
            return gs.Constant(f"c{index}", np.asarray(value))
        return gs.Variable(f"v{index}", np.float32, None if value == () else list(value))

    outputs = [gs.Variable("y", np.float32, None if result is None else list(result))]
    return gs.Node(op, "layer", dict(attributes), [tensor(i, v) for i, v in enumerate(inputs)], outputs)


COMPUTED, DYNAMIC = "computed from the input", "the size of its input is dynamic"
STATISTICS = [np.ones(4, np.float32)] * 4
SLICE = [np.array([0]), np.array([3]), np.array([1]), np.array([1])]
RESIZED = ("n", 4, 12)

# op, attributes, inputs, shape of the output, what the complaint says ("" for none)
CASES = {
    "a relu": ("Relu", {}, [SHAPE], SHAPE, ""),
    "of unknown shape": ("Relu", {}, [()], SHAPE, "its shape is unknown"),
    "of unknown result": ("Relu", {}, [SHAPE], None, "its shape is unknown"),
    "a relu of dynamic size": ("Relu", {}, [("n", 4, "w")], ("n", 4, "w"), ""),
    "a clip": ("Clip", {}, [SHAPE, np.float32(0), np.float32(1)], SHAPE, ""),
    "a clip without a lower limit": ("Clip", {}, [SHAPE, NONE, np.float32(1)], SHAPE, ""),
    "a clip at a computed limit": ("Clip", {}, [SHAPE, NONE, (1,)], SHAPE, f"its parameters are {COMPUTED}"),
    "a computed slope": ("PRelu", {}, [SHAPE, (4, 1)], SHAPE, f"its parameters are {COMPUTED}"),
    "a swish": ("Swish", {}, [SHAPE], SHAPE, ""),
    "a swish of alpha 1": ("Swish", {"alpha": 1.0}, [SHAPE], SHAPE, ""),
    "a swish of another alpha": ("Swish", {"alpha": 1.5}, [SHAPE], SHAPE, "its alpha is not 1"),
    "alpha of another op": ("Elu", {"alpha": 1.5}, [SHAPE], SHAPE, ""),
    "a batch norm": ("BatchNormalization", {}, [SHAPE, *STATISTICS], SHAPE, ""),
    "a computed mean": ("BatchNormalization", {}, [SHAPE, *STATISTICS[:2], (4,), STATISTICS[3]], SHAPE, f"its statistics are {COMPUTED}"),
    "a computed scale": ("BatchNormalization", {}, [SHAPE, (4,), *STATISTICS[:3]], SHAPE, f"its statistics are {COMPUTED}"),
    "a conv": ("Conv", WINDOW, [SHAPE, W, B], ("n", 5, 4), ""),
    "a conv without bias": ("Conv", WINDOW, [SHAPE, W], ("n", 5, 4), ""),
    "a conv whose bias is left out": ("Conv", WINDOW, [SHAPE, W, NONE], ("n", 5, 4), ""),
    "a computed weight": ("Conv", WINDOW, [SHAPE, (5, 4, 3)], ("n", 5, 4), f"its weight is {COMPUTED}"),
    "a computed bias": ("Conv", WINDOW, [SHAPE, W, (5,)], ("n", 5, 4), f"its bias is {COMPUTED}"),
    "a conv of unknown result": ("Conv", WINDOW, [SHAPE, W], None, "its shape is unknown"),
    "a max pool of unknown result": ("MaxPool", WINDOW, [SHAPE], None, "its shape is unknown"),
    "a conv of dynamic size": ("Conv", WINDOW, [("n", 4, "w"), W], ("n", 5, "v"), DYNAMIC),
    "a conv of dynamic channels": ("Conv", WINDOW, [("n", "c", 6), W], ("n", 5, 4), DYNAMIC),
    "a conv without pads": ("Conv", {"kernel_shape": [3]}, [SHAPE, W], ("n", 5, 4), "automatic padding could not be resolved"),
    "a transposed conv to a shape": ("ConvTranspose", WINDOW | {"output_shape": [8]}, [SHAPE, W], ("n", 5, 8), "automatic padding could not be resolved"),
    "a dense layer": ("Gemm", {"transB": 1, "alpha": 1.0, "beta": 1.0}, [("n", 4), W[:, :, 0], B], ("n", 5), ""),
    "a computed dense weight": ("Gemm", {}, [("n", 4), (4, 5)], ("n", 5), f"its weight or bias is {COMPUTED}"),
    "a computed dense bias": ("Gemm", {}, [("n", 5), W[:, :, 0], (4,)], ("n", 4), f"its weight or bias is {COMPUTED}"),
    "a dense layer that turns its input": ("Gemm", {"transA": 1}, [("n", 5), W[:, :, 0]], ("n", 4), "it transposes its input"),
    "a scaled product": ("Gemm", {"alpha": 2.0}, [("n", 5), W[:, :, 0]], ("n", 4), "scales its operands"),
    "a scaled bias": ("Gemm", {"beta": 0.5}, [("n", 5), W[:, :, 0]], ("n", 4), "scales its operands"),
    "a layer norm": ("LayerNormalization", {}, [SHAPE, np.ones(6, np.float32)], SHAPE, ""),
    "a layer norm whose shift is left out": ("LayerNormalization", {}, [SHAPE, np.ones(6, np.float32), NONE], SHAPE, ""),
    "a computed norm scale": ("LayerNormalization", {}, [SHAPE, (6,)], SHAPE, f"its scale or shift is {COMPUTED}"),
    "a computed norm shift": ("LayerNormalization", {}, [SHAPE, np.ones(6, np.float32), (6,)], SHAPE, f"its scale or shift is {COMPUTED}"),
    "a max pool": ("MaxPool", WINDOW, [SHAPE], ("n", 4, 4), ""),
    "a max pool of dynamic size": ("MaxPool", WINDOW, [("n", 4, "w")], ("n", 4, "v"), DYNAMIC),
    "a max pool without pads": ("MaxPool", {"kernel_shape": [3]}, [SHAPE], ("n", 4, 4), "automatic padding"),
    "an average pool": ("AveragePool", WINDOW, [SHAPE], ("n", 4, 4), ""),
    "an average pool of dynamic size": ("AveragePool", WINDOW, [("n", 4, "w")], ("n", 4, "v"), DYNAMIC),
    "an average pool of unknown result": ("AveragePool", WINDOW, [SHAPE], None, "its shape is unknown"),
    "a global pool": ("GlobalAveragePool", {}, [SHAPE], ("n", 4, 1), ""),
    "a global pool of dynamic size": ("GlobalAveragePool", {}, [("n", 4, "w")], ("n", 4, 1), DYNAMIC),
    "a sum over an axis": ("ReduceSum", {"keepdims": 1}, [SHAPE, np.array([2])], ("n", 4, 1), ""),
    "a sum over nothing": ("ReduceSum", {"keepdims": 1}, [SHAPE], SHAPE, "names no axes"),
    "a sum over the batch": ("ReduceSum", {"keepdims": 1}, [SHAPE, np.array([0])], (1, 4, 6), "reduces the batch"),
    "a sum of dynamic size": ("ReduceSum", {"keepdims": 1}, [("n", 4, "w"), np.array([2])], ("n", 4, 1), ""),
    "a mean of dynamic size": ("ReduceMean", {"keepdims": 1}, [("n", 4, "w"), np.array([2])], ("n", 4, 1), "averages is dynamic"),
    "a mean of unknown result": ("ReduceMean", {"keepdims": 1}, [SHAPE, np.array([2])], None, "its shape is unknown"),
    "a global pool of unknown result": ("GlobalAveragePool", {}, [SHAPE], None, "its shape is unknown"),
    "a product": ("Mul", {}, [SHAPE, SHAPE], SHAPE, ""),
    "a product of channels": ("Mul", {}, [SHAPE, ("n", 4, 1)], SHAPE, ""),
    "a product of fewer axes": ("Mul", {}, [SHAPE, (4, 1)], SHAPE, ""),
    "a product with a constant": ("Mul", {}, [SHAPE, np.ones(6, np.float32)], SHAPE, "combines the input with a constant"),
    "a constant product": ("Mul", {}, [np.ones(6, np.float32), SHAPE], SHAPE, "combines the input with a constant"),
    "a product that broadcasts nobody knows how": ("Mul", {}, [SHAPE, ("n", "c", 6)], SHAPE, "how its operands broadcast is not known"),
    "a product of unknown shape": ("Mul", {}, [SHAPE, ()], SHAPE, "its shape is unknown"),
    "nearest": ("Resize", {"mode": "nearest"}, [SHAPE, NONE, NONE, FIXED["sizes"]], RESIZED, ""),
    "linear": ("Resize", {"mode": "linear"}, [SHAPE, NONE, np.float32([1, 1, 2])], RESIZED, ""),
    "nearest by default": ("Resize", {}, [SHAPE, NONE, np.float32([1, 1, 2])], RESIZED, ""),
    "cubic": ("Resize", {"mode": "cubic"}, [SHAPE, NONE, np.float32([1, 1, 2])], RESIZED, "only nearest and linear resizing"),
    "without aliasing": ("Resize", {"mode": "linear", "antialias": 1}, [SHAPE, NONE, np.float32([1, 1, 2])], RESIZED, "only nearest and linear resizing"),
    "another place": (
        "Resize", {"coordinate_transformation_mode": "tf_crop_and_resize"}, [SHAPE, NONE, np.float32([1, 1, 2])], RESIZED,
        "only nearest and linear resizing",
    ),
    "a computed size": ("Resize", {}, [SHAPE, NONE, NONE, (3,)], RESIZED, "its parameters are computed"),
    "a kept ratio": ("Resize", {"keep_aspect_ratio_policy": "not_larger"}, [SHAPE, NONE, NONE, FIXED["sizes"]], RESIZED, "keeping the aspect ratio"),
    "a stretched ratio": ("Resize", {"keep_aspect_ratio_policy": "stretch"}, [SHAPE, NONE, NONE, FIXED["sizes"]], RESIZED, ""),
    "a resize to dynamic size": ("Resize", {}, [SHAPE, NONE, np.float32([1, 1, 2])], ("n", 4, "w"), "the size of its output is dynamic"),
    "a resize of dynamic size": ("Resize", {}, [("n", 4, "w"), NONE, np.float32([1, 1, 2])], RESIZED, DYNAMIC),
    "a resize of unknown result": ("Resize", {}, [SHAPE, NONE, np.float32([1, 1, 2])], None, "its shape is unknown"),
    "a response norm": ("LRN", {"size": 3}, [WIDE], WIDE, ""),
    "a response norm of lines": ("LRN", {"size": 3}, [SHAPE], SHAPE, "channels of pictures only"),
    "a response norm over an even number": ("LRN", {"size": 4}, [WIDE], WIDE, "odd number of channels only"),
    "a response norm of dynamic size": ("LRN", {"size": 3}, [("n", 4, 6, "w")], ("n", 4, 6, "w"), DYNAMIC),
    "a response norm of unknown shape": ("LRN", {"size": 3}, [()], WIDE, "its shape is unknown"),
    "a sum": ("Sum", {}, [SHAPE, SHAPE, SHAPE], SHAPE, ""),
    "a sum with a constant": ("Sum", {}, [SHAPE, np.ones(6, np.float32)], SHAPE, "one of its operands is a constant"),
    "a sum of two shapes": ("Sum", {}, [SHAPE, ("n", 4, 1)], SHAPE, "its operands have different shapes"),
    "a sum of unknown shapes": ("Sum", {}, [(), ()], SHAPE, "its shape is unknown"),
    "a concat": ("Concat", {"axis": 1}, [SHAPE, ("n", 3, 6)], ("n", 7, 6), ""),
    "a concat with a constant": ("Concat", {"axis": 1}, [SHAPE, np.ones((1, 3, 6), np.float32)], ("n", 7, 6), ""),
    "a concat of dynamic pictures": ("Concat", {"axis": 1}, [("n", 4, "w"), ("n", 3, "w")], ("n", 7, "w"), ""),
    "a concat along a dynamic axis": ("Concat", {"axis": -1}, [SHAPE, ("n", 4, "w")], ("n", 4, "v"), "it joins along a dynamic axis"),
    "a concat of the batch": ("Concat", {"axis": 0}, [SHAPE, SHAPE], ("m", 4, 6), "it joins along a dynamic axis"),
    "a slice": ("Slice", {}, [SHAPE, *SLICE], ("n", 3, 6), ""),
    "a slice without steps": ("Slice", {}, [SHAPE, *SLICE[:3]], ("n", 3, 6), "from a computed position"),
    "a slice from a computed place": ("Slice", {}, [SHAPE, (1,), *SLICE[1:]], ("n", 3, 6), "from a computed position"),
    "a slice backwards": ("Slice", {}, [SHAPE, *SLICE[:3], np.array([-1])], ("n", 3, 6), "it steps backwards"),
    "a slice in steps": ("Slice", {}, [SHAPE, *SLICE[:3], np.array([2])], ("n", 2, 6), ""),
    "a pad": ("Pad", {}, [SHAPE, np.array([0, 0, 1, 0, 0, 0])], ("n", 4, 7), ""),
    "a pad with a value": ("Pad", {"mode": "constant"}, [SHAPE, np.array([0, 0, 1, 0, 0, 0]), np.float32(2), NONE], ("n", 4, 7), ""),
    "a pad of nothing": ("Pad", {}, [SHAPE, np.zeros(6, np.int64)], SHAPE, ""),
    "a pad that reflects": ("Pad", {"mode": "reflect"}, [SHAPE, np.array([0, 0, 1, 0, 0, 0])], ("n", 4, 7), "only constant padding"),
    "a pad that cuts": ("Pad", {}, [SHAPE, np.array([0, 0, 1, 0, 0, -1])], SHAPE, "only constant padding"),
    "a pad without amounts": ("Pad", {}, [SHAPE], ("n", 4, 7), "only constant padding"),
    "a pad by computed amounts": ("Pad", {}, [SHAPE, (6,)], ("n", 4, 7), "only constant padding"),
    "a pad on axes": ("Pad", {}, [SHAPE, np.array([1, 0]), NONE, np.array([2])], ("n", 4, 7), "padding on chosen axes"),
    "a pad of dynamic size": ("Pad", {}, [("n", 4, "w"), np.array([0, 0, 1, 0, 0, 0])], ("n", 4, "v"), "the size of its input is dynamic"),
    "a pad of unknown shape": ("Pad", {}, [(), np.array([0, 0, 1, 0, 0, 0])], ("n", 4, 7), "its shape is unknown"),
    "a computed filling": ("Pad", {}, [SHAPE, np.array([0, 0, 1, 0, 0, 0]), (1,)], ("n", 4, 7), "its parameters are computed"),
    "a reshape": ("Reshape", {}, [SHAPE, np.array([-1, 24])], ("n", 24), ""),
    "a reshape to a computed shape": ("Reshape", {}, [SHAPE, (2,)], ("n", 24), "its parameters are computed"),
}  # fmt: skip


@pytest.mark.parametrize(("op", "attributes", "inputs", "result", "reason"), CASES.values(), ids=CASES)
def test_an_op_says_why_it_cannot_be_explained(op, attributes, inputs, result, reason):
    found = OPS[op].problem(node_of(op, attributes, inputs, result))
    assert reason in found
    assert bool(found) == bool(reason)


READ = {
    "the indices of a max pool": ("MaxPool", WINDOW, [SHAPE], 1, "its indices are read"),
    "the mean of a layer norm": ("LayerNormalization", {}, [SHAPE, np.ones(6, np.float32)], 1, "mean or deviation is read"),
    "the deviation of a layer norm": ("LayerNormalization", {}, [SHAPE, np.ones(6, np.float32)], 2, "mean or deviation is read"),
}  # fmt: skip


@pytest.mark.parametrize(("op", "attributes", "inputs", "index", "reason"), READ.values(), ids=READ)
def test_further_outputs_may_be_there_but_not_read(op, attributes, inputs, index, reason):
    node = node_of(op, attributes, inputs, SHAPE)
    node.outputs += [gs.Variable(f"more{i}") for i in range(1, index + 1)]
    assert OPS[op].problem(node) == ""
    gs.Node("Relu", "reader", {}, [node.outputs[index]], [gs.Variable("r")])
    assert reason in OPS[op].problem(node)


def test_every_op_that_complains_has_a_case():
    assert {case[0] for case in CASES.values() if case[-1]} >= {
        name for name, op in OPS.items() if "problem" in vars(type(op)) and name not in ("Concat",)
    } - {op.name for op in OPS.values() if op.kind.name == "ACTIVATION"}
