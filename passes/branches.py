"""Which branch of a residual sum is the body."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.graph import producer

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")


def body_branch(node: gs.Node) -> int | None:
    """Return the input of a sum that the most layers with a weight lead to; others count where those are equal.

    Layers are counted along the longest way from the model's input, which the branches share up to
    where they part.  Returns None where two branches have equally many.
    """
    depths = _depths(node)
    found = [depths[id(tensor)] for tensor in node.inputs]
    deepest = max(found)
    return found.index(deepest) if found.count(deepest) == 1 else None


def _depths(node: gs.Node) -> dict[int, tuple[int, int]]:
    """Return, by id, how many layers with a weight, and how many others, lead to each tensor above a node."""
    depths: dict[int, tuple[int, int]] = {}
    waiting = list(node.inputs)
    while waiting:
        tensor = waiting[-1]
        source = producer(tensor)
        missing = [t for t in source.inputs if id(t) not in depths] if source is not None else []
        if missing:
            waiting += missing
            continue
        waiting.pop()
        above = max((depths[id(t)] for t in source.inputs), default=(0, 0)) if source is not None else (0, 0)
        weighted = source is not None and source.op in _WEIGHTED
        other = source is not None and not weighted and source.op != "Identity"
        depths[id(tensor)] = (above[0] + weighted, above[1] + other)
    return depths
