"""Random networks as ONNX files: branches, residuals, concatenations, pools, gates, in one to three dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

from tests.graphs import model
from tests.random_rules import Pick

FUNCTIONS = ["Relu", "Relu", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Clip", "PRelu", "Swish"]  # fmt: skip


@dataclass(frozen=True)
class RandomNet:
    """A model, a batch of inputs within [-2, 2], and seeds shaped as its output."""

    proto: onnx.ModelProto
    x: np.ndarray
    seed: np.ndarray

    def __repr__(self) -> str:
        return f"x {self.x.shape}\n" + onnx.printer.to_text(self.proto.graph)


@st.composite
def random_nets(draw, depth: int = 5) -> RandomNet:
    """Draw a network of up to `depth` blocks and a batch of two."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return net_from(lambda options: draw(st.sampled_from(options)), rng, draw(st.integers(1, depth)))


def net_of(number: int, depth: int = 5) -> RandomNet:
    """Return a network by its number, without hypothesis."""
    rng = np.random.default_rng(number)
    return net_from(lambda options: options[int(rng.integers(len(options)))], rng, int(rng.integers(1, depth + 1)))


def net_from(pick: Pick, rng: np.random.Generator, blocks: int) -> RandomNet:
    """Return a network of as many blocks, its choices by `pick` and its numbers by `rng`."""
    net = _Net(pick, rng)
    net.build(blocks)
    x = rng.uniform(-2, 2, (2, *net.entry)).astype(np.float32)
    return RandomNet(net.proto(), x, rng.standard_normal((2, *net.shape)).astype(np.float32))


