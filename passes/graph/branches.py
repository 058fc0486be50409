"""Which branch of a residual sum is the body."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.graph import constant, producer

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")


def body_branch(node: gs.Node) -> int | None:
    """Return the input of a sum that the most layers with a weight lead to; others count where those are equal.

    Layers are counted along the longest way from the model's input, which the branches share up to
    where they part.  Returns None where two branches have equally many.
    """
    depths = _depths(node, _fork(node))
    found = [depths[id(tensor)] for tensor in node.inputs]
    deepest = max(found)
    return found.index(deepest) if found.count(deepest) == 1 else None


def _fork(node: gs.Node) -> gs.Tensor | None:
    """Return the tensor behind which the branches of a sum part, None where it was not found.

    All ways into the sum lead through the open tensors; where one is left, all lead through that one, and
    what is above it makes no difference. Without this, each sum of a deep network would walk up all of it.
    """
    below = {id(node)}
    waiting = _sources(node)
    while len(waiting) > 1:
        ready = (t for t in waiting if producer(t) and all(id(reader) in below for reader in t.outputs))
        source = producer(next(ready, gs.Variable.empty()))
        if source is None:
            return None
        below.add(id(source))
        rest = [tensor for tensor in waiting if producer(tensor) is not source]
        waiting = rest + [tensor for tensor in _sources(source) if all(tensor is not other for other in rest)]
    return waiting[0] if waiting else None


def _sources(node: gs.Node) -> list[gs.Tensor]:
    """Return the inputs of a node that are not constants, each once."""
    return list({id(t): t for t in node.inputs if constant(t) is None}.values())


def _depths(node: gs.Node, start: gs.Tensor | None) -> dict[int, tuple[int, int]]:
    """Return, by id, how many layers with a weight, and how many others, lead from `start` to each tensor below it."""
    depths = {} if start is None else {id(start): (0, 0)}
    waiting = [tensor for tensor in node.inputs if id(tensor) not in depths]
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
