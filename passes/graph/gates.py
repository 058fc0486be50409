"""Which operand of a product is the signal, and which is a gate that is computed from it."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.graph import constant, kind, producer

_SQUASHING = ("Sigmoid", "HardSigmoid")
_MOVING = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand")
_FARTHEST = 64
"""How many nodes lie between a signal and its gate at most."""


def gated_signal(node: gs.Node) -> int | None:
    """Return which operand of a product is a signal whose gate is the other one, None where that is not sure.

    A gate ends in a Sigmoid or HardSigmoid, and depends on the model's input through its signal alone: that is
    squeeze-excitation, x * sigmoid(f(pool(x))). Two gates, and a gate from elsewhere, are not recognised.
    """
    if len(node.inputs) != 2:
        return None
    found = [index for index in (0, 1) if _is_gate(node.inputs[1 - index], node.inputs[index])]
    return found[0] if len(found) == 1 else None


def _is_gate(gate: gs.Tensor, signal: gs.Tensor) -> bool:
    last = producer(_moved_from(gate))
    return kind(last) in _SQUASHING and last is not None and _comes_from(last.inputs[0], _moved_from(signal))


def _moved_from(tensor: gs.Tensor) -> gs.Tensor:
    """Follow a tensor up through nodes that only move its values."""
    while (node := producer(tensor)) is not None and kind(node) in _MOVING:
        tensor = node.inputs[0]
    return tensor


def _comes_from(tensor: gs.Tensor, signal: gs.Tensor) -> bool:
    """Whether everything that a tensor is computed from is the signal or a constant."""
    waiting, seen, met = [tensor], {id(signal)}, tensor is signal
    while waiting:
        node = producer(waiting.pop())
        if node is None or len(seen) > _FARTHEST:
            return False
        for source in node.inputs:
            met |= source is signal
            if constant(source) is None and not source.is_empty() and id(source) not in seen:
                seen.add(id(source))
                waiting.append(source)
    return met
