"""Defaults and automatic padding are written out, so that later code reads attributes as they stand."""

from __future__ import annotations

import math
from typing import Any

import onnx_graphsurgeon as gs

from passes.graph import Graph, edited, static_shape

_WINDOWED = {"Conv", "ConvTranspose", "MaxPool", "AveragePool"}


def spell_attributes(graph: Graph) -> Graph:
    """Write out what convolutions, pools and Gemm leave to defaults.

    Needs inferred shapes.  Gives: kernel_shape, strides, dilations, pads and (for convolutions) group;
    ceil_mode and count_include_pad on pools; transA, transB, alpha, beta on Gemm; no auto_pad, and no
    output_shape.  Declines automatic padding where the input's size is dynamic.
    """
    return edited(graph, lambda copy: sum(map(_spell, copy.nodes)) > 0)


def _spell(node: gs.Node) -> bool:
    before = dict(node.attrs)
    if node.op in _WINDOWED:
        _window(node)
    elif node.op == "Gemm":
        defaults = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
        node.attrs.update({key: node.attrs.get(key, value) for key, value in defaults.items()})
    elif node.op == "Concat" and node.outputs[0].shape is not None:
        node.attrs["axis"] = node.attrs["axis"] % len(node.outputs[0].shape)
    return dict(node.attrs) != before


def _window(node: gs.Node) -> None:
    attrs = node.attrs
    kernel = attrs.get("kernel_shape") or (node.inputs[1].shape or [None, None])[2:]
    if not kernel or not all(isinstance(size, int) for size in kernel):
        return
    dims = len(kernel)
    attrs["kernel_shape"] = [int(size) for size in kernel]
    defaults: dict[str, Any] = {"strides": [1] * dims, "dilations": [1] * dims}
    if node.op in ("Conv", "ConvTranspose"):
        defaults["group"] = 1
    if node.op == "ConvTranspose":
        defaults["output_padding"] = [0] * dims
    if node.op in ("MaxPool", "AveragePool"):
        defaults["ceil_mode"] = 0
    if node.op == "AveragePool":
        defaults["count_include_pad"] = 0
        defaults.pop("dilations")
    for key, value in defaults.items():
        attrs.setdefault(key, value)
    attrs.pop("storage_order", None) if attrs.get("storage_order") == 0 else None
    _padding(node, dims)


def _padding(node: gs.Node, dims: int) -> None:
    attrs = node.attrs
    mode = attrs.get("auto_pad", "NOTSET") or "NOTSET"
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
    totals = [max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in axes]
    return _halves(totals, mode)


def _halves(totals: list[int], mode: str) -> list[int]:
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*large, *small] if mode == "SAME_LOWER" else [*small, *large]


def _transposed_padding(node: gs.Node, dims: int, mode: str) -> None:
    """Resolve output_shape, or SAME (an output of stride times the input), into pads."""
    attrs = node.attrs
    size, result = ((static_shape(t) or ())[2:] for t in (node.inputs[0], node.outputs[0]))
    if len(size) != dims or len(result) != dims or None in (*size, *result):
        return
    axes = zip(size, result, attrs["kernel_shape"], attrs["strides"], attrs["dilations"], strict=True)
    extra = [(n - 1) * s + d * (k - 1) + 1 - m for n, m, k, s, d in axes]  # type: ignore[operator]
    totals = [max(e + p, 0) for e, p in zip(extra, attrs["output_padding"], strict=True)]
    attrs["output_padding"] = [max(-e, 0) or p for e, p in zip(extra, attrs["output_padding"], strict=True)]
    attrs["pads"] = _halves(totals, "SAME_LOWER" if mode != "SAME_UPPER" else mode)
    attrs.pop("auto_pad", None)
    attrs.pop("output_shape", None)
