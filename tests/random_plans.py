"""Random small networks under random rules: what a property over plans is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from lrpc import rules
from lrpc.algebra import Behaviour
from lrpc.composite import Composite, Entry
from lrpc.facts import input_sign
from lrpc.kinds import Kind
from lrpc.plan import Plan, assign
from lrpc.stabilizer import Stabilizer
from passes.branches import body_branch
from passes.graph import Graph
from passes.load import load
from passes.pipeline import canonize
from tests.graphs import model

Pick = Callable[[list], object]
"""Draw one of a list."""


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
def cases(draw, depth: int = 4) -> Case:
    """Draw a network of up to `depth` blocks, a rule for each of its layers, and a batch of two."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    net = _Net(lambda options: draw(st.sampled_from(options)), rng, exact=draw(st.booleans()))
    net.build(draw(st.integers(1, depth)))
    graph = canonize(load(net.proto()))
    overrides = [(node.name, draw(rule_for(node, graph))) for node in graph.nodes]
    plan = assign(graph, Composite("random", ENTRIES), overrides)
    x, seed = (net.values(2, *t.shape[1:]) for t in (graph.inputs[0], graph.outputs[0]))
    sign = input_sign(plan)
    return Case(plan, np.clip(x, None if sign.negative else 0, None if sign.positive else 0), seed, net.exact)


# --- rules -------------------------------------------------------------------------------------------

ENTRIES = (
    Entry(rules.Pass(), (Kind.ACTIVATION, Kind.BATCH_NORM)),
    Entry(rules.norm(), (Kind.SUM, Kind.AVERAGE_POOL)),
    Entry(rules.epsilon(), (Kind.CONVOLUTION, Kind.DENSE)),
    Entry(rules.WinnerTakeAll(), (Kind.MAX_POOL,)),
    Entry(rules.Gradient(), (Kind.STRUCTURE,)),
)

stabilizers = st.one_of(
    st.sampled_from([Stabilizer(), Stabilizer(0.1), Stabilizer(0.0), Stabilizer(0.25, 1e-9, scale="rms")]),
    st.builds(
        Stabilizer,
        epsilon=st.sampled_from([0.0, 1e-6, 1e-3, 0.25]),
        floor=st.sampled_from([0.0, 0.0, 1e-9, 0.1]),
        clip=st.booleans(),
        scale=st.sampled_from(["none", "rms"]),
        axes=st.sampled_from([None, (1,)]),
        signed=st.sampled_from([True, True, True, False]),
    ),
)
_zeroed, _flag = st.sampled_from([None, "bias"]), st.booleans()
_gammas = st.sampled_from([0.0, 0.25, 0.5, 1.0, 10.0])
_bounds = st.sampled_from([(-4.0, 4.0), (0.0, 4.0), (-4.0, 0.0), (-1.0, 3.0)])


def _both(rule: Callable[..., Behaviour], *parameters: st.SearchStrategy) -> st.SearchStrategy:
    """The bias zeroed or kept, or shared out, never both."""
    kept = st.builds(rule, *parameters, stabilizers, zero_params=_zeroed)
    return st.one_of(kept, kept, st.builds(rule, *parameters, stabilizers, share_bias=st.just(True)))


_alpha_beta = _both(
    lambda beta, *rest, **options: rules.alpha_beta(1 + beta, beta, *rest, **options), st.sampled_from([0.0, 1.0, 2.0])
)
_gamma = st.one_of(
    _both(rules.gamma, _gammas), st.builds(rules.gamma, _gammas, stabilizers, zero_params=_zeroed, compat=_flag)
)
linear_rules = st.one_of(
    _gamma, _gamma, _alpha_beta, _both(rules.epsilon), _both(rules.z_plus), _both(rules.gamma_plain, _gammas),
    _both(rules.gamma_symmetric, _gammas), _both(rules.abs_split),
    st.builds(lambda b, *rest: rules.z_box(*b, *rest), _bounds, stabilizers, _zeroed),
    st.builds(rules.w_square, stabilizers, _zeroed), st.builds(rules.flat, stabilizers), st.just(rules.Gradient()),
)  # fmt: skip
_free_rules = st.one_of(st.builds(rules.norm, stabilizers), st.builds(rules.abs_split, stabilizers))
_relu_rules = [rules.ReluDeconvNet(), rules.ReluGuidedBackprop(), rules.ReluBetaSmooth(10.0)]


def rule_for(node: object, graph: Graph) -> st.SearchStrategy:
    """Any rule that fits a node, those that keep what is known of it more often."""
    match node.op:
        case "Conv" | "Gemm":
            return linear_rules
        case "BatchNormalization":
            return st.one_of(st.just(rules.Pass()), linear_rules)
        case "Sum":
            whole = [rules.Copy(), rules.Gradient(), *([] if body_branch(node) is None else [rules.BodyOnly()])]
            return st.one_of(_free_rules, _free_rules, st.sampled_from(whole))
        case "AveragePool" | "GlobalAveragePool":
            return st.one_of(_free_rules, _free_rules, st.just(rules.Gradient()))
        case "MaxPool":
            return st.sampled_from([rules.WinnerTakeAll(), rules.Gradient()])
        case "Relu":
            return st.sampled_from([rules.Pass(), rules.Pass(), rules.Pass(), rules.Gradient(), *_relu_rules])
        case "Flatten" | "Concat" | "Transpose" | "Pad" | "Reshape":
            return st.just(rules.Gradient())
        case _:
            return st.sampled_from([rules.Pass(), rules.Pass(), rules.Gradient()])


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
        for _ in range(blocks):
            self.block()
        if self.size:
            self.pool_away()
        self.layer(2)

    def block(self) -> None:
        steps = [self.activated, self.activated, self.activated, self.residual]
        if self.size:
            steps += [self.pooled, self.joined, self.normalised, self.padded]
        self.pick(steps)()

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
