"""What runtimes lack: the operator forms that one of them refuses, or gets wrong.

A form is an operator, or one way of using it. `FORMS` tells whether a node has a form, `LACKS` which runtime lacks it
and how that is known; what no row mentions, a runtime has. `TARGETS` says which runtimes a target stands for: it
lacks what one of them lacks. tests/deploy runs every form that lrpc emits, and every form of this table, on each
runtime that can be installed, and holds the table against what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_INDICES, MAX_UNPOOL, SCATTER_ADD = "MaxPool with Indices", "MaxUnpool", "ScatterElements that adds"
SAME_SHAPE, CELU = "ConvTranspose with output_shape and auto_pad", "Celu with an alpha other than 1"
OUTPUT_SHAPE, COL2IM, NEGATIVE_PAD = "ConvTranspose with output_shape", "Col2Im", "Pad by a negative amount"
POOL_1D = "MaxPool or AveragePool in one dimension"
NO_VALUE = "ConstantOfShape without a value"
LRN_BIAS = "LRN with a bias other than 1"
BOTH_WAYS = "one weight used both ways round"
"""By Conv and ConvTranspose, or by Gemm as it is and transposed."""


@dataclass(frozen=True)
class Use:
    """How a node uses its operator.

    outputs: how many it names.  constants: inputs whose values the file holds.
    both_ways: whether another node reads its weight the other way round.
    """

    op: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    constants: Mapping[int, Any] = field(default_factory=dict)
    both_ways: bool = False


FORMS: dict[str, Callable[[Use], bool]] = {
    MAX_INDICES: lambda use: use.op == "MaxPool" and use.outputs > 1,
    MAX_UNPOOL: lambda use: use.op == "MaxUnpool",
    SCATTER_ADD: lambda use: use.op == "ScatterElements" and use.attributes.get("reduction") == "add",
    OUTPUT_SHAPE: lambda use: use.op == "ConvTranspose" and "output_shape" in use.attributes,
    SAME_SHAPE: lambda use: use.op == "ConvTranspose" and {"output_shape", "auto_pad"} <= use.attributes.keys(),
    COL2IM: lambda use: use.op == "Col2Im",
    NEGATIVE_PAD: lambda use: use.op == "Pad" and 1 in use.constants and bool((use.constants[1] < 0).any()),
    POOL_1D: lambda use: use.op in ("MaxPool", "AveragePool") and len(use.attributes.get("kernel_shape", ())) == 1,
    NO_VALUE: lambda use: use.op == "ConstantOfShape" and "value" not in use.attributes,
    CELU: lambda use: use.op == "Celu" and use.attributes.get("alpha", 1.0) != 1.0,
    LRN_BIAS: lambda use: use.op == "LRN" and use.attributes.get("bias", 1.0) != 1.0,
    BOTH_WAYS: lambda use: use.both_ways,
}


@dataclass(frozen=True)
class Lack:
    """How a runtime fails at a form, and how that is known: "run", or "read" in its source or documentation."""

    known: str
    how: str


LACKS: dict[str, dict[str, Lack]] = {
    "onnxruntime": {},
    "onnxruntime-cuda": {},
    "onnxruntime-node": {},
    "onnxruntime-web": {},
    "webgpu": {MAX_INDICES: Lack("read", "refused: its MaxPool has one output")},
    "openvino": {
        MAX_UNPOOL: Lack("run", "refused"),
        SAME_SHAPE: Lack("run", "wrong"),
        LRN_BIAS: Lack("run", "wrong"),
        BOTH_WAYS: Lack("run", "wrong where it is square: packed for the one, it is taken for the other"),
    },
    "tract": {
        MAX_UNPOOL: Lack("run", "refused"),
        OUTPUT_SHAPE: Lack("run", "wrong"),
        SAME_SHAPE: Lack("run", "ends the process"),
        COL2IM: Lack("run", "refused"),
        NEGATIVE_PAD: Lack("run", "ends the process"),
        NO_VALUE: Lack("run", "wrong: its zeros are float64"),
        CELU: Lack("run", "wrong"),
    },
    "tensorrt": {
        MAX_INDICES: Lack("read", "refused"),
        MAX_UNPOOL: Lack("read", "refused"),
        SCATTER_ADD: Lack("read", "refused where there are more indices than places"),
        COL2IM: Lack("read", "refused"),
        POOL_1D: Lack("read", "refused"),
    },
}
"""By runtime and form. webgpu: onnxruntime-web's second provider, which leaves ops that it does not know to wasm."""

TARGETS: dict[str, tuple[str, ...]] = {
    "cpu": ("onnxruntime", "onnxruntime-node"),
    "cuda": ("onnxruntime-cuda",),
    "web": ("onnxruntime-web", "webgpu"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "tract": ("tract",),
    "portable": tuple(LACKS),
}
"""Which runtimes a target stands for. What CUDA leaves to the CPU, `tests.placement` tells."""


def lacks(target: str) -> dict[str, str]:
    """Return, by form, what a target cannot run and why: 'tract: refused'."""
    found: dict[str, str] = {}
    for runtime in TARGETS[target]:
        for form, lack in LACKS[runtime].items():
            found[form] = f"{found[form]}; {runtime}: {lack.how}" if form in found else f"{runtime}: {lack.how}"
    return found
