"""Hold a finished graph against what its target can run."""

from __future__ import annotations

import onnx
import onnx.numpy_helper

from lrpc.emit.capabilities import FORMS, Use, lacks
from passes.errors import LrpcError, Problem


def unsupported(model: onnx.ModelProto, target: str) -> list[Problem]:
    """Return a problem for each node whose form the target lacks, the model's own nodes included."""
    missing = lacks(target)
    if not missing:
        return []
    found = []
    for node, use in zip(model.graph.node, uses(model), strict=True):
        found += [
            Problem(node.name, node.op_type, f"{target} has no {form} ({why})")
            for form, why in missing.items()
            if FORMS[form](use)
        ]
    return found


def check_supported(model: onnx.ModelProto, target: str) -> None:
    """Raise LrpcError, naming node, operator and target, where the target cannot run the model."""
    if found := unsupported(model, target):
        raise LrpcError(
            f"{len(found)} of {len(model.graph.node)} nodes of {model.graph.name} cannot run on the target {target}.",
            found,
            hint="Choose another --target; docs/deploy.md says which runtime has what.",
        )


def uses(model: onnx.ModelProto) -> list[Use]:
    """Return how each node uses its operator."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [(node, _way_round(node)) for node in model.graph.node]
    read = {(way, node.input[1]) for node, way in nodes if way}
    return [_use(node, weights, bool(way) and (_OPPOSITE[way], node.input[1]) in read) for node, way in nodes]


_OPPOSITE = {"Conv": "ConvTranspose", "ConvTranspose": "Conv", "Gemm 0": "Gemm 1", "Gemm 1": "Gemm 0"}


def _way_round(node: onnx.NodeProto) -> str:
    """Return which way round a node reads its weight, "" where it has none."""
    if node.op_type == "Gemm":
        return f"Gemm {next((entry.i for entry in node.attribute if entry.name == 'transB'), 0)}"
    return node.op_type if node.op_type in _OPPOSITE else ""


def _use(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], both_ways: bool) -> Use:
    attributes = {entry.name: _value(entry) for entry in node.attribute}
    small = {i: weights[name] for i, name in enumerate(node.input) if name in weights and len(weights[name].dims) < 2}
    constants = {i: onnx.numpy_helper.to_array(tensor) for i, tensor in small.items()}
    return Use(node.op_type, attributes, sum(map(bool, node.output)), constants, both_ways)


def _value(attribute: onnx.AttributeProto) -> object:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value
