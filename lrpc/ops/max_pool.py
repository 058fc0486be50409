"""MaxPool: a maximum hands its relevance to the winner, the first one on ties."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, like, zeros_like
from lrpc.emit.targets import WINNER
from lrpc.ops.convolution import transposed
from lrpc.ops.op import Selection, present, window_problem
from lrpc.ops.pool import Windows
from passes.graph import sizes_of

_LOWEST = float(np.finfo(np.float32).min)
"""What padding is taken for: it wins against nothing."""


@dataclass(frozen=True)
class MaxPool(Selection):
    """The winner takes all, the first one on ties; overlapping windows add up."""

    def problem(self, node: gs.Node) -> str:
        if len(node.outputs) > 1 and node.outputs[1].outputs:
            return "its indices are read by another layer"
        return window_problem(node) or super().problem(node)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        by = _by_slices if emit.takes(WINNER, "Slices") else _by_indices
        return [like(emit, by(emit, node, relevance), node.inputs[0], "unpooled")]


def _by_indices(emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> gs.Tensor:
    """Emit the definition: ask the pool who won, and add up what arrives there."""
    x = emit.read(node.inputs[0])
    _, indices = emit.ops("MaxPool", present(x), ("winner", "winner/indices"), **node.attrs)
    row = emit.constant([-1], "flat_shape", np.int64)
    flat_indices = emit.op("Reshape", [indices, row], "winner/flat_indices")
    flat_relevance = emit.op("Reshape", [relevance, row], "flat_relevance")
    zeros = zeros_like(emit, x, "zeros")
    flat_zeros = emit.op("Reshape", [zeros, row], "flat_zeros")
    operands = [flat_zeros, flat_indices, flat_relevance]
    return emit.op("ScatterElements", operands, "scattered", axis=0, reduction="add")


def _by_slices(emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> gs.Tensor:
    """Emit the same without indices: the places of a window are channels, and the first that holds its maximum wins.

    Channels become part of the batch. Slices copy, so what is compared is equal bit for bit, whatever a runtime does
    to products. Relevance that is not finite makes its whole window NaN.
    """
    sizes = sizes_of(node.inputs[0], 2)
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    windows = [Windows.of(node, axis, n) for axis, n in enumerate(sizes)]
    first = _first_winners(emit, _places(emit, node, windows, sizes), math.prod(kernel), len(kernel))
    outputs = [len(window.counts) for window in windows]
    arriving = _planes(emit, relevance, outputs, "arriving")
    won = emit.op("Mul", [first, arriving], "winner/relevance")
    one_hot = np.eye(math.prod(kernel)).reshape(-1, 1, *kernel)
    pads = [window.begin for window in windows] + [window.end for window in windows]
    attributes = {
        "strides": node.attrs["strides"],
        "dilations": node.attrs.get("dilations", [1] * len(sizes)),
        "group": 1,
        "kernel_shape": kernel,
    }
    return transposed(emit, won, emit.constant(one_hot, "winner/places"), sizes, pads, attributes)


def _planes(emit: Emitter, value: gs.Tensor, sizes: list[int], name: str) -> gs.Tensor:
    """Emit (n, c, ...) as (n * c, 1, ...)."""
    shape = emit.constant([-1, 1, *sizes], f"{name}/planes/shape", np.int64)
    return emit.op("Reshape", [value, shape], f"{name}/planes")


def _places(emit: Emitter, node: gs.Node, windows: list[Windows], sizes: list[int]) -> gs.Tensor:
    """Emit what each window holds, (n * c, places, *outputs), its places in the order in which ties are decided."""
    padded = _padded(emit, _planes(emit, emit.read(node.inputs[0]), sizes, "x"), windows)
    kernel, strides = node.attrs["kernel_shape"], [int(n) for n in node.attrs["strides"]]
    dilations = node.attrs.get("dilations", [1] * len(sizes))
    axes = emit.constant(list(range(2, len(sizes) + 2)), "place/axes", np.int64)
    steps = emit.constant(strides, "place/steps", np.int64)
    pieces: list[gs.Tensor] = []
    for index, place in enumerate(itertools.product(*(range(int(k)) for k in kernel))):
        begins = [at * int(dilation) for at, dilation in zip(place, dilations, strict=True)]
        spans = [(len(window.counts) - 1) * stride + 1 for window, stride in zip(windows, strides, strict=True)]
        starts = emit.constant(begins, f"place{index}/starts", np.int64)
        ends = emit.constant(np.add(begins, spans), f"place{index}/ends", np.int64)
        pieces.append(emit.op("Slice", [padded, starts, ends, axes, steps], f"place{index}"))
    return emit.op("Concat", pieces, "places", axis=1)


def _padded(emit: Emitter, planes: gs.Tensor, windows: list[Windows]) -> gs.Tensor:
    begins, ends = [window.begin for window in windows], [max(window.reach, 0) for window in windows]
    if not any((*begins, *ends)):
        return planes
    pads = emit.constant([0, 0, *begins, 0, 0, *ends], "x/pads", np.int64)
    return emit.op("Pad", [planes, pads, emit.constant(_LOWEST, "x/lowest")], "x/padded")


def _first_winners(emit: Emitter, places: gs.Tensor, count: int, dims: int) -> gs.Tensor:
    """Emit 1 at the first place of each window that holds its maximum, else 0.

    How many places before it hold the maximum too is a sum of small whole numbers, exact in any precision.
    """
    top = emit.op("ReduceMax", [places, emit.constant([1], "top/axis", np.int64)], "top", keepdims=1)
    hits = emit.op("Cast", [emit.op("Equal", [places, top], "hit/mask")], "hit", to=1)
    before = emit.constant(np.tril(np.ones((count, count)), -1).reshape(count, count, *[1] * dims), "hit/before")
    earlier = emit.op("Conv", [hits, before], "hit/earlier")
    return emit.op("Relu", [emit.op("Sub", [hits, earlier], "hit/less_earlier")], "winner")
