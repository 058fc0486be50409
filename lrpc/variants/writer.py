"""Add nodes to a finished graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


@dataclass
class Writer:
    """Collect nodes and constants in order of execution; their names begin with `scope`."""

    scope: str
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def op(self, op: str, inputs: Sequence[str], name: str, scoped: bool = True, **attributes: Any) -> str:
        """Add a node with one output, which takes its name and is returned.

        scoped: whether the name goes below the scope, or stands alone.
        """
        name = f"{self.scope}/{name}" if scoped else name
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, name: str) -> str:
        """Add a constant; a Python float is a float32."""
        array = np.asarray(value, np.float32 if isinstance(value, float) else None)
        self.initializers.append(numpy_helper.from_array(array, f"{self.scope}/{name}"))
        return self.initializers[-1].name

    def put_before(self, graph: onnx.GraphProto) -> None:
        """Write everything in front of a graph's own nodes."""
        own = list(graph.node)
        del graph.node[:]
        graph.node.extend([*self.nodes, *own])
        graph.initializer.extend(self.initializers)

    def put_behind(self, graph: onnx.GraphProto) -> None:
        """Write everything behind a graph's own nodes."""
        graph.node.extend(self.nodes)
        graph.initializer.extend(self.initializers)


def size_of(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    """Return a dimension as `make_tensor_value_info` takes it; a nameless one is the batch."""
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "batch"