@dataclass
class _Net:
    """A network as it grows: `x` is its last tensor, of `channels` and `size`, which is empty for a vector."""

    pick: Pick
    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    x: str = "x"
    channels: int = 3
    size: tuple[int, ...] = ()
    entry: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, *self.size)

    def build(self, blocks: int) -> None:
        self.size = self.pick([(), (9,), (7, 6), (7, 6), (8, 8), (3, 4, 5)])
        self.channels = self.pick([1, 3, 4])
        self.entry = self.shape
        if self.pick([False] * 4 + [True]):
            self.normalised()
        self.layer(self.pick([4, 6]))
        for _ in range(blocks):
            self.block()
        if self.size and self.pick([True, True, False]):
            if self.pick([False, True]):
                self.add("GlobalAveragePool", [self.x])
                self.size = (1,) * len(self.size)
            self.add("Flatten", [self.x])
            self.channels, self.size = math.prod(self.shape), ()
            self.layer(3)

    def block(self) -> None:
        steps = [self.activated, self.activated, self.residual, self.joined, self.multiplied, self.normalised]
        if self.size:
            steps += [self.pooled, self.pooled, self.gated, self.widened, self.cut, self.padded, self.layer_normalised]
        if len(self.size) == 2:
            steps += [self.response_normalised]
        self.pick(steps)()

    # --- layers ----------------------------------------------------------------------------------

    def layer(self, outputs: int) -> None:
        """A linear layer; then in one case of three a BatchNorm."""
        if not self.size:
            self.dense(outputs)
        elif self.pick([False] * 5 + [True]) and max(self.size) < 12:
            self.transposed(outputs)
        else:
            self.convolution(outputs)
        if self.pick([False, False, True]):
            self.normalised()

    def dense(self, outputs: int) -> None:
        bias = [self.noise(outputs)] * self.pick([0, 1])
        if self.pick([False, True]):
            self.add("Gemm", [self.x, self.filters(outputs, self.channels), *bias], transB=1)
        else:
            self.add("Gemm", [self.x, self.weight(self._filters(outputs, self.channels).T.copy()), *bias])
        self.channels = outputs

    def convolution(self, outputs: int) -> None:
        group = self.pick([1, 1, 2]) if self.channels % 2 == 0 and outputs % 2 == 0 else 1
        kernel = [self.pick([1, 2, 3]) if n >= 3 else 1 for n in self.size]
        stride = [self.pick([1, 1, 2]) for _ in self.size]
        dilation = [self.pick([1, 1, 2]) if n >= 5 else 1 for n in self.size]
        pads = [self.pick([0, k // 2]) for k in kernel + kernel]
        bias = [self.noise(outputs)] * self.pick([0, 1])
        weight = self.filters(outputs, self.channels // group, *kernel)
        self.add("Conv", [self.x, weight, *bias], group=group, kernel_shape=kernel, strides=stride, dilations=dilation, pads=pads)  # fmt: skip
        dims = len(kernel)
        padded = [n + pads[i] + pads[dims + i] for i, n in enumerate(self.size)]
        self.size = tuple(
            (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(padded, kernel, stride, dilation, strict=True)
        )
        self.channels = outputs

    def transposed(self, outputs: int) -> None:
        kernel, stride = [2] * len(self.size), [self.pick([1, 2]) for _ in self.size]
        values = self._filters(self.channels, outputs, *kernel)
        self.add(
            "ConvTranspose", [self.x, self.weight(values), self.noise(outputs)], kernel_shape=kernel, strides=stride
        )
        self.size = tuple((n - 1) * s + 2 for n, s in zip(self.size, stride, strict=True))
        self.channels = outputs

    def activation(self) -> None:
        op = self.pick([*FUNCTIONS, "Gelu"])
        if op == "Clip":
            self.add(op, [self.x, *(self.weight(np.float32(v)) for v in self.pick([(0, 6), (-1, 1), (0, 1)]))])
        elif op == "PRelu":
            self.add(op, [self.x, self.weight(self._noise(self.channels, *[1] * len(self.size)))])
        elif op == "Swish":
            x = self.x
            self.add("Sigmoid", [x])
            self.add("Mul", [x, self.x])
        elif op == "Gelu":
            self.gelu()
        else:
            self.add(op, [self.x])

    def gelu(self) -> None:
        x = self.x
        self.add("Div", [x, self.weight(np.float32(math.sqrt(2)))])
        self.add("Erf", [self.x])
        self.add("Add", [self.x, self.weight(np.float32(1))])
        self.add("Mul", [x, self.x])
        self.add("Mul", [self.x, self.weight(np.float32(0.5))])

    # --- blocks ----------------------------------------------------------------------------------

    def activated(self) -> None:
        self.layer(self.pick([2, 4, 6]))
        self.activation()

    def pointwise(self, outputs: int) -> None:
        if self.size:
            names = [self.filters(outputs, self.channels, *[1] * len(self.size)), self.noise(outputs)]
            self.add("Conv", [self.x, *names], kernel_shape=[1] * len(self.size))
            self.channels = outputs
        else:
            self.dense(outputs)

    def branches(self, count: int, outputs: int) -> list[str]:
        """Layers side by side, the first of them perhaps nothing at all."""
        entry, channels, results = self.x, self.channels, []
        for index in range(count):
            self.x, self.channels = entry, channels
            if index or outputs != channels or self.pick([False, True]):
                self.pointwise(outputs)
                self.activation()
            results.append(self.x)
        return results

    def residual(self) -> None:
        parts = self.branches(self.pick([2, 2, 3]), self.channels)
        self.add("Add" if len(parts) == 2 else "Sum", parts)
        self.activation()

    def joined(self) -> None:
        parts = self.branches(2, self.pick([2, 3]))
        self.channels *= len(parts)
        self.add("Concat", parts, axis=1)

    def multiplied(self) -> None:
        self.add("Mul", self.branches(2, self.channels))

    def gated(self) -> None:
        """Squeeze-excitation."""
        entry, size, channels = self.x, self.size, self.channels
        self.add("GlobalAveragePool", [entry])
        self.size = (1,) * len(size)
        self.pointwise(2)
        self.add("Relu", [self.x])
        self.pointwise(channels)
        self.add(self.pick(["Sigmoid", "HardSigmoid"]), [self.x])
        self.size = size
        self.add("Mul", self.pick([[entry, self.x], [self.x, entry]]))

    def normalised(self) -> None:
        values = {"scale": self._noise(self.channels) + 1, "shift": self._noise(self.channels)}
        values |= {
            "mean": self._noise(self.channels),
            "var": self.rng.uniform(0.5, 2, self.channels).astype(np.float32),
        }
        if self.pick([False, False, True]):
            values["shift"] = values["mean"] = np.zeros(self.channels, np.float32)
        self.add("BatchNormalization", [self.x, *map(self.weight, values.values())])

    def layer_normalised(self) -> None:
        """Over the channels, which come last for it."""
        last, first = [0, *range(2, len(self.size) + 2), 1], [0, len(self.size) + 1, *range(1, len(self.size) + 1)]
        self.add("Transpose", [self.x], perm=last)
        self.add(
            "LayerNormalization",
            [self.x, self.weight(self._noise(self.channels) + 1), self.noise(self.channels)],
            epsilon=1e-2,
        )
        self.add("Transpose", [self.x], perm=first)

    def response_normalised(self) -> None:
        self.add("LRN", [self.x], size=self.pick([1, 3, 5]), alpha=self.pick([1e-4, 0.5]), beta=0.75, bias=1.0)

    def pooled(self) -> None:
        if min(self.size) < 3:
            return
        op = self.pick(["MaxPool", "MaxPool", "AveragePool"])
        kernel = [self.pick([2, 3]) for _ in self.size]
        stride = [self.pick([1, 2]) for _ in self.size]
        pad, dims = [self.pick([0, 1]) for _ in self.size], len(self.size)
        options = {"count_include_pad": self.pick([0, 1])} if op == "AveragePool" else {}
        self.add(op, [self.x], kernel_shape=kernel, strides=stride, pads=pad * 2, **options)
        self.size = tuple((self.size[i] + 2 * pad[i] - kernel[i]) // stride[i] + 1 for i in range(dims))

    def widened(self) -> None:
        if max(self.size) > 9 or len(self.size) > 2:
            return
        factors = [self.pick([1, 2]) for _ in self.size]
        mode = self.pick(
            [
                {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
                {"mode": "linear"},
            ]
        )
        self.add("Resize", [self.x, "", self.weight(np.array([1, 1, *factors], np.float32))], **mode)
        self.size = tuple(n * f for n, f in zip(self.size, factors, strict=True))

    def cut(self) -> None:
        """Every second channel, or the first positions of an axis."""
        axis = self.pick(list(range(1, len(self.size) + 2)))
        length, step = self.shape[axis - 1], self.pick([1, 2])
        end = max(1, length - self.pick([0, 1]))
        self.add("Slice", [self.x, *(self.weight(np.array([v])) for v in (0, end, axis, step))])
        shape = list(self.shape)
        shape[axis - 1] = -(-end // step)
        self.channels, self.size = shape[0], tuple(shape[1:])

    def padded(self) -> None:
        before, behind = ([self.pick([0, 1]) for _ in self.size] for _ in range(2))
        self.add("Pad", [self.x, self.weight(np.array([0, 0, *before, 0, 0, *behind]))])
        self.size = tuple(n + a + b for n, a, b in zip(self.size, before, behind, strict=True))

    # --- weights and nodes -------------------------------------------------------------------------

    def _noise(self, *shape: int) -> np.ndarray:
        return (0.3 * self.rng.standard_normal(shape)).astype(np.float32)

    def _filters(self, outputs: int, *rest: int) -> np.ndarray:
        """Weights that keep the size of what they read."""
        return (self.rng.standard_normal((outputs, *rest)) * math.sqrt(2 / math.prod(rest))).astype(np.float32)

    def noise(self, *shape: int) -> str:
        return self.weight(self._noise(*shape))

    def filters(self, *shape: int) -> str:
        return self.weight(self._filters(*shape))

    def weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values)
        return name

    def add(self, op: str, inputs: list[str], **attributes: object) -> None:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name=name, **attributes))
        self.x = f"{name}.out"

    def proto(self) -> onnx.ModelProto:
        return model(self.nodes, self.weights, {"x": ["batch", *self.entry]}, {self.x: ["batch", *self.shape]})
