"""Everything that makes a loaded model unusable, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant

_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
_SMALL_INTEGERS = (np.int8, np.uint8)

_CONTROL_FLOW_HINT = "Export a model without loops and conditions."
_DOMAIN_HINT = "Export the model with standard operators only."
_QUANTISED_HINT = "Compile the float32 model that it was made from."
_WEIGHT_HINT = "Train or export the model again."
_TRAINING_HINT = "Call model.eval() before you export it."


def problems(graph: Graph) -> list[Problem]:
    """Return what is wrong with a loaded graph whatever the rules: at most one problem a layer.

    Control flow, ops outside the standard, quantised ops and weights, weights that are NaN or infinite,
    BatchNormalization and Dropout in training mode, and types other than float32.
    """
    found = []
    for node in graph.nodes:
        problem = next(_node_problems(node), None)
        if problem is not None:
            found.append(problem)
    return [*found, *_type_problems(graph)]


def _node_problems(node: gs.Node) -> Iterator[Problem]:
    def problem(reason: str, hint: str) -> Problem:
        return Problem(node.name, node.op, reason, hint)

    if node.op in _CONTROL_FLOW or any(isinstance(value, gs.Graph) for value in node.attrs.values()):
        yield problem("control flow: its branches depend on the data", _CONTROL_FLOW_HINT)
    if node.domain not in (None, "", "ai.onnx"):
        yield problem(f"an op of {node.domain}, not of standard ONNX", _DOMAIN_HINT)
    if "Quantize" in node.op or node.op.startswith("QLinear") or node.op.endswith("Integer"):
        yield problem("quantised arithmetic", _QUANTISED_HINT)
    if node.op == "BatchNormalization" and node.attrs.get("training_mode", 0):
        yield problem("in training mode: it normalises by the batch", _TRAINING_HINT)
    if node.op == "Dropout" and len(node.inputs) > 2 and np.any(constant(node.inputs[2])):
        yield problem("in training mode: it drops values at random", _TRAINING_HINT)
    for tensor in node.inputs:
        yield from (problem(reason, hint) for reason, hint in _weight_problems(constant(tensor), tensor.name))


def _weight_problems(values: np.ndarray | None, name: str) -> Iterator[tuple[str, str]]:
    if values is None:
        return
    if values.dtype in _SMALL_INTEGERS and values.ndim > 0 and values.size > 1:
        yield f"its weight {name} is quantised to {values.dtype}", _QUANTISED_HINT
    elif values.dtype.kind == "f" and not np.isfinite(values).all() and values.size > 1:
        count = int(values.size - np.isfinite(values).sum())
        yield (
            f"{count} of {values.size} values of its weight {name} are NaN or infinite",
            _WEIGHT_HINT,
        )
    elif values.dtype.kind == "f" and values.dtype != np.float32 and values.size > 1:
        yield f"its weight {name} is {values.dtype}, lrpc compiles float32", "Export the model in float32."


def _type_problems(graph: Graph) -> Iterator[Problem]:
    for tensor in graph.inputs:
        if tensor.dtype is not None and np.dtype(tensor.dtype) != np.float32:
            reason = f"the input is {np.dtype(tensor.dtype)}, relevance needs a float32 input"
            yield Problem(tensor.name, "input", reason, "Export the model with a float32 input.")
