"""Small networks of several inputs, as data: where x and z meet, and what each of them passes through before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from tests.graphs import model

node = helper.make_node
CLASSES = 3


@dataclass(frozen=True)
class Net:
    """nodes: the last writes y (n, 3).  weights: shapes by name.  inputs: shapes by name; None is the batch."""

    nodes: list[onnx.NodeProto]
    weights: dict[str, tuple[int, ...]]
    inputs: dict[str, tuple[int | None, ...]]

    def proto(self, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
        arrays = {name: normal(*shape) for name, shape in self.weights.items()}
        shapes = {name: ["n" if size is None else size for size in shape] for name, shape in self.inputs.items()}
        return model(self.nodes, arrays, shapes, {"y": ["n", CLASSES]}, metadata=metadata)

    def feeds(self, count: int) -> dict[str, np.ndarray]:
        """Values for every input, different in every row."""
        shapes = {name: [count if size is None else size for size in s] for name, s in self.inputs.items()}
        return {name: normal(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    scale = np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 1.0
    values: np.ndarray = np.random.default_rng(sum(shape) + 99 * seed).standard_normal(shape) / scale
    return (3 * values).astype(np.float32)


def dense(source: str, name: str, result: str) -> onnx.NodeProto:
    return node("Gemm", [source, f"{name}.w"], [result], name=name, transB=1)


def conv(source: str, name: str, result: str) -> onnx.NodeProto:
    return node("Conv", [source, f"{name}.w"], [result], name=name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


BRANCHES = [
    dense("x", "left", "l"), node("Relu", ["l"], ["lr"], name="left.relu"),
    dense("z", "right", "r"), node("Relu", ["r"], ["rr"], name="right.relu"),
]  # fmt: skip
TABLES: dict[str, tuple[int | None, ...]] = {"x": (None, 4), "z": (None, 7)}
SIX = {"left.w": (6, 4), "right.w": (6, 7), "head.w": (3, 6)}

NETS: dict[str, Net] = {
    "a sum of two branches": Net(
        [*BRANCHES, node("Add", ["lr", "rr"], ["s"], name="add"), dense("s", "head", "y")], SIX, TABLES
    ),
    "two branches joined": Net(
        [*BRANCHES, node("Concat", ["lr", "rr"], ["s"], name="join", axis=1), dense("s", "inner", "i"),
         node("Relu", ["i"], ["ir"], name="relu"), dense("ir", "head", "y")],
        {**SIX, "inner.w": (6, 12)}, TABLES,
    ),
    "a gate by the other": Net(
        [*BRANCHES[:3], node("Sigmoid", ["r"], ["g"], name="gate"), node("Mul", ["lr", "g"], ["s"], name="mul"),
         dense("s", "head", "y")],
        SIX, TABLES,
    ),
    "the other as it is": Net(
        [*BRANCHES[:2], node("Add", ["lr", "z"], ["s"], name="add"), node("Relu", ["s"], ["sr"], name="relu"),
         dense("sr", "head", "y")],
        {"left.w": (6, 4), "head.w": (3, 6)}, {"x": (None, 4), "z": (None, 6)},
    ),
    "the other multiplies all samples": Net(
        [*BRANCHES[:2], node("Mul", ["lr", "z"], ["s"], name="mul"), dense("s", "head", "y")],
        {"left.w": (6, 4), "head.w": (3, 6)}, {"x": (None, 4), "z": (1, 6)},
    ),
    "the other twice": Net(
        [*BRANCHES, node("Add", ["lr", "rr"], ["s"], name="add"), dense("s", "inner", "i"),
         node("Concat", ["i", "z"], ["j"], name="join", axis=1), dense("j", "head", "y")],
        {"left.w": (6, 4), "right.w": (6, 7), "inner.w": (5, 6), "head.w": (3, 12)}, TABLES,
    ),
    "two pictures": Net(
        [conv("x", "left", "l"), node("Relu", ["l"], ["lr"], name="left.relu"), conv("z", "right", "r"),
         node("Relu", ["r"], ["rr"], name="right.relu"), node("Add", ["lr", "rr"], ["s"], name="add"),
         conv("s", "both", "b"), node("Relu", ["b"], ["br"], name="relu"),
         node("GlobalAveragePool", ["br"], ["p"], name="pool"), node("Flatten", ["p"], ["f"], name="flatten"),
         dense("f", "head", "y")],
        {"left.w": (6, 3, 3, 3), "right.w": (6, 3, 3, 3), "both.w": (4, 6, 3, 3), "head.w": (3, 4)},
        {"x": (None, 3, 6, 6), "z": (None, 3, 6, 6)},
    ),
    "a picture and a table": Net(
        [conv("x", "left", "l"), node("Relu", ["l"], ["lr"], name="left.relu"),
         node("GlobalAveragePool", ["lr"], ["p"], name="pool"), node("Flatten", ["p"], ["f"], name="flatten"),
         node("Concat", ["f", "z"], ["s"], name="join", axis=1), dense("s", "head", "y")],
        {"left.w": (6, 3, 3, 3), "head.w": (3, 8)}, {"x": (None, 3, 6, 6), "z": (None, 2)},
    ),
    "three leads": Net(
        [*BRANCHES, node("Add", ["lr", "rr"], ["s"], name="add"), node("Sum", ["s", "v"], ["t"], name="sum"),
         dense("t", "head", "y")],
        SIX, {**TABLES, "v": (None, 6)},
    ),
}  # fmt: skip
