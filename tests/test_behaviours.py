"""Every behaviour has its row, and the row says something of every op."""

from typing import get_args

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from lrpc import rules
from lrpc.behaviours import MEANINGS, meaning
from lrpc.behaviours.meaning import Meaning
from lrpc.ops import OPS
from lrpc.rules.behaviours import PLAIN, Behaviour
from lrpc.rules.constructors import RULES

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
