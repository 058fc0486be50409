"""A picture in: explain.onnx takes pixels and normalises them itself.

Works on a finished graph, so that it goes with everything else that a graph can be compiled for. The values are
those of `lrpc.images.read`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from lrpc.bundle.names import IMAGE
from lrpc.variants.writer import Writer, size_of

NORMALISED = f"{IMAGE}/normalised"

_LUMA = np.array([19595, 38470, 7471], np.float32).reshape(1, 3, 1, 1) / 65536
"""How much of red, green and blue is in grey (ITU-R 601), in the fixed point of Pillow's mode L."""


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
    put = Writer("lrpc/image")
    values = put.op("Cast", [IMAGE], "values", to=TensorProto.FLOAT)
    planes = put.op("Transpose", [values], "planes", perm=[0, 3, 1, 2])
    if channels.dim_value == 1:
        planes = _grey(put, planes)
    share = put.op("Div", [planes, put.constant(255.0, "white")], "share")
    centred = put.op("Sub", [share, put.constant(_per_channel(mean), "mean")], "centred")
    scaled = "scaled" if any_size else normalised
    values = put.op("Div", [centred, put.constant(_per_channel(std), "std")], scaled, scoped=any_size)
    if any_size:
        _stretch(put, values, (height.dim_value, width.dim_value), normalised)
    sides = ["height", "width"] if any_size else [height.dim_value, width.dim_value]
    entry.CopyFrom(helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [size_of(batch), *sides, 3]))
    put.put_before(model.graph)
    return normalised


def _grey(put: Writer, planes: str) -> str:
    """Add what Pillow's conversion to mode L gives, to the last bit."""
    axis, half = put.constant(np.array([1]), "channel_axis"), put.constant(0.5, "luma/half")
    weighted = put.op("Mul", [planes, put.constant(_LUMA, "luma")], "luma/weighted")
    total = put.op("ReduceSum", [weighted, axis], "luma/sum", keepdims=1)
    return put.op("Floor", [put.op("Add", [total, half], "luma/shifted")], "grey")


def _stretch(put: Writer, planes: str, size: tuple[int, int], name: str) -> None:
    """Scale to (h, w) as Pillow's BILINEAR does, by two products of matrices.

    Resize with antialias is the same by the standard, but OpenVINO 2026.4 leaves the antialias out.
    """
    one, half = put.constant(1.0, "one"), put.constant(0.5, "half")
    rows = _triangles(put, _numbers(put, planes, 2, one, "rows"), size[0], one, half, "rows")
    columns = _triangles(put, _numbers(put, planes, 3, one, "columns"), size[1], one, half, "columns")
    high = put.op("MatMul", [rows, planes], "rows/stretched")
    put.op("MatMul", [high, put.op("Transpose", [columns], "columns/weights/t", perm=[1, 0])], name, scoped=False)


def _numbers(put: Writer, planes: str, axis: int, one: str, name: str) -> str:
    """Add the numbers of the pixels along an axis, from 1, as floats.

    They are counted, not taken from Shape: ONNX Runtime computes with shapes on the CPU, also under CUDA.
    """
    axes = put.constant(np.array([i for i in range(4) if i != axis]), f"{name}/others")
    start, end = put.constant(np.zeros(3, np.int64), f"{name}/start"), put.constant(np.ones(3, np.int64), f"{name}/end")
    line = put.op("Squeeze", [put.op("Slice", [planes, start, end, axes], f"{name}/line"), axes], f"{name}/values")
    ones = put.op("Clip", [line, one, one], f"{name}/ones")
    return put.op("CumSum", [ones, put.constant(np.array(0), f"{name}/along")], f"{name}/numbers")


def _triangles(put: Writer, numbers: str, size: int, one: str, half: str, name: str) -> str:
    """Add how much of each pixel is in each of `size` new ones, (size, pixels).

    A triangle about the new pixel's centre, two pixels wide, old or new, whichever are larger; its sum is 1.
    """
    last = put.constant(np.array([-1]), f"{name}/last")
    count = put.op("ReduceMax", [numbers, last], f"{name}/count", keepdims=1)
    scale = put.op("Div", [count, put.constant(float(size), f"{name}/size")], f"{name}/scale")
    pixels = put.op("Sub", [numbers, half], f"{name}/pixels")
    centres = put.constant((np.arange(size, dtype=np.float32) + np.float32(0.5))[:, None], f"{name}/centres")
    away = put.op("Sub", [put.op("Mul", [centres, scale], f"{name}/at"), pixels], f"{name}/away")
    reach = put.op("Max", [scale, one], f"{name}/reach")
    distance = put.op("Div", [put.op("Abs", [away], f"{name}/distance"), reach], f"{name}/distance/relative")
    weights = put.op("Relu", [put.op("Sub", [one, distance], f"{name}/triangle")], f"{name}/unscaled")
    return put.op("Div", [weights, put.op("ReduceSum", [weights, last], f"{name}/sum", keepdims=1)], f"{name}/weights")


def _free_of_clash(model: onnx.ModelProto, name: str) -> str:
    """Return what the model's input is called from now on, having renamed it where it has the picture's name."""
    if name != IMAGE:
        return name
    for node in model.graph.node:
        node.input[:] = [NORMALISED if tensor == IMAGE else tensor for tensor in node.input]
    return NORMALISED


def _per_channel(values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)
