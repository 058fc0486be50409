"""Random small networks under random rules: what a property over plans is tried on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from lrpc import rules
from lrpc.composites.composite import Composite, Entry
from lrpc.plan.facts import input_sign
from lrpc.plan.plan import Plan, assign
from lrpc.rules.kinds import Kind
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model
from tests.random_nets import net_from
from tests.random_rules import Drawer, Pick

ENTRIES = (
    Entry(rules.Pass(), (Kind.ACTIVATION, Kind.BATCH_NORM)),
    Entry(rules.norm(), (Kind.SUM, Kind.AVERAGE_POOL)),
    Entry(rules.epsilon(), (Kind.CONVOLUTION, Kind.DENSE)),
    Entry(rules.WinnerTakeAll(), (Kind.MAX_POOL,)),
    Entry(rules.Gradient(), (Kind.STRUCTURE,)),
    Entry(rules.Uniform(), (Kind.GATE, Kind.PRODUCT)),
    Entry(rules.Pass(), (Kind.LAYER_NORM,)),
)
"""What a layer gets whose rule is left to the composite."""


@dataclass(frozen=True)
class Case:
    """A plan, a batch of inputs and seeds. exact: its forward pass rounds nothing in float64, so that z = 0 is no accident."""

    plan: Plan
    x: np.ndarray
    seed: np.ndarray
    exact: bool

    def __repr__(self) -> str:
        bounds = f"x {self.x.shape}, {'whole numbers' if self.exact else 'real numbers'}"
        return f"{bounds}\n{self.plan}\n" + "\n".join(_shown(node) for node in self.plan.graph.nodes)


@st.composite
def cases(draw, depth: int = 4, varied: bool = False) -> Case:
    """Draw a network of up to `depth` blocks, a rule for each of its layers, and a batch of two.

    varied: a network of `tests.random_nets`, which has many more operators, instead of one made to meet zeros
    and weights of one sign.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return _drawn(lambda options: draw(st.sampled_from(options)), rng, draw(st.integers(1, depth)), varied)


def case_of(number: int, depth: int = 4) -> Case:
    """Return a plan by its number, without hypothesis; every second one is of a varied network."""
    rng = np.random.default_rng(number)
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731
    return _drawn(pick, rng, int(rng.integers(1, depth + 1)), varied=bool(number % 2))


def _drawn(pick: Pick, rng: np.random.Generator, blocks: int, varied: bool) -> Case:
    if varied:
        net = net_from(pick, rng, blocks)
        plan = _planned(net.proto, pick)
        return Case(plan, _within(net.x, plan), net.seed, exact=False)
    small = _Net(pick, rng, exact=pick([False, True]))
    small.build(blocks)
    plan = _planned(small.proto(), pick)
    x, seed = (small.values(2, *t.shape[1:]) for t in (plan.graph.inputs[0], plan.graph.outputs[0]))
    return Case(plan, _within(x, plan), seed, small.exact)


def _planned(proto: onnx.ModelProto, pick: Pick) -> Plan:
    graph, drawer = canonize(load(proto)), Drawer(pick)
    return assign(graph, Composite("random", ENTRIES), [(node.name, drawer.rule_for(node)) for node in graph.nodes])


def _within(x: np.ndarray, plan: Plan) -> np.ndarray:
    """Keep to the sign that a plan may assume of its input."""
    sign = input_sign(plan)
    return np.clip(x, None if sign.negative else 0, None if sign.positive else 0)


# --- networks ----------------------------------------------------------------------------------------

ACTIVATIONS = ["Relu", "Relu", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "Softplus", "Identity"]
EXACT_ACTIVATIONS = ["Relu", "Relu", "Relu", "Clip", "Identity"]


