"""Defaults and automatic padding are written out, so that later code reads attributes as they stand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, static_shape

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_WINDOWED = {*_CONVOLUTIONS, "MaxPool", "AveragePool"}
_REDUCTIONS = {"ReduceSum", "ReduceMean"}
_COMMUTATIVE = {"Add", "Mul"}


def spell_attributes(graph: Graph) -> Graph:
    """Write out what convolutions, pools, sums and means, Gemm and Pad leave to defaults.

    Needs inferred shapes.  Gives: kernel_shape, strides, dilations (not on AveragePool, which has none
    at opset 18), pads and, for convolutions, group; output_padding on ConvTranspose, without
    output_shape; ceil_mode and count_include_pad on pools; no auto_pad; transA, transB, alpha, beta on
    Gemm; no bias of zeros that is not one value per output (torch writes one of shape (outputs, 2) for a Conv3d
    without bias); Pad over all axes; axis of Concat counted from the front; axes and keepdims of ReduceSum and
    ReduceMean, counted from the front and in order; a constant as the second operand of Add and Mul.
    Declines: automatic padding where the input's size is dynamic.
    """
    return edited(graph, _spell)


def paddings_left(graph: Graph) -> list[Problem]:
    """Return the layers whose automatic padding stays, each with the reason."""
    reason = "the size of its input is dynamic, so its automatic padding is not known"
    return [
        Problem(node.name, node.op, reason)
        for node in graph.nodes
        if kind(node) in _WINDOWED and ("auto_pad" in node.attrs or "output_shape" in node.attrs)
    ]


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    changed = False
    for node in graph.nodes:
        before = dict(node.attrs)
        if kind(node) in _CONVOLUTIONS and stray_bias(node) and not node.inputs[2].values.any():
            keep_inputs(node, 2)
            changed = True
        if kind(node) in _WINDOWED:
            _window(node)
        elif kind(node) == "Gemm":
            node.attrs.update({"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | node.attrs)
        elif kind(node) == "Concat" and node.outputs[0].shape is not None:
            node.attrs["axis"] = node.attrs["axis"] % len(node.outputs[0].shape)
        elif kind(node) in _REDUCTIONS:
            changed |= _axes_from_front(node, taken)
        elif kind(node) == "Pad":
            changed |= _pad_all_axes(node, taken)
        elif kind(node) in _COMMUTATIVE:
            changed |= _constant_last(node)
        changed |= node.attrs != before
    return changed


def stray_bias(node: gs.Node) -> bool:
    """Whether a convolution has a constant bias that is no vector."""
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return bias is not None and bias.ndim != 1


def _constant_last(node: gs.Node) -> bool:
    first, second = node.inputs
    if constant(first) is None or constant(second) is not None:
        return False
    node.inputs = [second, first]
    return True


def _axes_from_front(node: gs.Node, taken: set[str]) -> bool:
    """Spell the axes of a sum or mean, all of them where it names none, as a constant of its own."""
    rank = len(node.inputs[0].shape or [])
    left_out = len(node.inputs) < 2 or node.inputs[1].is_empty()
    given = np.zeros(0, np.int64) if left_out else constant(node.inputs[1])
    if given is None or not rank or (given.size == 0 and node.attrs.get("noop_with_empty_axes", 0)):
        return False
    axes = np.array(sorted(int(axis) % rank for axis in given) or range(rank), np.int64)
    node.attrs = {"keepdims": int(node.attrs.get("keepdims", 1))}
    if given.tolist() == axes.tolist():
        return False
    keep_inputs(node, 1)
    node.inputs.append(gs.Constant(claim(f"{node.name}.axes", taken), axes))
    return True


def _pad_all_axes(node: gs.Node, taken: set[str]) -> bool:
    shape = node.inputs[0].shape
    if len(node.inputs) < 4 or node.inputs[3].is_empty() or shape is None:
        return False
    pads, axes = constant(node.inputs[1]), constant(node.inputs[3])
    if pads is None or axes is None:
        return False
    spelled = np.zeros(2 * len(shape), np.int64)
    for position, axis in enumerate(axes.tolist()):
        spelled[axis % len(shape)] = pads[position]
        spelled[axis % len(shape) + len(shape)] = pads[position + len(axes)]
    node.inputs[1] = gs.Constant(claim(f"{node.name}.pads", taken), spelled)
    keep_inputs(node, 2 if node.inputs[2].is_empty() else 3)
    return True


def _window(node: gs.Node) -> None:
    attrs = node.attrs
    kernel = attrs.get("kernel_shape") or (node.inputs[1].shape or [None, None])[2:]
    if not kernel or not all(isinstance(size, int) for size in kernel):
        return
    dims = len(kernel)
    attrs["kernel_shape"] = [int(size) for size in kernel]
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
    _padding(node, dims)


def _padding(node: gs.Node, dims: int) -> None:
    attrs = node.attrs
    mode = attrs.get("auto_pad") or "NOTSET"
    if node.op == "ConvTranspose" and (mode.startswith("SAME") or "output_shape" in attrs):
        _transposed_padding(node, dims, mode)
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


def _transposed_padding(node: gs.Node, dims: int, mode: str) -> None:
    """Resolve output_shape, or SAME (an output of stride times the input), into pads."""
    attrs = node.attrs
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
