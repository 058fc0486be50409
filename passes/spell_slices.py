"""Every way to take a part of a tensor is spelled as Slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, keep_inputs, kind, shape_of, size_of, static_shape
from passes.graph.edit import Declined, Edit


def spell_slices(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell Split, and Gather of one position, as Slice, and write out what a Slice leaves to defaults.

    Gives: a Slice for each result of a Split that something reads (`NAME`, `NAME:1`, ...), a
    Slice and a Reshape `NAME.squeeze` for a Gather of one position, the index being a constant; starts, ends, axes
    and steps as constants on every Slice, counted from the front.
    Declines: a part along an axis of dynamic size, computed positions, steps backwards.
    """
    edit = Edit(graph, declined)
    edit.each(_find_defaults, _write_defaults)
    edit.each(_find_parts, _slice)
    return edit.result()


@dataclass(frozen=True)
class _Part:
    """A part that is taken along an axis: from `first` to before `last`. squeeze: whether the axis is dropped."""

    axis: int
    first: int
    last: int
    result: gs.Variable
    squeeze: bool = False


_DYNAMIC = Declined("the size of the axis that it takes parts of is dynamic")
Values = dict[str, list[int]]
"""What a Slice reads behind its first input, by role."""


def _find_parts(edit: Edit, node: gs.Node) -> list[_Part] | Declined | None:
    if kind(node) == "Split":
        return _find_split(edit, node)
    return _find_position(node) if kind(node) == "Gather" else None


def _find_split(edit: Edit, node: gs.Node) -> list[_Part] | Declined:
    axis = _axis(node, node.inputs[0])
    if axis is None:
        return _DYNAMIC
    shapes = [static_shape(result) for result in node.outputs]
    sizes = [shape[axis] for shape in shapes if shape is not None]
    if len(sizes) < len(node.outputs) or None in sizes:
        return Declined("the sizes of its parts are not known")
    starts = np.cumsum([0, *sizes]).tolist()
    parts = zip(starts, starts[1:], node.outputs, strict=False)
    return [_Part(axis, *part) for part in parts if part[2].outputs or edit.is_output(part[2])]


def _find_position(node: gs.Node) -> list[_Part] | Declined | None:
    """Return the one position that a Gather takes; its axis is dropped where the index is a number."""
    x, result, index = node.inputs[0], node.outputs[0], constant(node.inputs[1])
    if x.dtype != np.float32 or constant(x) is not None or index is None or index.size != 1 or index.ndim > 1:
        return None  # shape arithmetic is no layer, and several positions are for `spell_gathers`
    axis, shape = _axis(node, x), static_shape(result)
    if axis is None or shape is None:
        return _DYNAMIC
    if index.ndim == 0 and shape.count(None) > 1:
        return Declined("its result has more than one dynamic axis")
    position = int(index.reshape(-1)[0]) % size_of(x, axis)
    return [_Part(axis, position, position + 1, result, squeeze=index.ndim == 0)]


def _find_defaults(edit: Edit, node: gs.Node) -> Values | Declined | None:
    """Return what a Slice is to read where that is not what it reads."""
    if kind(node) != "Slice":
        return None
    shape, before = static_shape(node.inputs[0]), node.inputs[1:]
    given = [None if tensor.is_empty() else constant(tensor) for tensor in before]
    if shape is None or any(value is None and not t.is_empty() for value, t in zip(given, before, strict=True)):
        return Declined("its positions are computed, or the rank of its input is not known")
    starts, ends, axes, steps = (*given, None, None)[:4]
    if starts is None or ends is None:
        return None
    chosen = [int(axis) % len(shape) for axis in (range(len(starts)) if axes is None else axes.tolist())]
    stride = [1] * len(chosen) if steps is None else [int(step) for step in steps]
    sizes = [size for size in (shape[axis] for axis in chosen) if size is not None]
    if len(sizes) < len(chosen):
        return _DYNAMIC
    if min(stride) < 1:
        return Declined("it steps backwards")
    first, last = ([_from_front(v, n) for v, n in zip(part.tolist(), sizes, strict=True)] for part in (starts, ends))
    values = {"starts": first, "ends": last, "axes": chosen, "steps": stride}
    return None if [None if v is None else v.tolist() for v in given] == list(values.values()) else values


def _write_defaults(edit: Edit, node: gs.Node, values: Values) -> None:
    keep_inputs(node, 1)
    node.inputs.extend(_constants(edit, node.name, values))


def _slice(edit: Edit, node: gs.Node, parts: list[_Part]) -> None:
    x = node.inputs[0]
    edit.detach(node)
    names = [node.name, *(edit.claim(node.name) for _ in parts[1:])]
    made = [_nodes_of(edit, name, x, part) for name, part in zip(names, parts, strict=True)]
    edit.put(node, [each for nodes in made for each in nodes])


def _nodes_of(edit: Edit, name: str, x: gs.Tensor, part: _Part) -> list[gs.Node]:
    """Return a Slice, and the Reshape that drops its axis where that is to be dropped."""
    bounds, axis, result = (part.first, part.last), part.axis, part.result
    if not part.squeeze:
        return [slice_node(edit, name, x, bounds, axis, result)]
    sizes = shape_of(x)
    kept = gs.Variable(edit.claim(f"{result.name}/kept"), x.dtype, [*sizes[:axis], 1, *sizes[axis + 1 :]])
    target = [-1 if size is None else size for size in static_shape(result) or ()]
    constant = edit.constant(f"{result.name}/shape", np.array(target, np.int64))
    squeeze = gs.Node("Reshape", edit.claim(f"{name}.squeeze"), {}, [kept, constant], [result])
    return [slice_node(edit, name, x, bounds, axis, kept), squeeze]


def slice_node(edit: Edit, name: str, x: gs.Tensor, part: Sequence[int], axis: int, result: gs.Variable) -> gs.Node:
    """Return a Slice of the positions from part[0] to before part[1]."""
    values = {"starts": [part[0]], "ends": [part[1]], "axes": [axis], "steps": [1]}
    return gs.Node("Slice", name, {}, [x, *_constants(edit, name, values)], [result])


def _constants(edit: Edit, name: str, values: Mapping[str, list[int]]) -> list[gs.Constant]:
    return [edit.constant(f"{name}.{key}", np.array(v, np.int64)) for key, v in values.items()]


def _axis(node: gs.Node, x: gs.Tensor) -> int | None:
    """Return the axis that a node works along, None where its size is dynamic or unknown."""
    shape = static_shape(x)
    if shape is None:
        return None
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    return None if shape[axis] is None else axis


def _from_front(position: int, size: int) -> int:
    return min(max(position + size if position < 0 else position, 0), size)
