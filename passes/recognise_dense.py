"""A MatMul with a constant matrix becomes a dense layer."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, claim, constant, edited, kind, static_shape


def recognise_dense(graph: Graph) -> Graph:
    """Spell dense layers as Gemm.

    Needs inferred shapes.  Gives: MatMul by a constant matrix as Gemm, between two Reshapes
    (`NAME.flatten`, `NAME.unflatten`) where the input is no matrix; alpha and beta of Gemm multiplied
    into its constants, and its bias as one value per output.
    Keeps: the weight as it is stored (no transposed copy).
    Declines: two computed operands, a constant on the left, a constant of more axes than a matrix, an
    input with more than one dynamic axis; a Gemm with transA, or with a bias per row.
    """
    return edited(graph, _recognise)


def products_left(graph: Graph) -> list[Problem]:
    """Return the MatMuls and Gemms that are no dense layer, each with the reason."""
    reasons = {"MatMul": _declined, "Gemm": _declined_gemm}
    return [
        Problem(node.name, node.op, reason)
        for node in graph.nodes
        if kind(node) in reasons and (reason := reasons[kind(node)](node))
    ]


def _recognise(graph: Graph) -> bool:
    taken = graph.names()
    changed = False
    nodes: list[gs.Node] = []
    for node in graph.nodes:
        dense = kind(node) == "MatMul" and not _declined(node)
        nodes += _as_gemm(node, taken) if dense else [node]
        changed |= dense
    if changed:
        graph.body.nodes = nodes
    for node in nodes:
        if kind(node) == "Gemm" and constant(node.inputs[1]) is not None:
            changed |= _unscale(node, taken)
    return changed


def _declined(node: gs.Node) -> str:
    if constant(node.inputs[0]) is not None:
        return "the constant is on the left"
    weight = constant(node.inputs[1])
    if weight is None:
        return "both operands depend on the input"
    shape = static_shape(node.inputs[0])
    if weight.ndim != 2 or weight.dtype.kind != "f" or shape is None or len(shape) < 2:
        return "its weight is no matrix, or its input's rank is unknown"
    if len(shape) > 2 and shape[:-1].count(None) > 1:
        return "its input has more than one dynamic axis"
    return ""


def _declined_gemm(node: gs.Node) -> str:
    if constant(node.inputs[1]) is None:
        return "both operands depend on the input"
    if node.attrs.get("transA", 0):
        return "its input is transposed"
    bias = node.inputs[2] if len(node.inputs) > 2 and not node.inputs[2].is_empty() else None
    if bias is not None and (constant(bias) is None or bias.values.ndim != 1):
        return "its bias is not one constant per output"
    return ""


def _as_gemm(node: gs.Node, taken: set[str]) -> list[gs.Node]:
    attrs = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    x, weight, result = node.inputs[0], node.inputs[1], node.outputs[0]
    if len(x.shape) == 2:
        node.op, node.attrs = "Gemm", attrs
        return [node]
    rows = _product(x.shape[:-1])
    flat = gs.Variable(claim(f"{node.name}.flat", taken), x.dtype, [rows, weight.shape[0]])
    product = gs.Variable(claim(f"{node.name}.product", taken), x.dtype, [rows, weight.shape[1]])
    node.inputs.clear()
    node.outputs.clear()
    return [
        _reshape(claim(f"{node.name}.flatten", taken), x, flat, flat.shape),
        gs.Node("Gemm", node.name, attrs, [flat, weight], [product]),
        _reshape(claim(f"{node.name}.unflatten", taken), product, result, [*x.shape[:-1], weight.shape[1]]),
    ]


def _reshape(name: str, source: gs.Variable, result: gs.Variable, shape: list[int | str | None]) -> gs.Node:
    target = [size if isinstance(size, int) else -1 for size in shape]
    result.shape = result.shape or shape
    return gs.Node("Reshape", name, {}, [source, gs.Constant(f"{name}/shape", np.array(target, np.int64))], [result])


def _product(sizes: list[int | str | None]) -> int | str | None:
    """Return the size of several axes as one; a product of names where one of them is dynamic."""
    if all(isinstance(size, int) for size in sizes):
        return int(np.prod([size for size in sizes if isinstance(size, int)]))
    return "*".join(map(str, sizes)) if all(sizes) else None


def _unscale(node: gs.Node, taken: set[str]) -> bool:
    """Multiply alpha and beta into the constants, and spell the bias as one value per output."""
    changed = False
    for index, key in ((1, "alpha"), (2, "beta")):
        scale = node.attrs.get(key, 1.0)
        old = node.inputs[index] if len(node.inputs) > index and not node.inputs[index].is_empty() else None
        if old is not None and constant(old) is None:
            continue
        if old is not None:
            new = (old.values * np.float64(scale)).astype(old.values.dtype) if scale != 1.0 else old.values
            new = new if index == 1 else _per_output(node, new)
            if new is not old.values:
                name = old.name if len(old.outputs) == 1 else claim(f"{old.name}.scaled", taken)
                node.inputs[index] = gs.Constant(name, new)
                changed = True
        if scale != 1.0:
            node.attrs[key] = 1.0
            changed = True
    return changed


def _per_output(node: gs.Node, bias: np.ndarray) -> np.ndarray:
    outputs = node.inputs[1].values.shape[0 if node.attrs.get("transB", 0) else 1]
    if bias.ndim == 1 and bias.size == outputs:
        return bias
    if bias.size == 1 or bias.shape == (1, outputs):
        return np.array(np.broadcast_to(bias.reshape(-1), (outputs,)))
    return bias
