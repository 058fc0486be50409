"""A maximum over some axes as pooling of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import claim, constant, static_shape


def max_pool_over(sizes: Sequence[int]) -> dict[str, Any]:
    """Return the attributes of a MaxPool whose one window has these sizes."""
    ones = [1] * len(sizes)
    return {
        "kernel_shape": list(sizes),
        "strides": ones,
        "dilations": ones,
        "pads": [0, 0] * len(sizes),
        "ceil_mode": 0,
    }


def max_of_rows(node: gs.Node, axes: Sequence[int], taken: set[str]) -> list[gs.Node] | None:
    """Return the nodes that take a maximum over axes: these ordered, made one, pooled, and the result's shape.

    axes: counted from the front, in order.  None where that cannot be done, the batch being reduced, sizes being
    dynamic, or the tensor being none of float32 that is computed.
    """
    x, result = node.inputs[0], node.outputs[0]
    shape, target = static_shape(x), static_shape(result)
    if not axes or axes[0] == 0 or shape is None or None in shape[1:] or target is None or None in target[1:]:
        return None
    if x.dtype != np.float32 or constant(x) is not None or len(target) < 2:
        return None
    kept = [axis for axis in range(1, len(shape)) if axis not in axes]
    rows, count = (math.prod(shape[axis] or 0 for axis in some) for some in (kept, axes))
    order = [0, *kept, *axes]
    steps: list[tuple[str, str, dict[str, Any], list[int | None], list[np.ndarray]]] = []
    if order != sorted(order):
        steps.append(("Transpose", f"{node.name}.order", {"perm": order}, [shape[axis] for axis in order[1:]], []))
    steps.append(("Reshape", f"{node.name}.rows", {}, [rows, count], [np.array([-1, rows, count], np.int64)]))
    steps.append(("MaxPool", node.name, max_pool_over([count]), [rows, 1], []))
    steps.append(("Reshape", f"{node.name}.shape", {}, list(target[1:]), [np.array([-1, *target[1:]], np.int64)]))
    node.inputs.clear()
    node.outputs.clear()
    made: list[gs.Node] = []
    for op, name, attributes, sizes, operands in steps:
        own = name if name == node.name else claim(name, taken)
        constants = [gs.Constant(claim(f"{own}.operand", taken), operand) for operand in operands]
        output = gs.Variable(claim(f"{own}.result", taken), x.dtype, [x.shape[0], *sizes])
        made.append(gs.Node(op, own, attributes, [made[-1].outputs[0] if made else x, *constants], [output]))
    made[-1].outputs.clear()
    made[-1].outputs.append(result)
    return made
