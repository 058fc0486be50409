"""Values that move between channels and positions are moved by Reshape and Transpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, kind, shape_of, size_of, static_shape
from passes.graph.edit import Declined, Edit, Step, rewrite


def spell_shuffles(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell DepthToSpace and SpaceToDepth (PixelShuffle, PixelUnshuffle) as Reshape, Transpose, Reshape.

    Gives: a Reshape `NAME.split`, a Transpose `NAME.order` and a Reshape NAME.
    Declines: sizes that are dynamic, but for the batch.
    """
    return rewrite(graph, _find_moves, Edit.replace, declined)


def _find_moves(edit: Edit, node: gs.Node) -> list[Step] | Declined | None:
    if kind(node) not in ("DepthToSpace", "SpaceToDepth"):
        return None
    shape, size = static_shape(node.inputs[0]), int(node.attrs["blocksize"])
    if shape is None or len(shape) != 4 or None in shape[1:]:
        return Declined("the size of its input is dynamic")
    _, channels, height, width = (n or 0 for n in shape)
    if node.op == "SpaceToDepth":
        split, order = [channels, height // size, size, width // size, size], [0, 3, 5, 1, 2, 4]
    elif node.attrs.get("mode", "DCR") == "CRD":
        split, order = [channels // size**2, size, size, height, width], [0, 1, 4, 2, 5, 3]
    else:
        split, order = [size, size, channels // size**2, height, width], [0, 3, 4, 1, 5, 2]
    return _moves(node, split, order)


def _moves(node: gs.Node, split: Sequence[int], order: Sequence[int]) -> list[Step]:
    """Return the three steps. split: the shape that axes are taken apart to, without the batch."""
    result = node.outputs[0].name
    parts = [shape_of(node.inputs[0])[0], *split]
    whole = [size_of(node.outputs[0], axis) for axis in (1, 2, 3)]
    target = {f"{result}/shape": np.array([-1, *split], np.int64)}
    back = {f"{result}/shape": np.array([-1, *whole], np.int64)}
    ordered = [parts[axis] for axis in order]
    return [
        Step("Reshape", f"{node.name}.split", {}, target, f"{result}/split", parts),
        Step("Transpose", f"{node.name}.order", {"perm": list(order)}, {}, f"{result}/order", ordered),
        Step("Reshape", node.name, {}, back),
    ]
