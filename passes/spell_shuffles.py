"""Values that move between channels and positions are moved by Reshape and Transpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, edited, kind, static_shape


def spell_shuffles(graph: Graph) -> Graph:
    """Spell DepthToSpace and SpaceToDepth (PixelShuffle, PixelUnshuffle) as Reshape, Transpose, Reshape.

    Needs inferred shapes.  Gives: a Reshape `NAME.split`, a Transpose `NAME.order` and a Reshape NAME.
    Declines: sizes that are dynamic, but for the batch.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    nodes = [part for node in graph.nodes for part in (_respelled(node, taken) or [node])]
    changed = len(nodes) > len(graph.nodes)
    graph.body.nodes = nodes
    return changed


def _respelled(node: gs.Node, taken: set[str]) -> list[gs.Node] | None:
    if kind(node) not in ("DepthToSpace", "SpaceToDepth"):
        return None
    shape, size = static_shape(node.inputs[0]), int(node.attrs["blocksize"])
    if shape is None or len(shape) != 4 or None in shape[1:]:
        return None
    _, channels, height, width = (n or 0 for n in shape)
    if node.op == "SpaceToDepth":
        split, order = [channels, height // size, size, width // size, size], [0, 3, 5, 1, 2, 4]
    elif node.attrs.get("mode", "DCR") == "CRD":
        split, order = [channels // size**2, size, size, height, width], [0, 1, 4, 2, 5, 3]
    else:
        split, order = [size, size, channels // size**2, height, width], [0, 3, 4, 1, 5, 2]
    return _moved(node, split, order, taken)


def _moved(node: gs.Node, split: Sequence[int], order: Sequence[int], taken: set[str]) -> list[gs.Node]:
    """Return the three nodes. split: the shape that axes are taken apart to, without the batch."""
    x, result = node.inputs[0], node.outputs[0]
    node.inputs.clear()
    node.outputs.clear()
    whole = [int(n) for n in result.shape[1:]]
    parts = gs.Variable(claim(f"{result.name}/split", taken), x.dtype, [x.shape[0], *split])
    ordered = [parts.shape[axis] for axis in order]
    moved = gs.Variable(claim(f"{result.name}/order", taken), x.dtype, ordered)
    targets = [
        gs.Constant(claim(f"{result.name}/shape", taken), np.array([-1, *shape], np.int64)) for shape in (split, whole)
    ]
    return [
        gs.Node("Reshape", claim(f"{node.name}.split", taken), {}, [x, targets[0]], [parts]),
        gs.Node("Transpose", claim(f"{node.name}.order", taken), {"perm": list(order)}, [parts], [moved]),
        gs.Node("Reshape", node.name, {}, [moved, targets[1]], [result]),
    ]
