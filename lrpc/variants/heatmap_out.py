"""A heatmap out: explain.onnx returns its relevance as a picture, as `lrpc.images.colour` draws it.

Works on a finished graph, as `lrpc.variants.picture_in` does.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from lrpc.bundle.names import HEATMAP
from lrpc.variants.writer import Writer, size_of

_LARGEST = float(np.finfo(np.float32).max)
_MIDDLE, _LAST = 128.0, 255.0


def heatmap_out(model: onnx.ModelProto, relevance: str, colours: np.ndarray) -> None:
    """Let a graph return `heatmap` uint8 (n, h, w, 3) too; it is changed in place.

    relevance: the name of an output (n, c, h, w), which is summed over its channels and divided by the largest finite
    magnitude of each picture.  colours: uint8 (257, 3), from the smallest to the largest value, then what stands
    for one that is not finite; row 128 is zero's.
    """
    (shape,) = (value.type.tensor_type.shape.dim for value in model.graph.output if value.name == relevance)
    put = Writer("lrpc/heatmap")
    zero = put.constant(0.0, "zero")
    values = put.op("ReduceSum", [relevance, put.constant(np.array([1]), "channels")], "values", keepdims=0)
    sizes = put.op("Abs", [values], "sizes")
    finite = put.op("LessOrEqual", [sizes, put.constant(_LARGEST, "largest")], "finite")
    peak = _peak(put, put.op("Where", [finite, sizes, zero], "sizes/finite"), zero)
    share = put.op("Div", [put.op("Where", [finite, values, zero], "values/finite"), peak], "share")
    row = put.op("Where", [finite, _row(put, share), put.constant(_LAST + 1, "row/not_finite")], "row")
    index = put.op("Cast", [row], "index", to=TensorProto.INT64)
    put.op("Gather", [put.constant(colours, "colours"), index], HEATMAP, scoped=False, axis=0)
    batch, _, height, width = map(size_of, shape)
    model.graph.output.append(helper.make_tensor_value_info(HEATMAP, TensorProto.UINT8, [batch, height, width, 3]))
    put.put_behind(model.graph)


def _peak(put: Writer, sizes: str, zero: str) -> str:
    """Add the largest size of each picture; 1 where all are 0."""
    largest = put.op("ReduceMax", [sizes, put.constant(np.array([1, 2]), "pixels")], "largest_size", keepdims=1)
    nothing = put.op("Equal", [largest, zero], "nothing")
    return put.op("Where", [nothing, put.constant(1.0, "one"), largest], "peak")


def _row(put: Writer, share: str) -> str:
    """Add the row of the colours for a share from -1 to 1, as a float; it is rounded about 0, so that signs survive."""
    middle = put.constant(_MIDDLE, "middle")
    steps = put.op("Floor", [put.op("Mul", [share, middle], "scaled")], "steps")
    bounds = [put.constant(bound, f"row/{name}") for name, bound in (("first", 0.0), ("last", _LAST))]
    return put.op("Clip", [put.op("Add", [steps, middle], "row/unbounded"), *bounds], "row/finite")
