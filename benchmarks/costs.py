"""Measure equal forms of the relevance pass's steps: `python -m benchmarks.costs [--provider cuda] [--rounds 20]`.

Prints, for every choice that `lrpc/emit/targets.py` makes, milliseconds for each form at shapes that networks have. The
forms of one choice are compared with each other first: they must compute the same.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from lrpc.runtime.session import open_session

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Form:
    """One way to compute `y`: nodes and their constants."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """title: what is computed, and where.  inputs: by name.  forms: by the name that
    `lrpc/emit/targets.py` has for them.
    """

    title: str
    inputs: dict[str, np.ndarray]
    forms: dict[str, Form]


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """Return a node whose inputs are given in one text; `-` stands for one left out."""
    return helper.make_node(op, ["" if name == "-" else name for name in inputs.split()], [output], **attributes)


def transposes(channels: int, size: int, kernel: int, groups: int = 1) -> Choice:
    """The transpose of a stride-1 convolution."""
    w = RNG.standard_normal((channels, channels // groups, kernel, kernel)).astype(np.float32)
    grouped = w.reshape(groups, channels // groups, channels // groups, kernel, kernel)
    turned = grouped.swapaxes(1, 2).reshape(w.shape)[:, :, ::-1, ::-1].copy()
    pads = {"pads": [kernel // 2] * 4, "group": groups}
    return Choice(
        f"transpose of a convolution: {channels} channels, {size} x {size}, kernel {kernel}, {groups} groups",
        {"x": RNG.standard_normal((4, channels, size, size)).astype(np.float32)},
        {
            "Conv": Form([node("Conv", "x w", "y", **pads)], {"w": turned}),
            "ConvTranspose": Form([node("ConvTranspose", "x w", "y", **pads)], {"w": w}),
        },
    )


def strided(channels: int, size: int, kernel: int) -> Choice:
    """The transpose of a stride-2 convolution: scattered, or by zeros between the values."""
    w = RNG.standard_normal((channels, channels, kernel, kernel)).astype(np.float32)
    turned = w.swapaxes(0, 1)[:, :, ::-1, ::-1].copy()
    mask = np.zeros((1, 1, 2 * size, 2 * size), np.float32)
    mask[:, :, ::2, ::2] = 1
    stuffed = [
        node("Resize", "x - scales", "large", mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
        node("Mul", "large mask", "stuffed"),
        node("Conv", "stuffed w", "y", pads=[kernel // 2] * 4),
    ]  # fmt: skip
    whole = {"strides": [2, 2], "pads": [kernel // 2] * 4, "output_padding": [1, 1]}
    return Choice(
        f"transpose of a stride-2 convolution: {channels} channels, {size} x {size}, kernel {kernel}",
        {"x": RNG.standard_normal((4, channels, size, size)).astype(np.float32)},
        {
            "ConvTranspose": Form([node("ConvTranspose", "x w", "y", **whole)], {"w": w}),
            "Conv": Form(stuffed, {"w": turned, "mask": mask, "scales": np.array([1, 1, 2, 2], np.float32)}),
        },
    )


def steps(channels: int, size: int) -> Choice:
    """1 where a value is at least 0, else 0."""
    zero, one = np.array(0, np.float32), np.array(1, np.float32)
    return Choice(
        f"step at 0: {channels} channels, {size} x {size}",
        {"x": RNG.standard_normal((4, channels, size, size)).astype(np.float32)},
        {
            "HardSigmoid": Form([node("HardSigmoid", "x", "y", alpha=3e38, beta=1.0)], {}),
            "GreaterOrEqual": Form(
                [node("GreaterOrEqual", "x zero", "m"), node("Cast", "m", "y", to=1)], {"zero": zero}
            ),
            "Where": Form(
                [node("GreaterOrEqual", "x zero", "m"), node("Where", "m one zero", "y")], {"zero": zero, "one": one}
            ),
        },
    )


def sums(channels: int, size: int) -> Choice:
    """Two cotangents of one input: two convolutions added, or one over stacked channels."""
    shape = (4, channels, size, size)
    first, second = (RNG.standard_normal((channels, channels, 3, 3)).astype(np.float32) for _ in range(2))
    pads = {"pads": [1] * 4}
    added = [node("Conv", "a w", "p", **pads), node("Conv", "b v", "q", **pads), node("Add", "p q", "y")]
    stacked = [node("Concat", "a b", "ab", axis=1), node("Conv", "ab wv", "y", **pads)]
    return Choice(
        f"sum of two convolutions: {channels} channels, {size} x {size}",
        {key: RNG.standard_normal(shape).astype(np.float32) for key in "ab"},
        {
            "added": Form(added, {"w": first, "v": second}),
            "stacked": Form(stacked, {"wv": np.concatenate([first, second], axis=1)}),
        },
    )


def averages(channels: int, size: int, kernel: int, stride: int) -> Choice:
    """The transpose of an average pool without padding."""
    ones = np.ones((channels, 1, kernel, kernel), np.float32)
    count = np.array(kernel * kernel, np.float32)
    scattered = [
        node("Div", "x count", "part"),
        node("ConvTranspose", "part ones", "y", strides=[stride] * 2, group=channels),
    ]
    if stride == kernel:
        scales = np.array([1, 1, kernel, kernel], np.float32)
        spread = Form(
            [node("Div", "x count", "part"),
             node("Resize", "part - scales", "y", mode="nearest", coordinate_transformation_mode="asymmetric",
                  nearest_mode="floor")],
            {"count": count, "scales": scales},
        )  # fmt: skip
        name = "Resize"
    else:
        pool = node("AveragePool", "x", "y", kernel_shape=[kernel] * 2, pads=[kernel - 1] * 4, count_include_pad=1)
        spread, name = Form([pool], {}), "AveragePool"
    return Choice(
        f"transpose of an average pool: {channels} channels, {size} x {size}, kernel {kernel}, stride {stride}",
        {"x": RNG.standard_normal((4, channels, size, size)).astype(np.float32)},
        {"ConvTranspose": Form(scattered, {"ones": ones, "count": count}), name: spread},
    )


def winners(channels: int, size: int) -> Choice:
    """What a max pool of 3 x 3 windows, 2 apart, hands down: by indices, or by comparing slices."""
    out = size // 2
    pool: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    flat = {"row": np.array([-1]), "shape": np.array([-1, channels, size, size])}
    scattered = [
        helper.make_node("MaxPool", ["x"], ["top", "indices"], **pool),
        node("Reshape", "indices row", "places"),
        node("Reshape", "r row", "values"),
        node("Shape", "x", "size"),
        node("ConstantOfShape", "size", "zeros"),
        node("Reshape", "zeros row", "empty"),
        node("ScatterElements", "empty places values", "sums", axis=0, reduction="add"),
        node("Reshape", "sums shape", "y"),
    ]
    constants: dict[str, np.ndarray] = {
        "planes": np.array([-1, 1, size, size]),
        "arriving": np.array([-1, 1, out, out]),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "lowest": np.array(np.finfo(np.float32).min, np.float32),
        "axes": np.array([2, 3]),
        "steps": np.array([2, 2]),
        "first": np.array([1]),
        "before": np.tril(np.ones((9, 9), np.float32), -1).reshape(9, 9, 1, 1),
        "one_hot": np.eye(9, dtype=np.float32).reshape(9, 1, 3, 3),
        "shape": flat["shape"],
    }
    sliced = [node("Reshape", "x planes", "flat"), node("Pad", "flat pads lowest", "padded")]
    for i, (row, column) in enumerate(itertools.product(range(3), repeat=2)):
        constants |= {f"a{i}": np.array([row, column]), f"b{i}": np.array([row, column]) + 2 * out - 1}
        sliced.append(node("Slice", f"padded a{i} b{i} axes steps", f"place{i}"))
    sliced += [
        node("Concat", " ".join(f"place{i}" for i in range(9)), "all", axis=1),
        node("ReduceMax", "all first", "top", keepdims=1),
        node("Equal", "all top", "mask"),
        node("Cast", "mask", "hit", to=1),
        node("Conv", "hit before", "earlier"),
        node("Sub", "hit earlier", "less"),
        node("Relu", "less", "winner"),
        node("Reshape", "r arriving", "flat_r"),
        node("Mul", "winner flat_r", "won"),
        node("ConvTranspose", "won one_hot", "whole", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        node("Reshape", "whole shape", "y"),
    ]
    return Choice(
        f"winners of a max pool: {channels} channels, {size} x {size}, kernel 3, stride 2",
        {
            "x": RNG.standard_normal((4, channels, size, size)).astype(np.float32),
            "r": RNG.standard_normal((4, channels, out, out)).astype(np.float32),
        },
        {"ScatterElements": Form(scattered, flat), "Slices": Form(sliced, constants)},
    )


CHOICES: tuple[Callable[[], Choice], ...] = (
    lambda: transposes(64, 56, 3),
    lambda: transposes(256, 14, 3),
    lambda: transposes(512, 28, 1),
    lambda: transposes(256, 28, 3, groups=256),
    lambda: strided(128, 28, 3),
    lambda: strided(256, 14, 1),
    lambda: steps(256, 56),
    lambda: sums(128, 28),
    lambda: averages(256, 14, 2, 2),
    lambda: averages(256, 14, 3, 1),
    lambda: winners(64, 112),
)


def session_of(form: Form, inputs: dict[str, np.ndarray], provider: str) -> ort.InferenceSession:
    """Open a session over one form."""
    entries = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", *v.shape[1:]]) for k, v in inputs.items()]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(np.asarray(value), key) for key, value in form.constants.items()]
    graph = helper.make_graph(form.nodes, "form", entries, result, constants)
    proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    return open_session(proto.SerializeToString(), [provider])


def measured(choice: Choice, provider: str, rounds: int) -> dict[str, float]:
    """Return milliseconds of each form, the best of interleaved rounds; raises ValueError where forms disagree."""
    sessions = {name: session_of(form, choice.inputs, provider) for name, form in choice.forms.items()}
    results = {name: session.run(None, choice.inputs)[0] for name, session in sessions.items()}
    expected = next(iter(results.values()))
    for name, result in results.items():
        if not np.allclose(result, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
            raise ValueError(f"{choice.title}: {name} computes something else")
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(rounds):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(None, choice.inputs)
            best[name] = min(best[name], 1e3 * (time.perf_counter() - started))
    return best


def main() -> None:
    """Print a Markdown table of every choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[options.provider]
    print("| what | form: ms |\n|---|---|")
    for make in CHOICES:
        choice = make()
        times = sorted(measured(choice, provider, options.rounds).items(), key=lambda entry: entry[1])
        print(f"| {choice.title} | {', '.join(f'{name} {ms:.2f}' for name, ms in times)} |", flush=True)


if __name__ == "__main__":
    main()
