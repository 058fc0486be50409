"""Nodes that change nothing are taken out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, operand, producer, same_shape
from passes.graph.edit import Declined, Edit, rewrite


def drop_noops(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Take out nodes that change nothing.

    Drops: Identity, Dropout outside training, Cast to the type it has, Reshape, Flatten, Expand,
    Transpose, Pad, Slice and Resize that keep every value in place, max pools with a window of
    one, Concat and Sum of one tensor, ReduceSum of one position, Mul and Div by 1, Add and Sub of 0.
    Keeps: an Identity that carries one branch of a fan-out into a sum; an average pool, even with a
    window of one, because it is a layer that takes a rule; a node between the model's
    input and its output; every name of an output.
    """
    return rewrite(graph, _find_source, _drop, declined)


def _find_source(edit: Edit, node: gs.Node) -> gs.Variable | Declined | None:
    source = _same_input(node)
    if source is None:
        return None
    if any(edit.is_output(extra) for extra in node.outputs[1:]):
        return Declined("another of its results is an output of the model")
    if edit.is_output(node.outputs[0]) and producer(source) is None:
        return Declined("it is all that is between the model's input and its output")
    if edit.is_output(node.outputs[0]) and edit.is_output(source):
        return Declined("what it reads and what it gives are both outputs of the model")
    return source


def _drop(edit: Edit, node: gs.Node, source: gs.Variable) -> None:
    edit.redirect(node.outputs[0], source)


def _same_input(node: gs.Node) -> gs.Variable | None:
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
    training = operand(node, 2)
    values = None if training is None else constant(training)
    return training is None or (values is not None and not np.any(values))


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
    given = operand(node, 4)
    steps = np.ones(1) if given is None else constant(given)
    return steps is not None and bool((steps == 1).all()) and _same(node, index)


def _resize(node: gs.Node, index: int) -> bool:
    if node.attrs.get("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False
    given = operand(node, 2)
    scales = np.ones(0) if given is None else constant(given)
    return scales is not None and (bool((scales == 1).all()) if scales.size else _same(node, index))


def _window_of_one(node: gs.Node, index: int) -> bool:
    single = set(node.attrs["kernel_shape"]) == {1} and set(node.attrs.get("strides", [1])) == {1}
    return single and not any(node.attrs.get("pads", []))


def _single(node: gs.Node, index: int) -> bool:
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
    "Concat": _single,
    "Sum": _single,
    "ReduceSum": _same,
    "Mul": _neutral(1.0, (0, 1)),
    "Div": _neutral(1.0, (0,)),
    "Add": _neutral(0.0, (0, 1)),
    "Sub": _neutral(0.0, (0,)),
}
