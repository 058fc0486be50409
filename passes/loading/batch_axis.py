"""Where the batch goes: of every tensor that relevance flows through, samples lie along the first axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, held, kind, shape_of, static_shape

_HINT = (
    "Relevance is computed for each sample of a batch by itself: export the model with the batch as the first axis, "
    "or explain a tensor before this one with --output."
)
_WITHOUT_VALUES = {"ArgMax", "ArgMin", "ConstantOfShape", "NonZero", "Shape", "Size"}
"""Of what these compute no relevance flows back."""
_RESHAPES = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
_NORMS = {"LayerNormalization", "LogSoftmax", "RMSNormalization", "Softmax"}
_ALONG_AXIS = {"Concat": "it joins", "Gather": "it takes parts", "Split": "it takes parts"}
_BY_VALUE = {"Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum", "Where"}
_TO_THE_END = 2**31 - 1

Rows = dict[str, int]
"""Of a tensor by name: along its first axis, how many rows belong to each sample, one after the other."""


def batch_problems(graph: Graph) -> list[Problem]:
    """Return where a loaded graph mixes the samples of a batch, or has them along another axis than the first.

    Needs inferred shapes.  Rows of one sample that follow each other, as where positions are joined with the batch for
    a dense layer, are no problem inside, since what follows can part them again; the output has one row a sample.
    Where a shape is not known, nothing is said.
    """
    rows: Rows = {tensor.name: 1 for tensor in graph.inputs[:1]}
    found = []
    for node in graph.nodes:
        values = node.inputs[:1] if kind(node) == "Gather" else node.inputs  # the others are positions
        if kind(node) in _WITHOUT_VALUES or not any(tensor.name in rows for tensor in values):
            continue
        if reason := _mix_problem(node, rows):
            found.append(Problem(node.name, node.op, reason, _HINT))
            continue
        left = _result_rows(node, rows)
        rows |= {output.name: left for output in node.outputs if left and not output.is_empty()}
    for output in graph.outputs:
        if rows.get(output.name, 1) != 1:
            reason = f"it has the shape {_text(output)}, with {rows[output.name]} rows for each sample"
            found.append(Problem(output.name, "output", reason, _HINT))
    return found


def _source(node: gs.Node, rows: Mapping[str, int]) -> gs.Tensor:
    """Return the first operand that holds samples."""
    return next(tensor for tensor in node.inputs if tensor.name in rows)


def _mix_problem(node: gs.Node, rows: Mapping[str, int]) -> str:
    """Return how a node mixes or moves the samples, "" where it does not, or where that is not known."""
    source, op = _source(node, rows), kind(node)
    shape = static_shape(source)
    if not shape:
        return ""
    rank, alone = len(shape), shape[0] == 1
    if op in _RESHAPES:
        return _reshape_problem(node, shape, rows[source.name])
    if op == "Transpose" and list(node.attrs.get("perm", range(rank)[::-1]))[:1] != [0]:
        return _move_problem(node)
    if op in _NORMS and _axis(node, rank, -1) == 0 and not alone:
        return "it normalises over the batch"
    if op in _ALONG_AXIS and _axis(node, rank, 0) == 0:
        return f"{_ALONG_AXIS[op]} along the batch"
    if op.startswith("Reduce") and 0 in _reduction_axes(node, rank):
        kept = alone and node.attrs.get("keepdims", 1)
        return "" if kept else "it reduces the batch to one value"
    if op in _CHECKS and (reason := _CHECKS[op](node, source)):
        return reason
    if op == "Concat":
        return _for_each_sample(node, rows)
    return _broadcast_problem(node, rows) if op in _BY_VALUE else ""


def _reshape_problem(node: gs.Node, before: tuple[int | None, ...], rows: int) -> str:
    """Tell whether a node that keeps the order of all values begins a row in the middle of a sample."""
    after = static_shape(node.outputs[0])
    if kind(node) == "Squeeze" and not _axes(node) and before[0] in (1, None):
        return "it drops the batch where that is 1, since it does not say which axes it drops"
    if after is None:
        return ""
    if not after or (before[0] is None and after[0] is not None):
        return _move_problem(node)
    left = _rows_after(before, after, rows)
    return _move_problem(node) if left == 0 else ""


def _rows_after(before: tuple[int | None, ...], after: tuple[int | None, ...], rows: int) -> int | None:
    """Return how many rows a sample has after a reshape: 0 where it has no whole number of them, None if unknown."""
    inner, outer = ([size for size in shape[1:] if size is not None] for shape in (before, after))
    if len(inner) < len(before) - 1 or len(outer) < len(after) - 1:
        return rows if before[0] is not None and before[0] == after[0] else None
    values, width = rows * math.prod(inner), math.prod(outer)
    if not width:
        return rows if before[0] == after[0] else 0
    return values // width if values % width == 0 else 0


def _result_rows(node: gs.Node, rows: Mapping[str, int]) -> int | None:
    """Return how many rows each sample has in a node's results, None where that is not known."""
    source = _source(node, rows)
    before, after = static_shape(source), static_shape(node.outputs[0])
    if not before or not after:
        return None
    if kind(node) not in _RESHAPES:
        return rows[source.name] if _same_rows(source, node.outputs[0]) else None
    left = _rows_after(before, after, rows[source.name])
    same = shape_of(source)[0] == shape_of(node.outputs[0])[0]
    return rows[source.name] if left is None and same else left


