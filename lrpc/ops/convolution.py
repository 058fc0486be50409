"""Conv and ConvTranspose in 1, 2 and 3 dimensions: each is the other's transpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.emit.targets import TRANSPOSE
from lrpc.ops.op import LinearOp, parameter, present, reversed_weight, window_problem
from passes.graph import constant, rank_of, size_of, sizes_of, values_of

_GEOMETRY = ("strides", "dilations", "group", "kernel_shape")


@dataclass(frozen=True)
class _Weighted(LinearOp):
    def weight(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        return emit.read(node.inputs[1])

    def bias(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        bias = parameter(node, 2)
        return None if bias is None else emit.read(bias)

    def values(self, node: gs.Node) -> tuple[np.ndarray | None, np.ndarray | None]:
        bias = parameter(node, 2)
        return constant(node.inputs[1]), None if bias is None else constant(bias)

    def problem(self, node: gs.Node) -> str:
        if constant(node.inputs[1]) is None:
            return "its weight is computed from the input, not a constant"
        if (bias := parameter(node, 2)) is not None and constant(bias) is None:
            return "its bias is computed from the input, not a constant"
        return window_problem(node) or super().problem(node)

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        return emit.op(self.name, present(*xs, w, b), "z", **node.attrs)

    def outputs(self, node: gs.Node) -> int | None:
        return size_of(node.outputs[0], 1)


@dataclass(frozen=True)
class Convolution(_Weighted):
    """Conv: the transpose is a ConvTranspose with the same weight."""

    def input_shape(self, node: gs.Node) -> list[int] | None:
        rank = rank_of(node.inputs[1])
        return [1, -1, *[1] * (rank - 2)] if node.attrs["group"] == 1 else None

    def slope(self, node: gs.Node) -> float:
        weight = values_of(node.inputs[1])
        return float(np.abs(weight).reshape(len(weight), -1).sum(axis=1, dtype=np.float64).max())

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        pads = flipped_pads(node) if emit.takes(TRANSPOSE, "Conv") else None
        if w is not None and pads is not None:
            return [flipped(emit, node, s, w, pads)]
        size = _sizes(node.inputs[0])
        attributes = {key: node.attrs[key] for key in _GEOMETRY}
        return [transposed(emit, s, reversed_weight(emit, w), size, list(node.attrs["pads"]), attributes)]


@dataclass(frozen=True)
class TransposedConvolution(_Weighted):
    """ConvTranspose: the transpose is a Conv with the same weight."""

    def slope(self, node: gs.Node) -> float:
        groups, weight = node.attrs["group"], values_of(node.inputs[1])
        by_group = np.abs(weight).reshape(groups, -1, *weight.shape[1:]).sum(axis=1, dtype=np.float64)
        return float(by_group.reshape(*by_group.shape[:2], -1).sum(axis=2).max())

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        attributes = {key: node.attrs[key] for key in (*_GEOMETRY, "pads")}
        return [emit.op("Conv", present(s, reversed_weight(emit, w)), "transpose", **attributes)]


def flipped_pads(node: gs.Node) -> list[int] | None:
    """Return the pads of the Conv that is a convolution's transpose, None where its transpose is no Conv."""
    if any(stride != 1 for stride in node.attrs["strides"]):
        return None
    reach = [d * (k - 1) for d, k in zip(node.attrs["dilations"], node.attrs["kernel_shape"], strict=True)]
    pads = [r - p for r, p in zip([*reach, *reach], node.attrs["pads"], strict=True)]
    return pads if min(pads) >= 0 else None


def flipped(emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor, pads: list[int]) -> gs.Tensor:
    """Emit the transpose of a stride-1 convolution as a Conv with its weight turned around.

    The turned weight is an expression over the weight, which runtimes fold when they load the graph.
    """
    turned = emit.share(f"{w.name}/turned", lambda name: _turned(emit, node, w, name))
    attributes = {key: node.attrs[key] for key in _GEOMETRY}
    return emit.op("Conv", [s, turned], "transpose", pads=pads, **attributes)


def _turned(emit: Emitter, node: gs.Node, w: gs.Tensor, name: str) -> gs.Tensor:
    """(out, in / groups, ...) becomes (in, out / groups, ...), reversed along every spatial axis."""
    kernel, groups = [int(k) for k in node.attrs["kernel_shape"]], int(node.attrs["group"])
    outputs, inputs = size_of(node.outputs[0], 1), size_of(node.inputs[0], 1)
    axes = [axis for axis, k in enumerate(kernel, start=2) if k > 1]
    if axes:
        operands = {"starts": [-1] * len(axes), "ends": [-(2**31)] * len(axes), "axes": axes, "steps": [-1] * len(axes)}
        w = emit.op(
            "Slice", [w, *(emit.constant(v, f"{name}/{k}", np.int64) for k, v in operands.items())], f"{name}/flip"
        )
    if groups == 1:
        return emit.op("Transpose", [w], name, perm=[1, 0, *range(2, len(kernel) + 2)])
    split = emit.constant([groups, outputs // groups, inputs // groups, *kernel], f"{name}/split", np.int64)
    joined = emit.constant([inputs, outputs // groups, *kernel], f"{name}/joined", np.int64)
    grouped = emit.op("Reshape", [w, split], f"{name}/grouped")
    swapped = emit.op("Transpose", [grouped], f"{name}/swapped", perm=[0, 2, 1, *range(3, len(kernel) + 3)])
    return emit.op("Reshape", [swapped, joined], name)


def transposed(
    emit: Emitter,
    s: gs.Tensor,
    w: gs.Tensor | None,
    size: Sequence[int],
    pads: list[int],
    attributes: dict[str, object],
) -> gs.Tensor:
    """Emit the transpose of a convolution whose input had the spatial `size`.

    Trailing positions that no window reached come back as `output_padding`. Asymmetric pads are
    cropped off, because runtimes place a ConvTranspose that has them on the CPU.
    """
    dims = len(size)
    begins, ends = pads[:dims], pads[dims:]
    steps = zip(size, begins, ends, _ints(attributes, "kernel_shape"), _ints(attributes, "dilations"), strict=True)
    spans = [n + b + e - d * (k - 1) - 1 for n, b, e, k, d in steps]
    tail = [span % stride for span, stride in zip(spans, _ints(attributes, "strides"), strict=True)]
    inputs = present(s, w)
    if begins == ends:
        return emit.op("ConvTranspose", inputs, "transpose", pads=pads, output_padding=tail, **attributes)
    whole = emit.op("ConvTranspose", inputs, "transpose/whole", pads=[0] * 2 * dims, output_padding=tail, **attributes)
    return crop(emit, whole, begins, [b + n for b, n in zip(begins, size, strict=True)], "transpose")


def crop(
    emit: Emitter,
    value: gs.Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    name: str,
    first_axis: int = 2,
) -> gs.Tensor:
    """Emit value[..., start:end] on the axes from `first_axis` on."""
    axes = range(first_axis, first_axis + len(starts))
    operands = {"starts": starts, "ends": ends, "axes": list(axes)}
    constants = [emit.constant(list(v), f"{name}/{key}", np.int64) for key, v in operands.items()]
    return emit.op("Slice", [value, *constants], name)


def _sizes(tensor: gs.Tensor) -> list[int]:
    return sizes_of(tensor, 2)


def _ints(attributes: dict[str, object], key: str) -> list[int]:
    values = attributes[key]
    assert isinstance(values, (list, tuple))
    return [int(value) for value in values]
