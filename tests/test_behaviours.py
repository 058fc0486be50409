"""Every behaviour has its row, and the row says something of every op."""

import contextlib
from typing import get_args

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from onnx import helper

import lrpc
from lrpc import rules
from lrpc.behaviours import MEANINGS, meaning
from lrpc.behaviours.meaning import Meaning
from lrpc.composites.composite import Composite, Entry
from lrpc.ops import OPS
from lrpc.rules.behaviours import PLAIN, Behaviour
from lrpc.rules.constructors import RULES
from lrpc.rules.kinds import Kind
from lrpc.rules.stabilizer import Stabilizer
from passes.errors import LrpcError
from tests.graphs import model

SUMS, PRODUCTS = {"Sum", "ReduceSum"}, {"Mul"}
RELU, ELEMENTWISE = {"Relu"}, {name for name, op in OPS.items() if op.elementwise}
FITS = {
    "pass": ELEMENTWISE, "gradient": set(OPS), "copy": SUMS, "body_only": {"Sum"}, "uniform": PRODUCTS, "gate": PRODUCTS,
    "winner_take_all": {"MaxPool"}, "relu_deconvnet": RELU, "relu_guided_backprop": RELU, "relu_beta_smooth": RELU,
}  # fmt: skip
"""The ops that take a behaviour that is no linear rule."""


def behind_a_branch(op: str) -> gs.Node:
    """Return a node whose operands are x and a convolution of it."""
    x, body, y = (gs.Variable(name, np.float32, ["n", 3, 8, 8]) for name in ("x", "body", "y"))
    gs.Node("Conv", "body", {}, [x], [body])
    return gs.Node(op, "node", {}, [x, body], [y])


def test_every_behaviour_has_one_row_and_one_name():
    assert set(MEANINGS) == set(get_args(Behaviour))
    assert set(PLAIN.values()) == set(MEANINGS) - {rules.Rule}
    assert set(PLAIN) == set(FITS) < set(RULES)


def test_a_row_that_leaves_something_out_is_refused():
    class Half(Meaning[rules.Pass]):
        def misfit(self, rule, op, node):
            return ""

    with pytest.raises(TypeError, match="abstract"):
        Half()


@pytest.mark.parametrize("name", FITS)
def test_a_behaviour_fits_the_ops_that_it_is_for_and_no_others(name):
    rule = rules.gate(0) if name == "gate" else RULES[name]()
    assert {op for op in OPS if not meaning(rule).misfit(rule, OPS[op], behind_a_branch(op))} == FITS[name]


def test_a_value_that_is_no_behaviour_has_no_row():
    with pytest.raises(KeyError):
        meaning("pass")


AXES = {
    # the shape of a layer's output in the model, the axes of a stabilizer's rms, and the complaint
    "the last axis": (("n", 3, 8, 8), (3,), ""),
    "one beyond": (("n", 3, 8, 8), (1, 4), "its stabilizer has axis 4, the layer's output has axes 0 to 3"),
    "of two axes the second": (("n", 3), (1,), ""),
    "of two axes the third": (("n", 3), (2,), "its stabilizer has axis 2, the layer's output has axes 0 to 1"),
}


@pytest.mark.parametrize(("shape", "axes", "complaint"), AXES.values(), ids=AXES)
def test_a_stabilizer_s_axes_are_those_of_the_layer(shape, axes, complaint):
    rule = rules.norm(Stabilizer(0.1, scale="rms", axes=axes))
    x, y = (gs.Variable(name, np.float32, shape) for name in "xy")
    node = gs.Node("Add", "node", {}, [x, x], [y])
    assert meaning(rule).misfit(rule, OPS["Sum"], node) == complaint


def test_a_dense_layer_on_positions_has_the_axes_that_it_has_in_the_model():
    w = np.ones((4, 2), np.float32)
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": w}, {"x": ["n", 3, 4]}, {"y": ["n", 3, 2]})
    for axis, fits in ((2, True), (3, False)):
        entry = Entry(rules.epsilon(Stabilizer(0.1, scale="rms", axes=(axis,))), (Kind.DENSE,))
        composite = Composite("test", (entry, Entry(rules.Gradient())))
        with contextlib.nullcontext() if fits else pytest.raises(LrpcError, match=r"has axis 3.* axes 0 to 2"):
            lrpc.plan_model(proto, composite=composite)
