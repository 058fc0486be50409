"""Ops that move values and change none: relevance moves back the way the values came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, like
from lrpc.ops.convolution import crop
from lrpc.ops.op import LinearOp, Selection, sign_of, union
from lrpc.rules.sign import ANY, Sign
from passes.graph import constant, rank_of, size_of, sizes_of, static_shape, values_of


@dataclass(frozen=True)
class Sum(LinearOp):
    """The sum of its branches, all of one shape."""

    parametric: bool = False

    def data(self, node: gs.Node) -> list[gs.Tensor]:
        return list(node.inputs)

    def problem(self, node: gs.Node) -> str:
        if any(constant(tensor) is not None for tensor in node.inputs):
            return "one of its operands is a constant, and no linear layer before it could take it as bias"
        if len({tuple(map(str, tensor.shape or ())) for tensor in node.inputs}) > 1:
            return "its operands have different shapes (broadcasting is not supported)"
        return super().problem(node)

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        return emit.op("Sum", list(xs), "z")

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        return [s] * len(node.inputs)

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return union(inputs)

    def slope(self, node: gs.Node) -> float:
        return float(len(node.inputs))


@dataclass(frozen=True)
class Identity(Selection):
    """Identity and Dropout, and the branches of a fan-out."""

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        return [relevance]


@dataclass(frozen=True)
class Reshape(Selection):
    """Flatten, Reshape, Squeeze and Unsqueeze."""

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        return [like(emit, relevance, node.inputs[0], "reshaped")]


@dataclass(frozen=True)
class Transpose(Selection):
    """Transpose: relevance goes through the inverse permutation."""

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        rank = rank_of(node.inputs[0])
        forward = node.attrs.get("perm", list(range(rank))[::-1])
        inverse = [int(axis) for axis in np.argsort(forward)]
        return [emit.op("Transpose", [relevance], "transposed", perm=inverse)]


@dataclass(frozen=True)
class Concat(Selection):
    """Concat: every input gets its own slice."""

    def data(self, node: gs.Node) -> list[gs.Tensor]:
        return list(node.inputs)

    def problem(self, node: gs.Node) -> str:
        shapes = [static_shape(tensor) for tensor in node.inputs]
        if any(shape is not None and shape[node.attrs["axis"]] is None for shape in shapes):
            return "it joins along a dynamic axis"
        return super().problem(node)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        axis = node.attrs["axis"] % rank_of(node.outputs[0])
        sizes = [size_of(tensor, axis) for tensor in node.inputs]
        ends = np.cumsum(sizes).tolist()
        return [
            crop(emit, relevance, [end - size], [end], f"slice{index}", first_axis=axis)
            for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
        ]


@dataclass(frozen=True)
class Slice(Selection):
    """Slice with constant bounds: what was left out gets nothing."""

    def problem(self, node: gs.Node) -> str:
        if len(node.inputs) < 5 or any(constant(tensor) is None for tensor in node.inputs[1:]):
            return "it takes a part along a dynamic axis, or from a computed position"
        if any(step < 1 for step in values_of(node.inputs[4])):
            return "it steps backwards"
        return super().problem(node)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        shape = [-1 if size is None else size for size in static_shape(node.outputs[0]) or ()]
        before, behind = [0] * len(shape), [0] * len(shape)
        for start, _, axis, step in zip(*(values_of(tensor).tolist() for tensor in node.inputs[1:5]), strict=True):
            left = size_of(node.inputs[0], axis) - start
            if step > 1:
                relevance = _space(emit, relevance, shape, axis, step, left)
            before[axis], behind[axis] = start, left - shape[axis]
        return [emit.op("Pad", [relevance, emit.constant([*before, *behind], "padded/pads", np.int64)], "padded")]


def _space(emit: Emitter, value: gs.Tensor, shape: list[int], axis: int, step: int, most: int) -> gs.Tensor:
    """Emit zeros between and behind the values along an axis, `most` of all at most; update its shape."""
    name = f"spaced{axis}"
    pads = [0] * 2 * (len(shape) + 1)
    pads[len(shape) + 1 + axis + 1] = step - 1
    column = emit.op("Unsqueeze", [value, emit.constant([axis + 1], f"{name}/axis", np.int64)], f"{name}/column")
    wide = emit.op("Pad", [column, emit.constant(pads, f"{name}/pads", np.int64)], f"{name}/wide")
    shape[axis] *= step
    joined = emit.op("Reshape", [wide, emit.constant(shape, f"{name}/shape", np.int64)], name)
    if shape[axis] <= most:
        return joined
    shape[axis] = most
    return crop(emit, joined, [0], [most], f"{name}/cropped", first_axis=axis)


@dataclass(frozen=True)
class Pad(Selection):
    """Pad with a constant: relevance of the padding is dropped."""

    def problem(self, node: gs.Node) -> str:
        pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.attrs.get("mode", "constant") != "constant" or pads is None or (pads < 0).any():
            return "only constant padding by fixed, non-negative amounts is supported"
        if len(node.inputs) > 3 and not node.inputs[3].is_empty():
            return "padding on chosen axes is not supported"
        if None in (static_shape(node.inputs[0]) or ())[1:]:
            return "the size of its input is dynamic; give the model a fixed input size"
        return super().problem(node)

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        given = len(node.inputs) > 2 and not node.inputs[2].is_empty()
        filling = constant(node.inputs[2]) if given else np.zeros(1)
        return union(inputs) | (ANY if filling is None else sign_of(filling))

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        rank = rank_of(node.inputs[0])
        begins = [int(p) for p in values_of(node.inputs[1])[1:rank]]
        ends = [begin + n for begin, n in zip(begins, sizes_of(node.inputs[0], 1), strict=True)]
        return [crop(emit, relevance, begins, ends, "unpadded", first_axis=1)]
