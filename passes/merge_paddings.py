"""Zeros that an exporter wrote in front of a convolution become its padding."""

from __future__ import annotations

import re

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, constant, edited, kind, producer

_REPEAT = re.compile(r":\d+$")


def merge_paddings(graph: Graph) -> Graph:
    """Merge a Pad into the Conv behind it, where both are one layer, as torch exports padding="same" with even kernels.

    Needs spelled attributes and layer names.  Gives: the Conv under the layer's name, its pads with the zeros added.
    Keeps: a Pad that is a layer of its own, such as ZeroPad2d, whose zeros a rule sees as values of the input.
    Declines: a Pad that others read too, one by other values than zeros or along channels, automatic padding.
    """
    return edited(graph, _merge)


def _merge(graph: Graph) -> bool:
    outputs = {id(output) for output in graph.outputs}
    changed = False
    for node in graph.nodes:
        pad = producer(node.inputs[0]) if kind(node) == "Conv" and "auto_pad" not in node.attrs else None
        added = None if pad is None or id(pad.outputs[0]) in outputs else _zeros(pad, node)
        if pad is None or added is None:
            continue
        node.attrs["pads"] = [before + more for before, more in zip(node.attrs["pads"], added, strict=True)]
        node.inputs[0] = pad.inputs[0]
        pad.inputs.clear()
        pad.name, node.name = node.name, min(pad.name, node.name, key=len)
        changed = True
    return changed


def _zeros(pad: gs.Node, layer: gs.Node) -> list[int] | None:
    """Return how many zeros a Pad puts around each axis of positions, None where it is not part of the layer."""
    if (
        kind(pad) != "Pad"
        or _REPEAT.sub("", pad.name) != _REPEAT.sub("", layer.name)
        or len(pad.outputs[0].outputs) > 1
    ):
        return None
    amounts = constant(pad.inputs[1])
    given = len(pad.inputs) > 2 and not pad.inputs[2].is_empty()
    value = constant(pad.inputs[2]) if given else np.zeros(1)
    if (
        amounts is None
        or value is None
        or value.any()
        or pad.attrs.get("mode", "constant") not in ("constant", b"constant")
    ):
        return None
    begins, ends = amounts.reshape(2, -1).tolist()
    if any(begins[:2] + ends[:2]) or min(begins + ends) < 0 or len(begins) != 2 + len(layer.attrs["kernel_shape"]):
        return None
    return [*begins[2:], *ends[2:]]
