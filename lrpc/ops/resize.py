"""Resize: every output is a weighted mean of inputs, the same along each axis, whatever the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.ops.op import LinearOp, dynamic_size
from lrpc.rules.sign import Sign
from passes.graph import rank_of, size_of, sizes_of, static_shape, values_of
from passes.numbers import short

_ROUND = {
    "round_prefer_floor": lambda v: math.ceil(v - 0.5),
    "round_prefer_ceil": lambda v: math.floor(v + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}
_LEAST, _LARGEST_MATRIX = 256, 1 << 25
"""Values of the matrix along an axis, at least so many a row: 4096 positions become at most 8192, 8 at most 131072."""
_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


@dataclass(frozen=True)
class Resize(LinearOp):
    """Nearest and linear resizing by fixed factors: a constant matrix along each axis, and its transpose back."""

    parametric: bool = False

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return inputs[0]

    def slope(self, node: gs.Node) -> float:
        return 1.0  # along each axis the weights of an output add up to 1

    def problem(self, node: gs.Node) -> str:
        if reason := super().problem(node) or dynamic_size(node):
            return reason
        mode, where = node.attrs.get("mode", "nearest"), node.attrs.get("coordinate_transformation_mode", "half_pixel")
        if mode not in ("nearest", "linear") or where not in _PLACES or node.attrs.get("antialias", 0):
            return f"only nearest and linear resizing without antialiasing is supported, not {mode} by {where}"
        if node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            return "keeping the aspect ratio is not supported"
        if None in (static_shape(node.outputs[0]) or (None,))[1:]:
            return "the size of its output is dynamic; give the model a fixed input size"
        sizes = zip(static_shape(node.inputs[0]) or (), static_shape(node.outputs[0]) or (), strict=True)
        for before, after in sizes:
            if before != after and (after or 0) * max(before or 0, _LEAST) > _LARGEST_MATRIX:
                return (
                    f"from {short(before or 0)} to {short(after or 0)} positions is more than resizing is compiled for"
                )
        return ""

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        sizes = [gs.Variable.empty() if t.is_empty() else emit.read(t) for t in node.inputs[1:]]
        return emit.op("Resize", [*xs, *sizes], "z", **node.attrs)

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        rank = rank_of(node.inputs[0])
        for axis in _resized(node):
            matrix = emit.constant(_matrix(node, axis), f"transpose/matrix{axis}")
            s = _along(emit, s, matrix, axis, rank)
        return [s]


def _resized(node: gs.Node) -> list[int]:
    """Return the axes that are computed anew: none where all sizes stay, since runtimes copy then."""
    before, after = (sizes_of(tensor, 1) for tensor in (node.inputs[0], node.outputs[0]))
    pairs = enumerate(zip(before, after, strict=True), start=1)
    return [axis for axis, (n, m) in pairs if before != after and (n != m or _scale(node, axis, n, m) != 1)]


def _along(emit: Emitter, s: gs.Tensor, matrix: gs.Tensor, axis: int, rank: int) -> gs.Tensor:
    """Multiply along an axis by a matrix (size before, size after); the axis is the last one meanwhile."""
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    if axis != rank - 1:
        s = emit.op("Transpose", [s], f"transpose/last{axis}", perm=order)
    s = emit.op("MatMul", [s, matrix], f"transpose/{axis}")
    return s if axis == rank - 1 else emit.op("Transpose", [s], f"transpose/back{axis}", perm=order)


def _matrix(node: gs.Node, axis: int) -> np.ndarray:
    """Return which input each output along an axis is made of: (outputs, inputs), rows that add up to 1."""
    inputs, outputs = size_of(node.inputs[0], axis), size_of(node.outputs[0], axis)
    matrix = np.zeros((outputs, inputs))
    for index in range(outputs):
        scale = _scale(node, axis, inputs, outputs)
        if node.attrs.get("mode", "nearest") == "nearest":
            # Runtimes find places in float32, and at a half, or a whole number, rounding decides which input is read.
            place = float(_place(node, np.float32(index), inputs, outputs, np.float32(scale)))
            nearest = _ROUND[node.attrs.get("nearest_mode", "round_prefer_floor")](place)
            matrix[index, min(max(nearest, 0), inputs - 1)] = 1.0
        else:
            place = float(_place(node, np.float64(index), inputs, outputs, np.float64(scale)))
            low = math.floor(place)
            for tap, weight in ((low, low + 1 - place), (low + 1, place - low)):
                matrix[index, min(max(tap, 0), inputs - 1)] += weight
    return matrix


def _scale(node: gs.Node, axis: int, inputs: int, outputs: int) -> float:
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    if scales is None or scales.is_empty() or not values_of(scales).size:
        return outputs / inputs
    rank = rank_of(node.inputs[0])
    axes = [int(a) % rank for a in node.attrs.get("axes", range(rank))]
    return float(values_of(scales)[axes.index(axis)]) if axis in axes else 1.0


def _place(node: gs.Node, index: np.floating, inputs: int, outputs: int, scale: np.floating) -> np.floating:
    """Return where an output lies among the inputs, computed in the type of `index` and `scale`."""
    number = type(index)
    match node.attrs.get("coordinate_transformation_mode", "half_pixel"):
        case "align_corners":
            return index * number(inputs - 1) / number(outputs - 1) if outputs > 1 else number(0)
        case "asymmetric":
            return index / scale
        case "pytorch_half_pixel" if outputs == 1:
            return number(0)
        case _:
            return (index + number(0.5)) / scale - number(0.5)
