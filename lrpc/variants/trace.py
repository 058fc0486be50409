"""The trace variant of explain.onnx: the same graph, with six numbers per layer and sample as a further output.

Works on any bundle, because its manifest says where each layer's relevance is in the graph. The nodes
that it adds are standard operators too, so that the variant runs wherever the bundle does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper

from lrpc.bundle.manifest import Where
from lrpc.bundle.names import TRACE

COLUMNS = ("range", "sum", "abs_sum", "handed", "denominator", "nonfinite")
"""Of the relevance arriving at a layer: max - min, sum, sum of |R|.  handed: sum of |R| over all that the layer
gives its inputs.  denominator: the smallest |divisor| behind a quotient that is not 0; infinity where there is none.
nonfinite: how many arriving values are NaN or infinite."""


def instrument(explain: onnx.ModelProto, where: Sequence[Where]) -> onnx.ModelProto:
    """Return explain.onnx with the further output `trace`, float32 (n, layers, 6), in the order of `where`.

    where: the manifest's `trace`, from the output down. The model is changed in place.
    """
    writer = _Writer(explain.graph)
    rows = [writer.row(f"lrpc/trace/{index}", entry) for index, entry in enumerate(where)]
    explain.graph.node.append(helper.make_node("Concat", rows, [TRACE], name=TRACE, axis=1))
    shape: list[str | int | None] = ["batch", len(rows), len(COLUMNS)]
    explain.graph.output.append(helper.make_tensor_value_info(TRACE, TensorProto.FLOAT, shape))
    return explain


def expose(explain: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """Make tensors of a graph outputs too, in place; those that are inputs or outputs already stay as they are."""
    known = {value.name for value in (*explain.graph.input, *explain.graph.output)}
    wanted = [name for name in dict.fromkeys(tensors) if name not in known]
    if wanted:  # an output needs a shape
        shapes = {value.name: value for value in onnx.shape_inference.infer_shapes(explain).graph.value_info}
        explain.graph.output.extend(shapes[name] for name in wanted)
    return explain


class _Writer:
    """Append nodes to a graph that reduce tensors to one number per sample, (n, 1)."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        constants = {"axis": np.array([1], np.int64), "zero": np.float32(0), "none": np.float32(np.inf)}
        for name, value in constants.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"lrpc/trace/{name}"))

    def row(self, name: str, entry: Where) -> str:
        """Add the six numbers of one layer, (n, 1, 6)."""
        flat = self._op("Flatten", [self._product(entry.arriving, f"{name}/arriving")], f"{name}/flat", axis=1)
        size = self._op("Abs", [flat], f"{name}/size")
        top, bottom = (self._reduce(f"Reduce{end}", flat, f"{name}/{end}") for end in ("Max", "Min"))
        handed = [
            self._magnitude(self._product(tensors, f"{name}/handed{i}/product"), f"{name}/handed{i}")
            for i, tensors in enumerate(entry.handed)
        ]
        cells = [
            self._op("Sub", [top, bottom], f"{name}/range"),
            self._reduce("ReduceSum", flat, f"{name}/sum"),
            self._reduce("ReduceSum", size, f"{name}/abs_sum"),
            self._op("Sum", handed, f"{name}/handed"),
            self._smallest(entry.divisions, size, name),
            self._nonfinite(flat, name),
        ]
        joined = self._op("Concat", cells, f"{name}/cells", axis=1)
        return self._op("Unsqueeze", [joined, "lrpc/trace/axis"], f"{name}/row")

    def _product(self, tensors: Sequence[str], name: str) -> str:
        return tensors[0] if len(tensors) == 1 else self._op("Mul", tensors, name)

    def _magnitude(self, tensor: str, name: str) -> str:
        flat = self._op("Flatten", [tensor], f"{name}/flat", axis=1)
        return self._reduce("ReduceSum", self._op("Abs", [flat], f"{name}/size"), f"{name}/sum")

    def _smallest(self, divisions: Sequence[Sequence[str]], size: str, name: str) -> str:
        """Add the smallest |divisor| where the quotient is not 0, over all shares."""
        found = [self._smallest_of(d, s, f"{name}/division{i}") for i, (d, s) in enumerate(divisions)]
        if found:
            return found[0] if len(found) == 1 else self._op("Min", found, f"{name}/denominator")
        nothing = self._op("Mul", [self._reduce("ReduceSum", size, f"{name}/any"), "lrpc/trace/zero"], f"{name}/zeros")
        is_number = self._op("Equal", [nothing, nothing], f"{name}/is_number")
        return self._op("Where", [is_number, "lrpc/trace/none", "lrpc/trace/none"], f"{name}/denominator")

    def _smallest_of(self, divisor: str, quotient: str, name: str) -> str:
        unused = self._op("Equal", [quotient, "lrpc/trace/zero"], f"{name}/unused")
        size = self._op("Abs", [divisor], f"{name}/size")
        used = self._op("Where", [unused, "lrpc/trace/none", size], f"{name}/used")
        return self._reduce("ReduceMin", self._op("Flatten", [used], f"{name}/flat", axis=1), f"{name}/smallest")

    def _nonfinite(self, flat: str, name: str) -> str:
        """Add the count of values for which v - v is not 0."""
        difference = self._op("Sub", [flat, flat], f"{name}/difference")
        finite = self._op("Equal", [difference, "lrpc/trace/zero"], f"{name}/finite")
        bad = self._op("Cast", [self._op("Not", [finite], f"{name}/bad")], f"{name}/bad/number", to=TensorProto.FLOAT)
        return self._reduce("ReduceSum", bad, f"{name}/nonfinite")

    def _reduce(self, op: str, tensor: str, name: str) -> str:
        return self._op(op, [tensor, "lrpc/trace/axis"], name, keepdims=1)

    def _op(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self._graph.node.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name
