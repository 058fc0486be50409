"""What lrpc knows of an operator: its kind, and how relevance, or a gradient, runs back through it.

An op knows no rule, and no level of optimisation. A linear op gives its map f and the transpose of its Jacobian, for
any input and any parameters; every op gives its vector-Jacobian product. `lrpc.behaviours` puts rules and ops together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter
from lrpc.emit.targets import REVERSED_WEIGHT
from lrpc.rules.kinds import Kind
from lrpc.rules.sign import ANY, NON_NEGATIVE, ZEROS, Sign
from passes.graph import constant, static_shape

DYNAMIC_SIZE = "the size of its input is dynamic; fix the model's input size (the batch may stay dynamic)"


@dataclass(frozen=True)
class Op:
    """An operator. `name` is the ONNX op type; `elementwise` ops keep their input's shape.

    copies: it hands its input on as it is.  spatial: it runs over windows or positions, in 1, 2 or 3 dimensions.
    zennit: zennit has a rule for the layer, and so takes part in its tests.
    """

    name: str
    kind: Kind
    elementwise: bool = False
    copies: bool = False
    spatial: bool = False
    zennit: bool = False

    def kind_of(self, node: gs.Node) -> Kind:
        """Return what sort of layer a node is, where its place in the graph decides."""
        return self.kind

    def problem(self, node: gs.Node) -> str:
        """Return why relevance cannot be propagated through this node, "" if it can."""
        if any(static_shape(t) is None for t in (*self.data(node), node.outputs[0])):
            return "its shape is unknown; give the model's inputs a fixed shape"
        data = {id(tensor) for tensor in self.data(node)}
        if any(constant(t) is None for t in node.inputs if id(t) not in data and not t.is_empty()):
            return "its parameters are computed, or inputs of the model, not constants"
        return ""

    def data(self, node: gs.Node) -> list[gs.Tensor]:
        """Return the inputs that relevance flows to."""
        return [node.inputs[0]]

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        """Emit J^T relevance, one result per data input."""
        raise TypeError(f"{self.name} has no gradient")

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        """Return which signs the output can have, given those of the data inputs."""
        return ANY

    def slope(self, node: gs.Node) -> float:
        """Return a number that sum |J^T R| / sum |R| never exceeds."""
        return math.inf

    def keeps_zero(self, node: gs.Node) -> bool:
        """Whether this is an elementwise function with f(0) = 0."""
        return False

    def clamps(self, node: gs.Node) -> bool:
        """Whether this is an elementwise function that is 0 for x <= 0, flat there, and above 0 for x > 0."""
        return False


@dataclass(frozen=True)
class LinearOp(Op):
    """An operator that is linear in its data inputs once its parameters are fixed."""

    parametric: bool = True

    def weight(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        """Return the weight, None for an op without parameters."""
        return None

    def bias(self, emit: Emitter, node: gs.Node) -> gs.Tensor | None:
        """Return the bias, None where there is none."""
        return None

    def forward(
        self, emit: Emitter, node: gs.Node, xs: Sequence[gs.Tensor], w: gs.Tensor | None, b: gs.Tensor | None
    ) -> gs.Tensor:
        """Emit f(xs; w, b), shaped as the node's output."""
        raise TypeError(f"{self.name} has no linear map")

    def transpose(self, emit: Emitter, node: gs.Node, s: gs.Tensor, w: gs.Tensor | None) -> list[gs.Tensor]:
        """Emit J_w^T s, one result per data input, its axes of that input's size or of 1: a product broadcasts them."""
        raise TypeError(f"{self.name} has no transpose")

    def outputs(self, node: gs.Node) -> int | None:
        """Return how many values a bias of `forward` has, None for an op whose map takes none."""
        return None

    def input_shape(self, node: gs.Node) -> list[int] | None:
        """Return the shape in which one number per input channel multiplies the weight, None where it cannot."""
        return None

    def rows(self, node: gs.Node) -> tuple[int | None, ...] | None:
        """Return the shape that the output has in the model, where canonization made rows of it; None elsewhere."""
        return None

    def values(self, node: gs.Node) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the arrays of weight and bias; None for one that there is not."""
        return None, None

    def parameter_signs(self, node: gs.Node) -> tuple[Sign, Sign]:
        """Return the signs of weight and bias; a layer without parameters weighs its inputs by positive numbers."""
        weight, bias = self.values(node)
        return NON_NEGATIVE if weight is None else sign_of(weight), ZEROS if bias is None else sign_of(bias)

    def gradient(self, emit: Emitter, node: gs.Node, relevance: gs.Tensor) -> list[gs.Tensor]:
        """Emit J^T relevance with the layer's own weight."""
        return self.transpose(emit, node, relevance, self.weight(emit, node))


@dataclass(frozen=True)
class Selection(Op):
    """An operator whose every output value is one of its inputs' or 0: signs stay, and relevance cannot grow."""

    def sign(self, node: gs.Node, inputs: Sequence[Sign]) -> Sign:
        return union(inputs)

    def slope(self, node: gs.Node) -> float:
        return 1.0


def sign_of(values: np.ndarray) -> Sign:
    """Return which signs fixed values have."""
    return Sign(bool((values > 0).any()), bool((values < 0).any()))


def union(signs: Sequence[Sign]) -> Sign:
    """Return what a value that comes from any of several tensors, or is their sum, can be."""
    return reduce(or_, signs, ZEROS)


def window_problem(node: gs.Node) -> str:
    """Return what is unknown of the windows of a convolution or pool, "" if nothing is."""
    if "output_shape" in node.attrs or "pads" not in node.attrs:
        return "its automatic padding could not be resolved; export it with explicit pads"
    return dynamic_size(node)


def dynamic_size(node: gs.Node) -> str:
    """Return a complaint where the size of a layer's input is dynamic, "" if it is fixed."""
    shape = static_shape(node.inputs[0])
    return DYNAMIC_SIZE if shape is not None and None in shape[1:] else ""


def parameter(node: gs.Node, index: int) -> gs.Tensor | None:
    """Return an optional parameter of a node, None where it was left out."""
    if index >= len(node.inputs) or node.inputs[index].is_empty():
        return None
    return node.inputs[index]


def present(*tensors: gs.Tensor | None) -> list[gs.Tensor]:
    """Return the tensors that are there, in order."""
    return [tensor for tensor in tensors if tensor is not None]


def reversed_weight(emit: Emitter, w: gs.Tensor | None) -> gs.Tensor | None:
    """Return the weight of a transpose, whose layer reads it the other way round: a copy where the target needs one.

    Clipped at what float32 can hold, a weight stays what it is, and runtimes fold it into memory of its own.
    """
    if w is None or not emit.takes(REVERSED_WEIGHT, "copied"):
        return w
    limits = np.finfo(np.float32)

    def copy(name: str) -> gs.Tensor:
        ends = [emit.constant(value, f"{name}/{key}") for key, value in (("low", limits.min), ("high", limits.max))]
        return emit.op("Clip", [w, *ends], name)

    return emit.share(f"{w.name}/copied", copy)