@dataclass
class _Net:
    """A network as it grows: `x` is its last tensor, of `channels` x `size` x `size`, or a vector where size is 0."""

    pick: Pick
    rng: np.random.Generator
    exact: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    x: str = "x"
    channels: int = 2
    size: int = 0
    shape: list = field(default_factory=list)

    def values(self, *shape: int) -> np.ndarray:
        """Signed numbers, some of them 0."""
        drawn = self.rng.integers(-3, 4, shape) if self.exact else self.rng.standard_normal(shape)
        return np.asarray(drawn * (self.rng.random(shape) < 0.9), np.float32)

    def signed(self, *shape: int) -> np.ndarray:
        """Numbers of both signs, or of one."""
        values, sign = self.values(*shape), self.pick(["any", "any", "any", "positive", "negative"])
        return {"any": values, "positive": np.abs(values), "negative": -np.abs(values)}[sign]

    def build(self, blocks: int) -> None:
        self.size = self.pick([0, 5, 5, 6])
        self.channels = self.pick([2, 3])
        self.shape = [self.channels] + [self.size] * 2 * bool(self.size)
        block = self.pick([self.chained, self.block])
        for _ in range(blocks):
            block()
        if self.size:
            self.pool_away()
        self.layer(2)

    def block(self) -> None:
        steps = [self.activated, self.activated, self.activated, self.residual]
        if self.size:
            steps += [self.pooled, self.joined, self.normalised, self.padded]
        self.pick(steps)()

    def chained(self) -> None:
        """A layer and a Relu: where these follow one another, products are handed down and quotients cancel."""
        self.layer(self.pick([2, 4]))
        self.add("Relu", [self.x])

    def activated(self) -> None:
        """A layer and its activation; in one case of five something else reads the pre-activation too."""
        self.layer(self.pick([2, 4]))
        z = self.x
        self.activation()
        if self.pick([False] * 4 + [True]):
            self.add("Sum", [z, self.x])

    def layer(self, outputs: int) -> None:
        bias = self.pick(["none", "signed", "signed", "zero"])
        group = self.pick([1, 1, 2]) if self.size and self.channels % 2 == 0 else 1
        kernel = self.pick([1, 2, 3]) if self.size >= 3 else 1
        shape = (outputs, self.channels // group, kernel, kernel) if self.size else (outputs, self.channels)
        names = [self.weight(self.signed(*shape))]
        if bias != "none":
            names.append(self.weight(self.signed(outputs) * (bias == "signed")))
        if self.size:
            self.convolution(names, group, kernel)
        else:
            self.add("Gemm", [self.x, *names], transB=1)
        self.channels = outputs

    def convolution(self, names: list[str], group: int, kernel: int) -> None:
        stride, pad = self.pick([1, 1, 1, 2]) if self.size > 3 else 1, self.pick([0, 1])
        dilation = 2 if kernel == 2 and self.pick([False, True]) else 1
        self.add(
            "Conv", [self.x, *names], group=group, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[pad] * 4, dilations=[dilation] * 2,
        )  # fmt: skip
        self.size = (self.size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1

    def activation(self) -> None:
        op = self.pick(EXACT_ACTIVATIONS if self.exact else ACTIVATIONS)
        limits = [self.weight(np.array(v, np.float32)) for v in (0, 6)] if op == "Clip" else []
        self.add(op, [self.x, *limits])

    def residual(self) -> None:
        """relu(f(x) + x) or relu(f(x) + g(x)), by 1 x 1 convolutions."""
        entry, branches = self.x, []
        for weighted in (True, self.pick([False, True])):
            self.x = entry
            if weighted:
                self.pointwise(self.channels)
            branches.append(self.x)
        self.add("Add", branches)
        self.activation()

    def pointwise(self, outputs: int) -> None:
        kernel = (outputs, self.channels) + (1, 1) * bool(self.size)
        names = [self.weight(self.signed(*kernel)), self.weight(self.signed(outputs))]
        self.add(*("Conv", [self.x, *names]) if self.size else ("Gemm", [self.x, *names]), **_transposed(self.size))
        self.channels = outputs

    def pooled(self) -> None:
        op = self.pick(["MaxPool"] if self.exact else ["MaxPool", "AveragePool"])
        if self.size >= 3:
            self.add(op, [self.x], kernel_shape=[2, 2], strides=[1, 1], pads=[0] * 4)
            self.size -= 1

    def joined(self) -> None:
        """Two activated layers side by side."""
        entry, channels, parts = self.x, self.channels, []
        for _ in range(2):
            self.x, self.channels = entry, channels
            self.pointwise(2)
            self.activation()
            parts.append(self.x)
        self.add("Concat", parts, axis=1)
        self.channels = 4

    def normalised(self) -> None:
        """A BatchNorm behind a Relu, which no layer can absorb."""
        self.add("Relu", [self.x])
        one = np.ones(self.channels, np.float32)
        mean, var = (0 * one, one - np.float32(0.5)) if self.exact else (0.3 * one, 2 * one)
        epsilon = 0.5 if self.exact else 1e-5
        names = [self.weight(v) for v in (self.signed(self.channels), self.signed(self.channels), mean, var)]
        self.add("BatchNormalization", [self.x, *names], epsilon=epsilon)

    def padded(self) -> None:
        self.add("Pad", [self.x, self.weight(np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64))])
        self.size += 1

    def pool_away(self) -> None:
        if not self.exact and self.pick([False, True]):
            self.add("GlobalAveragePool", [self.x])
            self.size = 1
        self.add("Flatten", [self.x])
        self.channels, self.size = self.channels * self.size**2, 0

    def weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = values
        return name

    def add(self, op: str, inputs: list[str], **attributes: object) -> None:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name=name, **attributes))
        self.x = f"{name}.out"

    def proto(self) -> onnx.ModelProto:
        return model(self.nodes, self.weights, {"x": ["batch", *self.shape]}, {self.x: ["batch", self.channels]})


def _transposed(size: int) -> dict[str, int]:
    return {} if size else {"transB": 1}


def _shown(node: object) -> str:
    constants = [np.asarray(t.values).tolist() for t in node.inputs if hasattr(t, "values")]
    return f"{node.name}: {[t.name for t in node.inputs]} {dict(node.attrs)} {constants}"
