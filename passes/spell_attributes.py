"""Defaults and automatic padding are written out, so that later code reads attributes as they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, Shape, constant, kind, operand, static_shape, stray_bias, values_of
from passes.graph.edit import Declined, Edit, rewrite

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_WINDOWED = {*_CONVOLUTIONS, "MaxPool", "AveragePool"}
_REDUCTIONS = {"ReduceSum", "ReduceMean"}
_COMMUTATIVE = {"Add", "Mul"}


def spell_attributes(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Write out what convolutions, pools, sums and means, Gemm and Pad leave to defaults.

    Gives: kernel_shape, strides, dilations (not on AveragePool, which has none
    at opset 18), pads and, for convolutions, group; output_padding on ConvTranspose, without
    output_shape; ceil_mode and count_include_pad on pools; no auto_pad; transA, transB, alpha, beta on
    Gemm; no bias of zeros that is not one value per output (torch writes one of shape (outputs, 2) for a Conv3d
    without bias); Pad over all axes; axis of Concat counted from the front; axes and keepdims of ReduceSum and
    ReduceMean, counted from the front and in order; a constant as the second operand of Add and Mul.
    Declines: automatic padding where the input's size is dynamic.
    """
    return rewrite(graph, _find_spelling, _write, declined)


@dataclass(frozen=True)
class _Spelling:
    """What a node is to have: attributes, and operands behind the first. New constants are arrays with their names."""

    attrs: dict[str, Any]
    operands: Sequence[gs.Tensor | tuple[str, np.ndarray]]
    first: gs.Tensor


def _find_spelling(edit: Edit, node: gs.Node) -> _Spelling | Declined | None:
    if not node.inputs:
        return None
    before = _Spelling(dict(node.attrs), node.inputs[1:], node.inputs[0])
    new = _spelling(node, before)
    if new.attrs != node.attrs or len(new.operands) != len(before.operands) or new.first is not before.first:
        return new
    if any(a is not b for a, b in zip(new.operands, before.operands, strict=True)):
        return new
    if kind(node) in _WINDOWED and ("auto_pad" in node.attrs or "output_shape" in node.attrs):
        return Declined("the size of its input is dynamic, so its automatic padding is not known")
    return None


