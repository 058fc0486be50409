"""Zeros that an exporter wrote in front of a convolution become its padding."""

from __future__ import annotations

import re

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, constant, kind, operand, producer
from passes.graph.edit import Declined, Edit, rewrite

_REPEAT = re.compile(r":\d+$")


def merge_paddings(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Merge a Pad into the Conv behind it, where both are one layer, as torch exports padding="same" with even kernels.

    Gives: the Conv under the layer's name, its pads with the zeros added.
    Keeps: a Pad that is a layer of its own, such as ZeroPad2d, whose zeros a rule sees as values of the input.
    Declines: a Pad that others read too, one by other values than zeros or along channels, automatic padding.
    """
    return rewrite(graph, _find_zeros, _merge, declined)


def _find_zeros(edit: Edit, layer: gs.Node) -> list[int] | Declined | None:
    """Return how many zeros the Pad before a Conv puts around each axis of positions."""
    pad = producer(layer.inputs[0]) if kind(layer) == "Conv" and layer.inputs else None
    if pad is None or kind(pad) != "Pad" or _REPEAT.sub("", pad.name) != _REPEAT.sub("", layer.name):
        return None
    if "auto_pad" in layer.attrs:
        return Declined("its automatic padding is not known")
    if not edit.is_read_once(pad.outputs[0]):
        return Declined(f"what {pad.name} gives is read by others too")
    amounts, given = constant(pad.inputs[1]), operand(pad, 2)
    value = np.zeros(1) if given is None else constant(given)
    zeros = pad.attrs.get("mode", "constant") in ("constant", b"constant") and value is not None and not value.any()
    if amounts is None or not zeros:
        return Declined(f"{pad.name} pads with other values than zeros, or by amounts that are computed")
    begins, ends = amounts.reshape(2, -1).tolist()
    if any(begins[:2] + ends[:2]) or min(begins + ends) < 0 or len(begins) != 2 + len(layer.attrs["kernel_shape"]):
        return Declined(f"{pad.name} pads more than the positions, or takes some away")
    return [*begins[2:], *ends[2:]]


def _merge(edit: Edit, layer: gs.Node, zeros: list[int]) -> None:
    pad = producer(layer.inputs[0])
    assert pad is not None
    layer.attrs = {
        **layer.attrs,
        "pads": [before + more for before, more in zip(layer.attrs["pads"], zeros, strict=True)],
    }
    layer.inputs[0] = pad.inputs[0]
    pad.inputs.clear()
    short, long = sorted((pad.name, layer.name), key=len)
    edit.rename({long: pad, short: layer})
