"""Every way to take a part of a tensor is spelled as Slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, static_shape


def spell_slices(graph: Graph) -> Graph:
    """Spell Split, and Gather of one position, as Slice, and write out what a Slice leaves to defaults.

    Needs inferred shapes.  Gives: a Slice for each result of a Split that something reads (`NAME`, `NAME:1`, ...), a
    Slice and a Reshape `NAME.squeeze` for a Gather of one position, the index being a constant; starts, ends, axes
    and steps as constants on every Slice, counted from the front.
    Declines: a part along an axis of dynamic size, computed positions, steps backwards.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    outputs = {id(output) for output in graph.outputs}
    changed = False
    nodes: list[gs.Node] = []
    for node in graph.nodes:
        if kind(node) == "Slice":
            changed |= _write_out(node, taken)
        new = _split(node, taken, outputs) if kind(node) == "Split" else None
        new = _gather(node, taken) if kind(node) == "Gather" else new
        changed |= new is not None
        nodes += [node] if new is None else new
    if changed:
        graph.body.nodes = nodes
    return changed


def _split(node: gs.Node, taken: set[str], outputs: set[int]) -> list[gs.Node] | None:
    x, results = node.inputs[0], list(node.outputs)
    axis = _axis(node, x)
    if axis is None or any(result.shape is None for result in results):
        return None
    sizes = [result.shape[axis] for result in results]
    if not all(isinstance(size, (int, np.integer)) for size in sizes):
        return None
    starts = np.cumsum([0, *sizes]).tolist()
    node.inputs.clear()
    node.outputs.clear()
    parts = [
        part for part in zip(starts, starts[1:], results, strict=False) if part[2].outputs or id(part[2]) in outputs
    ]
    names = [node.name, *(claim(node.name, taken) for _ in parts[1:])]
    return [slice_node(name, x, part[:2], axis, part[2], taken) for name, part in zip(names, parts, strict=True)]


def _gather(node: gs.Node, taken: set[str]) -> list[gs.Node] | None:
    """Take one position, and drop its axis where the index is a number."""
    x, result, index = node.inputs[0], node.outputs[0], constant(node.inputs[1])
    axis = _axis(node, x) if x.dtype == np.float32 else None  # shape arithmetic is no layer
    shape = static_shape(result)
    if axis is None or constant(x) is not None or index is None or index.size != 1 or index.ndim > 1 or shape is None:
        return None
    position = int(index.reshape(-1)[0]) % int(x.shape[axis])
    part = (position, position + 1)
    if index.ndim == 1 or shape.count(None) > 1:
        return [slice_node(node.name, x, part, axis, result, taken)] if index.ndim == 1 else None
    kept = gs.Variable(claim(f"{result.name}/kept", taken), x.dtype, [*x.shape[:axis], 1, *x.shape[axis + 1 :]])
    node.inputs.clear()
    node.outputs.clear()
    sizes = [-1 if size is None else size for size in shape]
    target = gs.Constant(claim(f"{result.name}/shape", taken), np.array(sizes, np.int64))
    squeeze = gs.Node("Reshape", claim(f"{node.name}.squeeze", taken), {}, [kept, target], [result])
    return [slice_node(node.name, x, part, axis, kept, taken), squeeze]


def slice_node(name: str, x: gs.Tensor, part: Sequence[int], axis: int, result: gs.Tensor, taken: set[str]) -> gs.Node:
    """Return a Slice of the positions from part[0] to before part[1]."""
    values = {"starts": [part[0]], "ends": [part[1]], "axes": [axis], "steps": [1]}
    return gs.Node("Slice", name, {}, [x, *_constants(name, values, taken)], [result])


def _constants(name: str, values: dict[str, list[int]], taken: set[str]) -> list[gs.Constant]:
    return [gs.Constant(claim(f"{name}.{key}", taken), np.array(v, np.int64)) for key, v in values.items()]


def _axis(node: gs.Node, x: gs.Tensor) -> int | None:
    """Return the axis that a node works along, None where its size is dynamic or unknown."""
    shape = static_shape(x)
    if shape is None:
        return None
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    return None if shape[axis] is None else axis


def _write_out(node: gs.Node, taken: set[str]) -> bool:
    shape, before = static_shape(node.inputs[0]), node.inputs[1:]
    given = [None if tensor.is_empty() else constant(tensor) for tensor in before]
    if shape is None or any(value is None and not t.is_empty() for value, t in zip(given, before, strict=True)):
        return False
    starts, ends, axes, steps = (*given, None, None)[:4]
    if starts is None or ends is None:
        return False
    chosen = [int(axis) % len(shape) for axis in (range(len(starts)) if axes is None else axes.tolist())]
    stride = [1] * len(chosen) if steps is None else [int(step) for step in steps]
    sizes = [shape[axis] for axis in chosen]
    if None in sizes or min(stride) < 1:
        return False
    first, last = ([_from_front(v, n) for v, n in zip(part.tolist(), sizes, strict=True)] for part in (starts, ends))
    values = {"starts": first, "ends": last, "axes": chosen, "steps": stride}
    if [None if v is None else v.tolist() for v in given] == list(values.values()):
        return False
    keep_inputs(node, 1)
    node.inputs += _constants(node.name, values, taken)
    return True


def _from_front(position: int, size: int | None) -> int:
    assert size is not None
    return min(max(position + size if position < 0 else position, 0), size)
