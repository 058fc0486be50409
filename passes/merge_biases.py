"""A constant that is added behind a linear layer becomes its bias."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, constant, edited, keep_inputs, kind, producer, redirect


def merge_biases(graph: Graph) -> Graph:
    """Merge the Add of a constant per output channel into the linear layer before it.

    Needs inferred shapes and recognised dense layers.  Gives: the Conv, ConvTranspose or Gemm under its
    own name, with the constant in its bias; the Reshape behind a Gemm of higher rank is looked through.
    Declines: a constant that differs from position to position, a result that others read too, a
    computed bias.
    """
    return edited(graph, _merge)


def _merge(graph: Graph) -> bool:
    taken = graph.names()
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for node in graph.nodes:
        if kind(node) == "Add":
            changed |= _take_up_bias(graph, node, outputs, taken)
    return changed


def _take_up_bias(graph: Graph, add: gs.Node, outputs: set[int], taken: set[str]) -> bool:
    for source, shift in (add.inputs, add.inputs[::-1]):
        layer = _linear_before(source, outputs)
        if layer is None or constant(shift) is None:
            continue
        bias = _per_channel(layer, source, shift.values)
        if bias is None or not _add_bias(layer, bias, shift, taken):
            continue
        result = add.outputs[0]
        redirect(graph, result, source)
        if id(result) in outputs:
            outputs.add(id(source))
        return True
    return False


def _linear_before(source: gs.Tensor, outputs: set[int]) -> gs.Node | None:
    """Return the layer that computes a tensor for one reader, through a Reshape that keeps a Gemm's last axis."""
    layer = producer(source)
    if layer is None or len(source.outputs) != 1 or id(source) in outputs:
        return None
    if kind(layer) != "Reshape":
        return layer if kind(layer) in ("Gemm", "Conv", "ConvTranspose") else None
    product = layer.inputs[0]
    inner = producer(product)
    if kind(inner) != "Gemm" or len(product.outputs) != 1 or id(product) in outputs or not source.shape:
        return None
    return inner if source.shape[-1] == product.shape[-1] else None


def _per_channel(layer: gs.Node, source: gs.Variable, shift: np.ndarray) -> np.ndarray | None:
    """Return the constant as one value per output channel, None if it is not of that form."""
    if source.shape is None or shift.ndim > len(source.shape):
        return None
    axis = len(source.shape) - 1 if layer.op == "Gemm" else 1
    channels = source.shape[axis]
    shape = [1] * (len(source.shape) - shift.ndim) + list(shift.shape)
    wanted = [channels if i == axis else 1 for i in range(len(source.shape))]
    if not isinstance(channels, int) or (shape != wanted and shift.size != 1):
        return None
    return np.array(np.broadcast_to(shift.reshape(-1), (channels,)))


def _add_bias(layer: gs.Node, bias: np.ndarray, shift: gs.Constant, taken: set[str]) -> bool:
    name = shift.name if len(shift.outputs) == 1 else claim(f"{layer.name}.bias", taken)
    if len(layer.inputs) > 2 and not layer.inputs[2].is_empty():
        old = layer.inputs[2]
        if constant(old) is None or old.values.shape != bias.shape or layer.attrs.get("beta", 1.0) != 1.0:
            return False
        bias = (old.values.astype(np.float64) + bias).astype(old.values.dtype)
        name = old.name if len(old.outputs) == 1 else claim(f"{layer.name}.bias", taken)
    keep_inputs(layer, 2)
    layer.inputs.append(gs.Constant(name, bias))
    return True