def _same_rows(source: gs.Tensor, result: gs.Tensor) -> bool:
    """Whether a result has as many axes as its operand, and may have as many rows."""
    before, after = static_shape(source), static_shape(result)
    if before is None or after is None:
        return True
    return len(before) == len(after) and (after[0] is None or after[:1] == before[:1])


def _broadcast_problem(node: gs.Node, rows: Mapping[str, int]) -> str:
    """Tell whether operands of a node that works value by value stretch or displace the samples."""
    result = node.outputs[0]
    if not all(_same_rows(tensor, result) for tensor in node.inputs if tensor.name in rows):
        return _move_problem(node)
    return _for_each_sample(node, rows)


def _for_each_sample(node: gs.Node, rows: Mapping[str, int]) -> str:
    """Tell whether a constant has a row for each sample, of a batch that has no size."""
    result = node.outputs[0]
    fixed = (static_shape(_source(node, rows)) or (None,))[0] is not None
    for tensor in () if fixed else node.inputs:
        values = held(tensor)
        if values is not None and values.ndim == len(result.shape or ()) and values.shape[0] != 1:
            return f"its constant {tensor.name} has values of its own for each of {values.shape[0]} samples"
    return ""


def _slice_problem(node: gs.Node, source: gs.Tensor) -> str:
    starts, ends = (held(tensor) for tensor in node.inputs[1:3])
    axes, steps = (held(node.inputs[i]) if len(node.inputs) > i else None for i in (3, 4))
    if starts is None or ends is None:
        return _resize_problem(node, source)
    rank = len(shape_of(source))
    for index, axis in enumerate(range(len(starts)) if axes is None else axes):
        whole = int(starts[index]) == 0 and int(ends[index]) >= _size(source) and (steps is None or steps[index] == 1)
        if int(axis) % rank == 0 and not whole:
            return "it takes parts along the batch"
    return ""


def _size(source: gs.Tensor) -> int:
    size = (static_shape(source) or (None,))[0]
    return _TO_THE_END if size is None else size


def _pad_problem(node: gs.Node, source: gs.Tensor) -> str:
    pads = held(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = held(node.inputs[3]) if len(node.inputs) > 3 else None
    if pads is None:
        return _resize_problem(node, source)
    rank = len(shape_of(source))
    named = [int(axis) % rank for axis in (range(rank) if axes is None else axes)]
    padded = {axis for axis, size in zip(named * 2, pads, strict=False) if size}
    return "it pads along the batch" if 0 in padded else ""


def _resize_problem(node: gs.Node, source: gs.Tensor) -> str:
    return "" if _same_rows(source, node.outputs[0]) else "it changes the size of the batch"


def _product_problem(node: gs.Node, source: gs.Tensor) -> str:
    """Tell whether a product sums over samples: over the last axis of one operand, the last but one of the other."""
    rank = len(shape_of(source))
    along = rank - 1 if source is node.inputs[0] else max(rank - 2, 0)
    return "it multiplies along the batch" if along == 0 else ""


_CHECKS: dict[str, Callable[[gs.Node, gs.Tensor], str]] = {
    "MatMul": _product_problem,
    "Pad": _pad_problem,
    "Resize": _resize_problem,
    "Slice": _slice_problem,
    "Upsample": _resize_problem,
}


def _axis(node: gs.Node, rank: int, default: int) -> int:
    return int(node.attrs.get("axis", default)) % max(rank, 1)


def _axes(node: gs.Node) -> list[int]:
    told = held(node.inputs[1]) if len(node.inputs) > 1 else node.attrs.get("axes")
    return [] if told is None else [int(axis) for axis in np.ravel(told)]


def _reduction_axes(node: gs.Node, rank: int) -> set[int]:
    """Return the axes that a reduction names; without any it reduces them all, or on demand none."""
    if len(node.inputs) > 1 and not node.inputs[1].is_empty() and held(node.inputs[1]) is None:
        return set()  # computed: not known here
    axes = _axes(node)
    if not axes:
        return set() if node.attrs.get("noop_with_empty_axes", 0) else set(range(rank))
    return {axis % rank for axis in axes}


def _move_problem(node: gs.Node) -> str:
    result = node.outputs[0]
    return f"its result {result.name} has the shape {_text(result)}, and the batch is not its first axis"


def _text(tensor: gs.Tensor) -> str:
    sizes = ["?" if size in (None, "") or str(size).startswith("unk__") else str(size) for size in tensor.shape or ()]
    return "(" + ", ".join(sizes) + ("," if len(sizes) == 1 else "") + ")"
