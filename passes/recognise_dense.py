"""A MatMul with a constant matrix becomes a dense layer."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, Shape, constant, kind, operand, read_only, shape_of, static_shape, values_of
from passes.graph.edit import Declined, Edit, Step


def recognise_dense(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell dense layers as Gemm.

    Gives: MatMul by a constant matrix as Gemm, between two Reshapes
    (`NAME.flatten`, `NAME.unflatten`) where the input is no matrix; alpha and beta of Gemm multiplied
    into its constants, and its bias as one value per output.
    Keeps: the weight as it is stored (no transposed copy).
    Declines: two computed operands, a constant on the left, a constant of more axes than a matrix, an
    input with more than one dynamic axis; a Gemm with transA, or with a bias per row.
    """
    edit = Edit(graph, declined)
    edit.each(_find_product, Edit.replace)
    edit.each(_find_constants, _write_constants)
    return edit.result()


Constants = dict[int, np.ndarray]
"""New values of a Gemm's weight and bias, by input."""


def _find_product(edit: Edit, node: gs.Node) -> list[Step] | Declined | None:
    if kind(node) != "MatMul":
        return None
    reason = _matmul_problem(node)
    return Declined(reason) if reason else _gemm(node)


def _find_constants(edit: Edit, node: gs.Node) -> Constants | Declined | None:
    """Return what a Gemm has instead of its own constants, with scales of 1; nothing of them may change."""
    if kind(node) != "Gemm":
        return None
    if constant(node.inputs[1]) is not None:
        new, scaled = _constants(node), any(node.attrs.get(key, 1.0) != 1.0 for key, _ in _scales(node))
        if new or scaled:
            return new
    reason = _gemm_problem(node)
    return Declined(reason) if reason else None


def _matmul_problem(node: gs.Node) -> str:
    if constant(node.inputs[0]) is not None:
        return "the constant is on the left"
    weight = constant(node.inputs[1])
    if weight is None:
        return "both operands depend on the input"
    shape = static_shape(node.inputs[0])
    if weight.dtype.kind != "f":
        return "it multiplies whole numbers"
    if weight.ndim != 2 or shape is None or len(shape) < 2:
        return "its weight is no matrix, or its input's rank is unknown"
    if len(shape) > 2 and shape[:-1].count(None) > 1:
        return "its input has more than one dynamic axis"
    return ""


def _gemm_problem(node: gs.Node) -> str:
    if constant(node.inputs[1]) is None:
        return "both operands depend on the input"
    if node.attrs.get("transA", 0):
        return "its input is transposed"
    bias = operand(node, 2)
    values = None if bias is None else constant(bias)
    return (
        "its bias is not one constant per output" if bias is not None and (values is None or values.ndim != 1) else ""
    )


def _gemm(node: gs.Node) -> list[Step]:
    attrs = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    weight = node.inputs[1]
    shape, outputs = shape_of(node.inputs[0]), values_of(weight).shape[1]
    if len(shape) == 2:
        return [Step("Gemm", node.name, attrs, {weight.name: weight})]
    rows = _product(shape[:-1])
    return [
        _reshape(f"{node.name}.flatten", f"{node.name}.flat", [rows, shape_of(weight)[0]]),
        Step("Gemm", node.name, attrs, {weight.name: weight}, f"{node.name}.product", [rows, outputs]),
        _reshape(f"{node.name}.unflatten", "", [*shape[:-1], outputs]),
    ]


def _reshape(name: str, result: str, shape: Shape) -> Step:
    target = [size if isinstance(size, int) else -1 for size in shape]
    return Step("Reshape", name, {}, {f"{name}/shape": np.array(target, np.int64)}, result, shape)


def _product(sizes: Shape) -> int | str | None:
    """Return the size of several axes as one; a product of names where one of them is dynamic."""
    if all(isinstance(size, int) for size in sizes):
        return int(np.prod([size for size in sizes if isinstance(size, int)]))
    return "*".join(map(str, sizes)) if all(sizes) else None


def _scales(node: gs.Node) -> list[tuple[str, int]]:
    """Return the scales of a Gemm that can become 1, with the operands that they scale."""
    operands = [(key, index, operand(node, index)) for key, index in (("alpha", 1), ("beta", 2))]
    return [(key, index) for key, index, held in operands if held is None or constant(held) is not None]


def _constants(node: gs.Node) -> Constants:
    """Return weight and bias with their scales multiplied in, one value per output in the bias, where that differs."""
    new: Constants = {}
    for key, index in _scales(node):
        old = operand(node, index)
        if old is None:
            continue
        scale, values = node.attrs.get(key, 1.0), values_of(old)
        scaled = (values * np.float64(scale)).astype(values.dtype) if scale != 1.0 else values
        spelled = scaled if index == 1 else _per_output(node, scaled)
        if spelled is not values:
            new[index] = spelled
    return new


def _per_output(node: gs.Node, bias: np.ndarray) -> np.ndarray:
    outputs = values_of(node.inputs[1]).shape[0 if node.attrs.get("transB", 0) else 1]
    if bias.ndim == 1 and bias.size == outputs:
        return bias
    if bias.size == 1 or bias.shape == (1, outputs):
        return np.array(np.broadcast_to(bias.reshape(-1), (outputs,)))
    return bias


def _write_constants(edit: Edit, node: gs.Node, new: Constants) -> None:
    for index, values in new.items():
        old = node.inputs[index]
        name = old.name if len(old.outputs) == 1 else edit.claim(f"{old.name}.scaled")
        node.inputs[index] = gs.Constant(name, read_only(values))
    node.attrs |= {key: 1.0 for key, _ in _scales(node) if key in node.attrs}
