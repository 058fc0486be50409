"""Nodes that change nothing are taken out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from passes.graph import Graph, constant, edited, kind, producer, redirect, same_shape


def drop_noops(graph: Graph) -> Graph:
    """Take out nodes that change nothing.

    Needs inferred shapes.
    Drops: Identity, Dropout outside training, Cast to the type it has, Reshape, Flatten, Expand,
    Transpose, Pad, Slice and Resize that keep every value in place, max pools with a window of
    one, Concat and Sum of one tensor, ReduceSum of one position, Mul and Div by 1, Add and Sub of 0.
    Keeps: an Identity that carries one branch of a fan-out into a sum; an average pool, even with a
    window of one, because it is a layer that takes a rule; a node between the model's
    input and its output; every name of an output.
    """
    return edited(graph, _drop)


def _drop(graph: Graph) -> bool:
    changed = False
    outputs = {id(output) for output in graph.outputs}
    for node in graph.nodes:
        source = _unchanged_input(node)
        if source is None or any(id(extra) in outputs for extra in node.outputs[1:]):
            continue
        result = node.outputs[0]
        if id(result) in outputs and (producer(source) is None or id(source) in outputs):
            continue
        redirect(graph, result, source)
        if id(result) in outputs:
            outputs.add(id(source))
        changed = True
    return changed


def _unchanged_input(node: gs.Node) -> gs.Variable | None:
    """Return the input that a node hands on as it is, None if it does something."""
    test = _TESTS.get(kind(node))
    if test is None or any(extra.outputs for extra in node.outputs[1:]):
        return None
    sides = (0, 1) if node.op in _EITHER and len(node.inputs) == 2 else (0,)
    for index in sides[: len(node.inputs)]:
        source = node.inputs[index]
        if isinstance(source, gs.Variable) and not source.is_empty() and test(node, index):
            return source
    return None


def _identity(node: gs.Node, index: int) -> bool:
    """Whether an Identity is more than one branch of a fan-out into a sum."""
    readers = node.outputs[0].outputs
    if len(node.inputs[0].outputs) < 2 or len(readers) != 1:
        return True
    computed = all(constant(tensor) is None for tensor in readers[0].inputs)
    return not (kind(readers[0]) == "Sum" or (kind(readers[0]) == "Add" and computed))


def _dropout(node: gs.Node, index: int) -> bool:
    if len(node.inputs) < 3 or node.inputs[2].is_empty():
        return True
    training = constant(node.inputs[2])
    return training is not None and not np.any(training)


def _cast(node: gs.Node, index: int) -> bool:
    return bool(node.inputs[0].dtype == onnx.helper.tensor_dtype_to_np_dtype(node.attrs["to"]))


def _same(node: gs.Node, index: int) -> bool:
    return same_shape(node.inputs[index], node.outputs[0])


def _reshape(node: gs.Node, index: int) -> bool:
    """Whether a Reshape keeps the shape: one axis of unknown size must stay where all others do."""
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if before is None or after is None or len(before) != len(after) or 0 in before:
        return False
    unsure = [b for a, b in zip(before, after, strict=True) if a != b or a in (None, "")]
    return len(unsure) <= 1 and not any(isinstance(size, int) for size in unsure)


def _transpose(node: gs.Node, index: int) -> bool:
    perm = node.attrs.get("perm")
    return perm is not None and list(perm) == sorted(perm)


def _pad(node: gs.Node, index: int) -> bool:
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return pads is not None and not pads.any()


def _slice(node: gs.Node, index: int) -> bool:
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 and not node.inputs[4].is_empty() else np.ones(1)
    return steps is not None and bool((steps == 1).all()) and _same(node, index)


def _resize(node: gs.Node, index: int) -> bool:
    if node.attrs.get("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 and not node.inputs[2].is_empty() else np.ones(0)
    return scales is not None and (bool((scales == 1).all()) if scales.size else _same(node, index))


def _window_of_one(node: gs.Node, index: int) -> bool:
    single = set(node.attrs["kernel_shape"]) == {1} and set(node.attrs.get("strides", [1])) == {1}
    return single and not any(node.attrs.get("pads", []))


def _alone(node: gs.Node, index: int) -> bool:
    return len(node.inputs) == 1


def _neutral(value: float, sides: tuple[int, ...]) -> Callable[[gs.Node, int], bool]:
    def test(node: gs.Node, index: int) -> bool:
        other = constant(node.inputs[1 - index])
        return index in sides and other is not None and bool((other == value).all()) and _same(node, index)

    return test


_EITHER = {"Add", "Mul"}
_TESTS: dict[str, Callable[[gs.Node, int], bool]] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Cast": _cast,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Expand": _same,
    "Transpose": _transpose,
    "Pad": _pad,
    "Slice": _slice,
    "Resize": _resize,
    "MaxPool": _window_of_one,
    "Concat": _alone,
    "Sum": _alone,
    "ReduceSum": _same,
    "Mul": _neutral(1.0, (0, 1)),
    "Div": _neutral(1.0, (0,)),
    "Add": _neutral(0.0, (0, 1)),
    "Sub": _neutral(0.0, (0,)),
}
