"""The part of onnx-graphsurgeon, which ships no types, that lrpc uses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx_graphsurgeon.ir.tensor import LazyValues

class Tensor:
    name: str
    inputs: list[Node]
    outputs: list[Node]
    @property
    def dtype(self) -> np.dtype[Any] | int | None: ...
    @property
    def shape(self) -> Sequence[int | str | None] | None: ...
    def is_empty(self) -> bool: ...

class Variable(Tensor):
    @property
    def dtype(self) -> np.dtype[Any] | int | None: ...
    @dtype.setter
    def dtype(self, dtype: np.dtype[Any] | type[np.generic] | int | None) -> None: ...
    shape: Sequence[int | str | None] | None
    def __init__(
        self,
        name: str,
        dtype: np.dtype[Any] | type[np.generic] | int | None = None,
        shape: Sequence[int | str | None] | None = None,
    ) -> None: ...
    @staticmethod
    def empty() -> Variable: ...

class Constant(Tensor):
    @property
    def values(self) -> np.ndarray: ...
    @values.setter
    def values(self, values: np.ndarray | LazyValues) -> None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def __init__(self, name: str, values: np.ndarray | LazyValues) -> None: ...

class Node:
    op: str
    name: str
    attrs: dict[str, Any]
    domain: str | None
    @property
    def inputs(self) -> list[Tensor]: ...
    @inputs.setter
    def inputs(self, inputs: Sequence[Tensor]) -> None: ...
    @property
    def outputs(self) -> list[Variable]: ...
    @outputs.setter
    def outputs(self, outputs: Sequence[Variable]) -> None: ...
    def __init__(
        self,
        op: str,
        name: str = ...,
        attrs: dict[str, Any] = ...,
        inputs: Sequence[Tensor] = ...,
        outputs: Sequence[Variable] = ...,
        domain: str | None = None,
    ) -> None: ...

class Graph:
    nodes: list[Node]
    inputs: list[Variable]
    outputs: list[Variable]
    name: str
    opset: int
    def __init__(
        self,
        nodes: Sequence[Node] = ...,
        inputs: Sequence[Variable] = ...,
        outputs: Sequence[Variable] = ...,
        name: str = ...,
        opset: int = ...,
    ) -> None: ...
    def copy(self) -> Graph: ...
    def tensors(self) -> dict[str, Tensor]: ...

def import_onnx(onnx_model: onnx.ModelProto) -> Graph: ...
def export_onnx(graph: Graph, do_type_check: bool = True) -> onnx.ModelProto: ...
