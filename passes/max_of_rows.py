"""A maximum over some axes as pooling of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import shape_of, static_shape
from passes.graph.edit import Step


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


def max_of_rows(node: gs.Node, axes: Sequence[int]) -> list[Step] | str:
    """Return the chain that takes a maximum over axes: these ordered, made one, pooled, and the result's shape.

    axes: counted from the front, in order.  A reason where that cannot be done.
    """
    shape, target = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if axes[:1] == [0]:
        return "it reduces the batch"
    if shape is None or None in shape[1:] or target is None or None in target[1:]:
        return "the size of its input is dynamic"
    if not axes or len(target) < 2:
        return "it reduces no axis, or all but the batch without keeping them"
    kept = [axis for axis in range(1, len(shape)) if axis not in axes]
    rows, count = (math.prod(shape[axis] or 0 for axis in some) for some in (kept, axes))
    order = [0, *kept, *axes]
    batch, sizes = shape_of(node.inputs[0])[0], [int(size or 0) for size in target[1:]]

    def step(op: str, role: str, attrs: dict[str, Any], inner: Sequence[int | None], reshape: bool = False) -> Step:
        name = f"{node.name}{role}"
        operands = {f"{name}.operand": np.array([-1, *inner], np.int64)} if reshape else {}
        return Step(op, name, attrs, operands, f"{name}.result", [batch, *inner])

    steps = (
        [] if order == sorted(order) else [step("Transpose", ".order", {"perm": order}, [shape[i] for i in order[1:]])]
    )
    return [
        *steps,
        step("Reshape", ".rows", {}, [rows, count], reshape=True),
        step("MaxPool", "", max_pool_over([count]), [rows, 1]),
        step("Reshape", ".shape", {}, sizes, reshape=True),
    ]
