"""Nodes that change nothing are taken out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from passes.graph import Graph, constant, edited, producer, redirect


def drop_noops(graph: Graph) -> Graph:
    """Take out nodes that change nothing.

    Drops: Identity, Dropout outside training, Cast to the type it has, Reshape, Flatten, Expand,
    Transpose, Pad, Concat and Slice that keep every value in place, Mul and Div by 1, Add and Sub of 0.
    Keeps: an Identity that carries one branch of a fan-out into a Sum; a node between the model's
    input and its output; every name of an output.
    """
    return edited(graph, _drop)


def _drop(graph: Graph) -> bool:
    changed = False
    outputs = {id(output) for output in graph.outputs}
    for node in graph.nodes:
        source = _unchanged_input(node)
        if source is None:
            continue
        result = node.outputs[0]
        if id(result) in outputs and (producer(source) is None or id(source) in outputs):
            continue
        redirect(graph, result, source)
        if id(result) in outputs:
            outputs.add(id(source))
        changed = True
    return changed


def _unchanged_input(node: gs.Node) -> gs.Tensor | None:
    test = _TESTS.get(node.op)
    if test is None or not node.inputs or (constant(node.inputs[0]) is not None and node.op not in _EITHER):
        return None
    for index in (0, 1) if node.op in _EITHER and len(node.inputs) == 2 else (0,):
        source = node.inputs[index]
        if isinstance(source, gs.Variable) and test(node, index):
            return source
    return None


def _same_shape(node: gs.Node, index: int = 0) -> bool:
    before, after = node.inputs[index].shape, node.outputs[0].shape
    return before is not None and after is not None and list(map(str, before)) == list(map(str, after))


def _is_branch(node: gs.Node) -> bool:
    """Whether an Identity carries one branch of a fan-out into a Sum."""
    fans_out = len(node.inputs[0].outputs) > 1
    return (
        fans_out
        and all(reader.op in ("Sum", "Add") for reader in node.outputs[0].outputs)
        and bool(node.outputs[0].outputs)
    )


def _identity(node: gs.Node, index: int) -> bool:
    return not _is_branch(node)


def _dropout(node: gs.Node, index: int) -> bool:
    training = constant(node.inputs[2]) if len(node.inputs) > 2 and not node.inputs[2].is_empty() else False
    mask_is_read = len(node.outputs) > 1 and bool(node.outputs[1].outputs)
    return training is not None and not np.any(training) and not mask_is_read


def _cast(node: gs.Node, index: int) -> bool:
    dtype = node.inputs[0].dtype
    return dtype is not None and onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) == node.attrs["to"]


def _transpose(node: gs.Node, index: int) -> bool:
    perm = node.attrs.get("perm")
    return perm is not None and list(perm) == sorted(perm)


def _pad(node: gs.Node, index: int) -> bool:
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return pads is not None and not pads.any()


def _slice(node: gs.Node, index: int) -> bool:
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 else np.ones(1)
    static = all(isinstance(size, int) for size in (node.inputs[0].shape or ["?"])[1:])
    return steps is not None and bool((steps == 1).all()) and static and _same_shape(node)


def _neutral(value: float, sides: tuple[int, ...]) -> Callable[[gs.Node, int], bool]:
    def test(node: gs.Node, index: int) -> bool:
        if index not in sides or len(node.inputs) != 2:
            return False
        other = constant(node.inputs[1 - index])
        return other is not None and bool((other == value).all()) and _same_shape(node, index)

    return test


_EITHER = {"Add", "Mul"}
_TESTS: dict[str, Callable[[gs.Node, int], bool]] = {
    "Identity": _identity,
    "Dropout": _dropout,
    "Cast": _cast,
    "Reshape": _same_shape,
    "Flatten": _same_shape,
    "Expand": _same_shape,
    "Transpose": _transpose,
    "Pad": _pad,
    "Slice": _slice,
    "Concat": lambda node, index: len(node.inputs) == 1,
    "Mul": _neutral(1.0, (0, 1)),
    "Div": _neutral(1.0, (0,)),
    "Add": _neutral(0.0, (0, 1)),
    "Sub": _neutral(0.0, (0,)),
}
