"""Average pools: linear maps without parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, expand_like
from lrpc.emit.targets import DENSE_AVERAGE, EVEN_AVERAGE
from lrpc.ops.convolution import transposed
from lrpc.ops.op import LinearOp, dynamic_size, window_problem
from lrpc.rules.sign import Sign
from passes.graph import size_of, sizes_of


@dataclass(frozen=True)
class AveragePool(LinearOp):
    """A depthwise convolution with ones, divided by the number of positions that each window counts."""

    parametric: bool = False

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return inputs[0]

    def slope(self, node: gs.Node) -> float:
        return 1.0

    def problem(self, node: gs.Node) -> str:
        return window_problem(node) or super().problem(node)

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        if not _is_dilated(node):
            return emit.op("AveragePool", list(xs), "z", **node.attrs)
        windows, (ones, attributes) = _windows(node), _as_convolution(emit, node, "z")  # opset 18 has no dilated pools
        pads = [window.begin for window in windows] + [window.end for window in windows]
        total = emit.op("Conv", [*xs, ones], "z/total", pads=pads, **attributes)
        return emit.op("Div", [total, _counts(emit, windows, "z")], "z")

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        windows = _windows(node)
        if (short := _short_form(emit, node, s, windows)) is not None:
            return [short]
        share = emit.op("Div", [s, _counts(emit, windows, "transpose")], "transpose/share")
        ones, attributes = _as_convolution(emit, node, "transpose")
        pads = [window.begin for window in windows] + [window.end for window in windows]
        size = sizes_of(node.inputs[0], 2)
        return [transposed(emit, share, ones, size, pads, attributes)]


def _is_dilated(node: gs.Node) -> bool:
    return set(node.attrs.get("dilations", [1])) != {1}


def _windows(node: gs.Node) -> list[Windows]:
    return [Windows.of(node, axis, n) for axis, n in enumerate(sizes_of(node.inputs[0], 2))]


def _counts(emit: Emitter, windows: Sequence[Windows], role: str) -> gs.Tensor:
    """Return how many positions each window counts."""
    return emit.constant(_outer([window.counts for window in windows])[None, None], f"{role}/counts")


def _as_convolution(emit: Emitter, node: gs.Node, role: str) -> tuple[gs.Tensor, dict[str, object]]:
    """Emit the depthwise kernel of ones that sums each window; return it with the attributes of the convolution."""
    channels, kernel = size_of(node.inputs[0], 1), [int(k) for k in node.attrs["kernel_shape"]]
    shape = emit.constant([channels, 1, *kernel], f"{role}/kernel_shape", np.int64)
    ones = emit.op("Expand", [emit.constant(1.0, f"{role}/one"), shape], f"{role}/kernel")
    return ones, {
        "strides": node.attrs["strides"],
        "dilations": node.attrs.get("dilations", [1] * len(kernel)),
        "group": channels,
        "kernel_shape": kernel,
    }


def _short_form(emit: Emitter, node: gs.Node, s: gs.Tensor, windows: Sequence[Windows]) -> gs.Tensor | None:
    """Emit the transpose where each value just spreads over its window, or is averaged again; None elsewhere."""
    kernel, strides = [int(k) for k in node.attrs["kernel_shape"]], [int(n) for n in node.attrs["strides"]]
    count = math.prod(kernel)
    whole = all(n == k for window, k in zip(windows, kernel, strict=True) for n in window.counts)
    if not whole or _is_dilated(node):
        return None
    if emit.takes(EVEN_AVERAGE, "Resize") and kernel == strides and all(window.tiles for window in windows):
        share = emit.op("Div", [s, emit.constant(float(count), "transpose/count")], "transpose/share")
        scales = emit.constant([1, 1, *kernel], "transpose/scales")
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return emit.op("Resize", [share, gs.Variable.empty(), scales], "transpose", **nearest)
    if emit.takes(DENSE_AVERAGE, "AveragePool") and set(strides) == {1}:
        begins = [k - 1 - window.begin for window, k in zip(windows, kernel, strict=True)]
        ends = [k - 1 - window.end for window, k in zip(windows, kernel, strict=True)]
        again = {"kernel_shape": kernel, "strides": strides, "pads": [*begins, *ends], "count_include_pad": 1}
        return emit.op("AveragePool", [s], "transpose", **again)
    return None


@dataclass(frozen=True)
class Windows:
    """The windows of a pool along one axis.

    begin, end: padding, where `end` reaches as far as the last window does.
    reach: how far beyond the input the last window does, negative where it stops before.
    counts: how many positions each window averages over.
    tiles: whether the windows cover the input without gaps or padding, if their stride is their size.
    """

    begin: int
    end: int
    reach: int
    counts: list[int]
    tiles: bool

    @classmethod
    def of(cls, node: gs.Node, axis: int, n: int) -> Windows:
        dims = len(node.attrs["kernel_shape"])
        kernel, stride = node.attrs["kernel_shape"][axis], node.attrs["strides"][axis]
        dilation = node.attrs.get("dilations", [1] * dims)[axis]
        begin, end = node.attrs["pads"][axis], node.attrs["pads"][dims + axis]
        outputs = size_of(node.outputs[0], 2 + axis)
        starts = [index * stride - begin for index in range(outputs)]
        # Ceil mode lets the last window run over the padding; what lies beyond counts for nothing.
        low, high = (-begin, n + end) if node.attrs.get("count_include_pad", 0) else (0, n)
        counts = [sum(low <= start + tap * dilation < high for tap in range(kernel)) for start in starts]
        reach = starts[-1] + dilation * (kernel - 1) + 1 - n
        tiles = begin == 0 and len(starts) * kernel == n
        return cls(begin, max(end, reach), reach, counts, tiles)


def _outer(axes: Sequence[Sequence[int]]) -> np.ndarray:
    grids = np.meshgrid(*(np.asarray(axis, np.float32) for axis in axes), indexing="ij")
    product: np.ndarray = np.prod(np.stack(grids), axis=0)
    return product


@dataclass(frozen=True)
class GlobalAveragePool(LinearOp):
    """The mean over all spatial positions."""

    parametric: bool = False

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return inputs[0]

    def slope(self, node: gs.Node) -> float:
        return 1.0

    def problem(self, node: gs.Node) -> str:
        return dynamic_size(node) or super().problem(node)

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        return emit.op("GlobalAveragePool", list(xs), "z")

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        size = math.prod(sizes_of(node.inputs[0], 2))
        return [emit.op("Div", [s, emit.constant(float(size), "transpose/count")], "transpose/share")]

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        (share,) = self.transpose(emit, node, relevance, None)
        return [expand_like(emit, share, node.inputs[0], "transpose")]
