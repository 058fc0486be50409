"""Everything that makes a loaded model unusable, all of it at once."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, held, kind, static_shape, stray_bias, subgraph_nodes, values_of
from passes.numbers import short, short_list

_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "PRelu"}
_SMALL_INTEGERS = {"int8", "uint8", "int4", "uint4"}
_OTHER_FLOATS = {"float16", "bfloat16", "float64"}

_CONTROL_FLOW_HINT = "Export a model without loops and conditions."
_DOMAIN_HINT = "Export the model with standard operators only."
_QUANTISED_HINT = "Compile the float32 model that it was made from."
_WEIGHT_HINT = "Train or export the model again."
_TRAINING_HINT = "Call model.eval() before you export it."
_RANGE_HINT = "The file is damaged; export or download it again."
_MOST_VALUES, _LARGEST_WINDOW = 1 << 31, 1 << 22
_FLOAT_HINT = "Export the model in float32."


def problems(graph: Graph) -> list[Problem]:
    """Return what is wrong with a loaded graph whatever the rules: at most one problem a layer.

    Control flow, ops outside the standard, quantised ops and weights, weights that are NaN or infinite,
    BatchNormalization and Dropout in training mode, types other than float32, sizes
    and windows beyond what can be computed, an output that does not depend on the input.
    """
    first = (next(_node_problems(node), None) for node in graph.nodes)
    found = [problem for problem in first if problem is not None]
    return [*found, *_input_problems(graph), *_output_problems(graph)]


def _node_problems(node: gs.Node) -> Iterator[Problem]:
    def problem(reason: str, hint: str) -> Problem:
        return Problem(node.name, node.op, reason, hint)

    if kind(node) != node.op:
        yield problem(f"an op of {node.domain}, not of standard ONNX", _DOMAIN_HINT)
    if node.op in _CONTROL_FLOW or any(True for _ in subgraph_nodes(node)):
        yield problem("control flow: its branches depend on the data", _CONTROL_FLOW_HINT)
    if "quantize" in node.op.lower() or node.op.startswith("QLinear") or node.op.endswith("Integer"):
        yield problem("quantised arithmetic", _QUANTISED_HINT)
    if node.op == "BatchNormalization" and node.attrs.get("training_mode", 0):
        yield problem("in training mode: it normalises by the batch", _TRAINING_HINT)
    if node.op == "Dropout" and len(node.inputs) > 2 and np.any(held(node.inputs[2])):
        yield problem("in training mode: it drops values at random", _TRAINING_HINT)
    if reason := _out_of_range(node) or _wrong_channels(node):
        yield problem(reason, _RANGE_HINT)
    if node.op in ("Conv", "ConvTranspose") and stray_bias(node) and values_of(node.inputs[2]).any():
        yield problem(f"its bias has the shape {node.inputs[2].shape}, not one value per output", _RANGE_HINT)
    for tensor in node.inputs:
        yield from (problem(reason, hint) for reason, hint in _weight_problems(node, tensor))


def _out_of_range(node: gs.Node) -> str:
    """Return what of a node is too large to be meant, or to be computed in the time that there is, "" if nothing is."""
    for name in ("transA", "transB") if node.op == "Gemm" else ("count_include_pad", "ceil_mode"):
        if node.attrs.get(name, 0) not in (0, 1):
            return f"its {name} is {short(node.attrs[name])}, neither 0 nor 1"
    largest = max((_values_a_sample(output) for output in node.outputs), default=0)
    if largest > _MOST_VALUES:
        return f"its output has {short(largest)} values a sample, more than any machine holds"
    kernel = [int(size) for size in node.attrs.get("kernel_shape", ())]
    if "Pool" in node.op and math.prod(kernel) > _LARGEST_WINDOW:
        return f"its window {short_list(kernel)} has more than {_LARGEST_WINDOW} positions"
    return ""


def _wrong_channels(node: gs.Node) -> str:
    """Return a complaint where a convolution's weight is of other channels than its input; inference does not look."""
    if node.op not in ("Conv", "ConvTranspose") or len(node.inputs) < 2:
        return ""
    shape, weight = static_shape(node.inputs[0]) or (), static_shape(node.inputs[1]) or ()
    channels = shape[1] if len(shape) > 1 else None
    taken = weight[int(node.op == "Conv")] if len(weight) > 1 else None
    if channels is None or taken is None:
        return ""
    taken *= int(node.attrs.get("group", 1)) if node.op == "Conv" else 1
    return f"its weight takes {taken} channels, its input has {channels}" if taken != channels else ""


def _values_a_sample(tensor: gs.Tensor) -> int:
    return math.prod(size for size in (static_shape(tensor) or ())[1:] if size is not None)


def _weight_problems(node: gs.Node, tensor: gs.Tensor) -> Iterator[tuple[str, str]]:
    values = held(tensor)
    if values is None or not isinstance(values, np.ndarray):
        return
    name, dtype = tensor.name, str(values.dtype)
    if dtype in _SMALL_INTEGERS and values.size > 1:
        yield f"its weight {name} is quantised to {dtype}", _QUANTISED_HINT
    if dtype not in _OTHER_FLOATS and dtype != "float32":
        if node.op in _WEIGHTED and values.size > 1 and dtype not in _SMALL_INTEGERS:
            yield f"its weight {name} is {dtype}, lrpc compiles float32", _FLOAT_HINT
        return
    # An infinity may be meant where nothing is multiplied: a mask, a bound, a padding.
    bad = ~np.isfinite(values) if node.op in _WEIGHTED else np.isnan(values)
    if bad.any():
        what = "are NaN or infinite" if node.op in _WEIGHTED else "are NaN"
        yield f"{int(bad.sum())} of {values.size} values of its weight {name} {what}", _WEIGHT_HINT
    if dtype in _OTHER_FLOATS and values.size > 1:
        yield f"its weight {name} is {dtype}, lrpc compiles float32", _FLOAT_HINT


def _input_problems(graph: Graph) -> Iterator[Problem]:
    for tensor in graph.inputs:
        if (size := _values_a_sample(tensor)) > _MOST_VALUES:
            yield Problem(
                tensor.name, "input", f"it has {short(size)} values a sample, more than any machine holds", _RANGE_HINT
            )
        # What relevance flows through is float32; an input beside it may be what an op makes such values of.
        if tensor is graph.inputs[0] and tensor.dtype is not None and tensor.dtype != np.float32:
            dtype = tensor.dtype
            name = onnx.TensorProto.DataType.Name(dtype).lower() if isinstance(dtype, int) else str(dtype)
            reason = f"the input is {name}, relevance needs a float32 input"
            yield Problem(tensor.name, "input", reason, "Export the model with a float32 input.")


def _output_problems(graph: Graph) -> Iterator[Problem]:
    dependent = {id(tensor) for tensor in graph.inputs}
    for node in graph.nodes:
        inner = (tensor for body in subgraph_nodes(node) for tensor in body.inputs)
        if any(id(tensor) in dependent for tensor in (*node.inputs, *inner)):
            dependent.update(id(tensor) for tensor in node.outputs)
    for tensor in graph.outputs:
        if id(tensor) not in dependent:
            hint = "Choose an output that is computed from the input."
            yield Problem(tensor.name, "output", "it does not depend on the input, so nothing explains it", hint)