def _spelling(node: gs.Node, now: _Spelling) -> _Spelling:
    """Return a node with everything written out that can be."""
    op, attrs = kind(node), now.attrs
    if op in _CONVOLUTIONS and stray_bias(node) and not values_of(node.inputs[2]).any():
        now = replace(now, operands=now.operands[:1])
    if op in _WINDOWED:
        _write_window(node, attrs)
    elif op == "Gemm":
        attrs |= {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | attrs
    elif op == "Concat" and node.outputs[0].shape is not None:
        attrs["axis"] = attrs["axis"] % len(node.outputs[0].shape)
    elif op in _REDUCTIONS:
        return _axes_from_front(node, now)
    elif op == "Pad":
        return _pad_all_axes(node, now)
    elif op in _COMMUTATIVE:
        return _constant_last(node, now)
    return now


def _write(edit: Edit, node: gs.Node, new: _Spelling) -> None:
    node.attrs = new.attrs
    operands = [edit.constant(*o) if isinstance(o, tuple) else o for o in new.operands]
    node.inputs = [new.first, *operands]


def _constant_last(node: gs.Node, now: _Spelling) -> _Spelling:
    first, second = node.inputs
    if constant(first) is None or constant(second) is not None:
        return now
    return replace(now, first=second, operands=[first])


def _axes_from_front(node: gs.Node, now: _Spelling) -> _Spelling:
    """Spell the axes of a sum or mean, all of them where it names none, as a constant of its own."""
    rank, axes_given = len(node.inputs[0].shape or []), operand(node, 1)
    given = np.zeros(0, np.int64) if axes_given is None else constant(axes_given)
    if given is None or not rank or (given.size == 0 and node.attrs.get("noop_with_empty_axes", 0)):
        return now
    axes = np.array(sorted(int(axis) % rank for axis in given) or range(rank), np.int64)
    now = replace(now, attrs={"keepdims": int(node.attrs.get("keepdims", 1))})
    return now if given.tolist() == axes.tolist() else replace(now, operands=[(f"{node.name}.axes", axes)])


def _pad_all_axes(node: gs.Node, now: _Spelling) -> _Spelling:
    shape, named = node.inputs[0].shape, operand(node, 3)
    if named is None or shape is None:
        return now
    pads, axes = constant(node.inputs[1]), constant(named)
    if pads is None or axes is None:
        return now
    spelled = np.zeros(2 * len(shape), np.int64)
    for position, axis in enumerate(axes.tolist()):
        spelled[axis % len(shape)] = pads[position]
        spelled[axis % len(shape) + len(shape)] = pads[position + len(axes)]
    value = [] if node.inputs[2].is_empty() else [node.inputs[2]]
    return replace(now, operands=[(f"{node.name}.pads", spelled), *value])


def _write_window(node: gs.Node, attrs: dict[str, Any]) -> None:
    kernel: Shape = attrs.get("kernel_shape") or (node.inputs[1].shape or [None, None])[2:]
    sizes = [int(size) for size in kernel if isinstance(size, int)]
    if not sizes or len(sizes) < len(kernel):
        return
    dims = len(sizes)
    attrs["kernel_shape"] = sizes
    defaults: dict[str, Any] = {"strides": [1] * dims}
    if node.op != "AveragePool":
        defaults["dilations"] = [1] * dims
    if node.op in _CONVOLUTIONS:
        defaults["group"] = 1
    else:
        defaults["ceil_mode"] = 0
    if node.op == "ConvTranspose":
        defaults["output_padding"] = [0] * dims
    if node.op == "AveragePool":
        defaults["count_include_pad"] = 0
    for key, value in defaults.items():
        attrs.setdefault(key, value)
    if attrs.get("storage_order") == 0:
        del attrs["storage_order"]
    _write_padding(node, attrs, dims)


def _write_padding(node: gs.Node, attrs: dict[str, Any], dims: int) -> None:
    mode = attrs.get("auto_pad") or "NOTSET"
    if node.op == "ConvTranspose" and (mode.startswith("SAME") or "output_shape" in attrs):
        _write_transposed_padding(node, attrs, dims, mode)
        return
    if mode.startswith("SAME"):
        size = (static_shape(node.inputs[0]) or ())[2:]
        if len(size) != dims or None in size:
            return
        attrs["pads"] = _same(attrs, [int(n) for n in size if n is not None], mode)
    elif mode == "VALID":
        attrs["pads"] = [0] * 2 * dims
    attrs.setdefault("pads", [0] * 2 * dims)
    attrs.pop("auto_pad", None)


def _same(attrs: dict[str, Any], size: list[int], mode: str) -> list[int]:
    dilations = attrs.get("dilations", [1] * len(size))
    axes = zip(size, attrs["kernel_shape"], attrs["strides"], dilations, strict=True)
    return _halves([max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in axes], mode)


def _halves(totals: list[int], mode: str) -> list[int]:
    """Return pads that split each total, the odd one at the end for SAME_UPPER, else at the beginning."""
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*small, *large] if mode == "SAME_UPPER" else [*large, *small]


def _write_transposed_padding(node: gs.Node, attrs: dict[str, Any], dims: int, mode: str) -> None:
    """Resolve output_shape, or SAME (an output of stride times the input), into pads."""
    size, result = ((static_shape(t) or ())[2:] for t in (node.inputs[0], node.outputs[0]))
    if len(size) != dims or len(result) != dims or None in (*size, *result):
        return
    axes = zip(size, result, *(attrs[key] for key in ("kernel_shape", "strides", "dilations")), strict=True)
    beyond = [(n - 1) * s + d * (k - 1) + 1 - m for n, m, k, s, d in axes]
    totals = [max(b + p, 0) for b, p in zip(beyond, attrs["output_padding"], strict=True)]
    extra = [t - b for t, b in zip(totals, beyond, strict=True)]
    if any(e >= max(s, d) for e, s, d in zip(extra, attrs["strides"], attrs["dilations"], strict=True)):
        return
    attrs["output_padding"] = extra
    attrs["pads"] = _halves(totals, mode)
    attrs.pop("auto_pad", None)
    attrs.pop("output_shape", None)
