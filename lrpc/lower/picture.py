"""A picture in, a heatmap out: explain.onnx as one file that needs no code around it.

Works on a finished graph, so that it goes with everything else a graph can be compiled for. All values are
those of `lrpc.image` and `lrpc.heatmap`, in standard operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

IMAGE, HEATMAP, NORMALISED = "image", "heatmap", "image/normalised"

_LUMA = np.array([19595, 38470, 7471], np.float32).reshape(1, 3, 1, 1) / 65536
"""How much of red, green and blue is in grey (ITU-R 601), in the fixed point of Pillow's mode L."""
_LARGEST = np.finfo(np.float32).max
_MIDDLE, _LAST = 128, 255


def picture_in(model: onnx.ModelProto, mean: Sequence[float], std: Sequence[float], any_size: bool = False) -> str:
    """Let a graph take `image` uint8 (n, h, w, 3), RGB, in the place of its first input; it is changed in place.

    The first input is (n, c, h, w) with a static h and w and c = 1 or 3; grey is made of RGB.
    mean, std: one per channel, for values in [0, 1].
    any_size: pictures of any h and w, which are stretched to the model's; smaller ones without aliasing.
    Returns what the normalised input is called from now on: as before, unless that is `image` too.
    """
    entry = model.graph.input[0]
    batch, channels, height, width = entry.type.tensor_type.shape.dim
    normalised = _free_of_clash(model, entry.name)
    put = _Writer("lrpc/image")
    values = put.op("Cast", [IMAGE], "values", to=TensorProto.FLOAT)
    planes = put.op("Transpose", [values], "planes", perm=[0, 3, 1, 2])
    if channels.dim_value == 1:
        planes = _grey(put, planes)
    if any_size:
        planes = _stretched(put, planes, height.dim_value, width.dim_value)
    share = put.op("Div", [planes, put.constant(np.float32(255), "white")], "share")
    centred = put.op("Sub", [share, put.constant(_per_channel(mean), "mean")], "centred")
    put.op("Div", [centred, put.constant(_per_channel(std), "std")], normalised, scoped=False)
    sides = ["height", "width"] if any_size else [height.dim_value, width.dim_value]
    entry.CopyFrom(helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [_size(batch), *sides, 3]))
    _write(model.graph, [*put.nodes, *model.graph.node], put.initializers)
    return normalised


def heatmap_out(model: onnx.ModelProto, relevance: str, colours: np.ndarray) -> None:
    """Let a graph return `heatmap` uint8 (n, h, w, 3) too; it is changed in place.

    relevance: the name of an output (n, c, h, w), which is summed over its channels and divided by the largest finite
    magnitude of each picture.  colours: uint8 (257, 3), from the smallest to the largest value, then what stands
    for one that is not finite; row 128 is zero's.
    """
    (shape,) = (value.type.tensor_type.shape.dim for value in model.graph.output if value.name == relevance)
    put = _Writer("lrpc/heatmap")
    zero, one = put.constant(np.float32(0), "zero"), put.constant(np.float32(1), "one")
    channels = put.constant(np.array([1], np.int64), "channels")
    values = put.op("ReduceSum", [relevance, channels], "values", keepdims=0)
    sizes = put.op("Abs", [values], "sizes")
    finite = put.op("LessOrEqual", [sizes, put.constant(_LARGEST, "largest")], "finite")
    peak = _peak(put, put.op("Where", [finite, sizes, zero], "sizes/finite"), zero, one)
    share = put.op("Div", [put.op("Where", [finite, values, zero], "values/finite"), peak], "share")
    row = put.op("Where", [finite, _row(put, share), put.constant(np.float32(len(colours) - 1), "not_finite")], "row")
    index = put.op("Cast", [row], "index", to=TensorProto.INT64)
    put.op("Gather", [put.constant(colours, "colours"), index], HEATMAP, scoped=False, axis=0)
    batch, _, height, width = map(_size, shape)
    model.graph.output.append(helper.make_tensor_value_info(HEATMAP, TensorProto.UINT8, [batch, height, width, 3]))
    _write(model.graph, [*model.graph.node, *put.nodes], put.initializers)


@dataclass
class _Writer:
    """Collect nodes and constants, whose names begin with `scope`."""

    scope: str
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def op(self, op: str, inputs: Sequence[str], name: str, scoped: bool = True, **attributes: Any) -> str:
        name = f"{self.scope}/{name}" if scoped else name
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, name: str) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), f"{self.scope}/{name}"))
        return self.initializers[-1].name


def _grey(put: _Writer, planes: str) -> str:
    """Add what Pillow's conversion to mode L gives, to the last bit."""
    axis, half = put.constant(np.array([1], np.int64), "channel_axis"), put.constant(np.float32(0.5), "half")
    weighted = put.op("Mul", [planes, put.constant(_LUMA, "luma")], "weighted")
    total = put.op("ReduceSum", [weighted, axis], "luma/sum", keepdims=1)
    return put.op("Floor", [put.op("Add", [total, half], "luma/shifted")], "grey")


def _stretched(put: _Writer, planes: str, height: int, width: int) -> str:
    sizes = put.constant(np.array([height, width], np.int64), "sizes")
    # At the border Pillow gives what is inside all the weight; ONNX would repeat the outermost pixels instead.
    how: dict[str, Any] = {"mode": "linear", "antialias": 1, "exclude_outside": 1}
    return put.op("Resize", [planes, "", "", sizes], "stretched", axes=[2, 3], **how)


def _peak(put: _Writer, sizes: str, zero: str, one: str) -> str:
    """Add the largest size of each picture; 1 where all are 0."""
    pixels = put.constant(np.array([1, 2], np.int64), "pixels")
    largest = put.op("ReduceMax", [sizes, pixels], "largest_size", keepdims=1)
    return put.op("Where", [put.op("Equal", [largest, zero], "nothing"), one, largest], "peak")


def _row(put: _Writer, share: str) -> str:
    """Add the row of the colours for a share from -1 to 1, as a float; rounding happens about 0, not about 1."""
    middle = put.constant(np.float32(_MIDDLE), "middle")
    steps = put.op("Floor", [put.op("Mul", [share, middle], "scaled")], "steps")
    bounds = [put.constant(np.float32(bound), f"row/{name}") for name, bound in (("first", 0), ("last", _LAST))]
    return put.op("Clip", [put.op("Add", [steps, middle], "row/unbounded"), *bounds], "row/finite")


def _free_of_clash(model: onnx.ModelProto, name: str) -> str:
    """Return what the model's input is called from now on: as before, unless pictures take its name."""
    if name != IMAGE:
        return name
    for node in model.graph.node:
        node.input[:] = [NORMALISED if tensor == IMAGE else tensor for tensor in node.input]
    return NORMALISED


def _write(graph: onnx.GraphProto, nodes: Sequence[NodeProto], initializers: Sequence[TensorProto]) -> None:
    nodes = list(nodes)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)


def _per_channel(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "batch"
