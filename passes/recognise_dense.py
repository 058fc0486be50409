"""MatMul with a constant matrix, and the Add behind it, become one dense layer."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, edited, keep_inputs, redirect, static_shape, unique


def recognise_dense(graph: Graph) -> Graph:
    """Spell dense layers as Gemm, with their bias inside.

    Needs inferred shapes.  Gives: MatMul by a constant matrix as Gemm, between two Reshapes
    (`NAME.flatten`, `NAME.unflatten`) where the input is no matrix; an Add of a constant per output
    channel taken up as the bias of the Gemm, Conv or ConvTranspose before it; alpha and beta of Gemm
    multiplied into its constants.  Keeps: the weight as it is stored.
    Declines: a constant on the left, and an input with more than one dynamic axis.
    """
    return edited(graph, _recognise)


def products_left(graph: Graph) -> list[Problem]:
    """Return the MatMuls that are no dense layer, with the reason."""
    return [Problem(n.name, n.op, reason) for n in graph.nodes if n.op == "MatMul" and (reason := _declined(n))]


def _recognise(graph: Graph) -> bool:
    taken = graph.tensor_names() | {node.name for node in graph.nodes}
    changed = False
    for position in reversed(range(len(graph.nodes))):
        node = graph.nodes[position]
        if node.op == "MatMul" and not _declined(node):
            graph.body.nodes[position : position + 1] = _as_gemm(graph, node, taken)
            changed = True
    for node in graph.nodes:
        changed |= node.op == "Gemm" and _unscale(node, taken)
    for node in graph.nodes:
        changed |= node.op == "Add" and _take_up_bias(graph, node, taken)
    return changed


def _declined(node: gs.Node) -> str:
    if constant(node.inputs[0]) is not None:
        return "the constant is on the left"
    weight = constant(node.inputs[1])
    if weight is None:
        return "both operands depend on the input"
    shape = static_shape(node.inputs[0])
    if weight.ndim != 2 or shape is None or len(shape) < 2:
        return "its weight is no matrix, or its input's rank is unknown"
    if shape.count(None) > 1:
        return "its input has more than one dynamic axis"
    return ""


def _as_gemm(graph: Graph, node: gs.Node, taken: set[str]) -> list[gs.Node]:
    attrs = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    x, weight, result = node.inputs[0], node.inputs[1], node.outputs[0]
    if len(x.shape) == 2:
        node.op, node.attrs = "Gemm", attrs
        return [node]
    rows = _product(x.shape[:-1])
    flat = gs.Variable(_claim(f"{node.name}.flat", taken), np.float32, [rows, x.shape[-1]])
    product = gs.Variable(_claim(f"{node.name}.product", taken), np.float32, [rows, weight.shape[1]])
    node.inputs.clear()
    node.outputs.clear()
    return [
        _reshape(_claim(f"{node.name}.flatten", taken), x, flat),
        gs.Node("Gemm", node.name, attrs, [flat, weight], [product]),
        _reshape(_claim(f"{node.name}.unflatten", taken), product, result),
    ]


def _reshape(name: str, source: gs.Variable, result: gs.Variable) -> gs.Node:
    target = [size if isinstance(size, int) else -1 for size in result.shape]
    shape = gs.Constant(f"{name}/shape", np.array(target, np.int64))
    return gs.Node("Reshape", name, {}, [source, shape], [result])


def _product(sizes: list[int | str]) -> int | str:
    if all(isinstance(size, int) for size in sizes):
        return int(np.prod([int(size) for size in sizes]))
    return "*".join(str(size) for size in sizes)


def _unscale(node: gs.Node, taken: set[str]) -> bool:
    changed = False
    for index, key in ((1, "alpha"), (2, "beta")):
        scale = node.attrs.get(key, 1.0)
        if scale == 1.0:
            continue
        present = len(node.inputs) > index and not node.inputs[index].is_empty()
        value = constant(node.inputs[index]) if present else None
        if present and value is None:
            continue
        if value is not None:
            scaled = (value * np.float64(scale)).astype(value.dtype)
            node.inputs[index] = gs.Constant(_claim(f"{node.inputs[index].name}.scaled", taken), scaled)
        node.attrs[key] = 1.0
        changed = True
    return changed


def _take_up_bias(graph: Graph, add: gs.Node, taken: set[str]) -> bool:
    """Merge `linear(x) + constant` into the linear layer, if nothing else reads its result."""
    for index in (0, 1):
        source, shift = add.inputs[index], constant(add.inputs[1 - index])
        layer = source.inputs[0] if isinstance(source, gs.Variable) and source.inputs else None
        if shift is None or layer is None or len(source.outputs) != 1:
            continue
        if any(source is output for output in graph.outputs):
            continue
        inner = layer.inputs[0].inputs[0] if layer.op == "Reshape" and layer.inputs[0].inputs else layer
        if inner is not layer and not (layer.name.startswith(f"{inner.name}.unflatten")):
            continue
        bias = _per_channel(inner, source, shift)
        if bias is None or not _add_bias(inner, bias, taken):
            continue
        redirect(graph, add.outputs[0], source)
        return True
    return False


def _per_channel(layer: gs.Node, source: gs.Variable, shift: np.ndarray) -> np.ndarray | None:
    """Return the constant as one value per output channel, None if it is not of that form."""
    if layer.op not in ("Gemm", "Conv", "ConvTranspose") or source.shape is None:
        return None
    axis = len(source.shape) - 1 if layer.op == "Gemm" else 1
    channels = source.shape[axis]
    shape = [1] * (len(source.shape) - shift.ndim) + list(shift.shape)
    wanted = [channels if i == axis else 1 for i in range(len(source.shape))]
    if not isinstance(channels, int) or len(shape) != len(wanted):
        return None
    if shape == wanted or shift.size == 1:
        return np.broadcast_to(shift.reshape(-1), (channels,)).astype(np.float32)
    return None


def _add_bias(layer: gs.Node, bias: np.ndarray, taken: set[str]) -> bool:
    if len(layer.inputs) > 2 and not layer.inputs[2].is_empty():
        old = constant(layer.inputs[2])
        if old is None or (old.ndim > 1 and old.size != bias.size):
            return False
        bias = (old.reshape(-1).astype(np.float64) + bias).astype(np.float32)
        keep_inputs(layer, 2)
    layer.inputs.append(gs.Constant(_claim(f"{layer.name}.bias", taken), bias))
    return True


def _claim(name: str, taken: set[str]) -> str:
    name = unique(name, taken)
    taken.add(name)
    return name
