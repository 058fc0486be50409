"""The config.pbtxt of a graph for Triton's ONNX Runtime backend, as text of the protobuf message ModelConfig."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from passes.errors import LrpcError

KINDS = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}
TYPES: dict[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.DOUBLE: "TYPE_FP64",
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.INT64: "TYPE_INT64",
}

# Triton lets CUDA round factors to 10 bits of mantissa and try every algorithm for each new shape; lrpc does neither.
# The algorithm's parameter is the older spelling, which the backend reads last: 1 is HEURISTIC.
_CUDA = """\
optimization {
  execution_accelerators {
    gpu_execution_accelerator [ { name: "cuda" parameters { key: "use_tf32" value: "0" } } ]
  }
}
parameters { key: "cudnn_conv_algo_search" value { string_value: "1" } }
"""


@dataclass(frozen=True)
class Tensor:
    """An input or output: its shape with the batch, None where a dimension is free."""

    name: str
    type: int
    shape: tuple[int | None, ...]


def signature(proto: onnx.ModelProto) -> tuple[list[Tensor], list[Tensor]]:
    """Return the inputs that a caller must give, and the outputs; inputs with a default are left at it."""
    given = {tensor.name for tensor in proto.graph.initializer}
    inputs = [_tensor(value) for value in proto.graph.input if value.name not in given]
    return inputs, [_tensor(value) for value in proto.graph.output]


def has_free_batch(tensors: Sequence[Tensor]) -> bool:
    """Whether Triton may put requests together: the first dimension of every tensor is free."""
    return all(tensor.shape and tensor.shape[0] is None for tensor in tensors)


def config_text(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    max_batch: int,
    provider: str,
    labels: tuple[str, str] | None = None,
) -> str:
    """Return config.pbtxt.

    max_batch: 0 for a graph whose batch is fixed: its dims then hold the batch too.  provider: "cpu" or "cuda".
    labels: an output's name and the file with a label for each of its values.
    """
    blocks = [
        f"name: {_quote(name)}",
        'platform: "onnxruntime_onnx"',
        'backend: "onnxruntime"',
        f"max_batch_size: {max_batch}",
        *(_block("input", tensor, max_batch > 0) for tensor in inputs),
        *(_block("output", tensor, max_batch > 0, labels) for tensor in outputs),
        f"instance_group [ {{ count: 1 kind: {KINDS[provider]} }} ]",
        "version_policy { latest { num_versions: 1 } }",
    ]
    if max_batch > 1:
        blocks.append("dynamic_batching { }")
    return "\n".join(blocks) + "\n" + (_CUDA if provider == "cuda" else "")


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    if kind.elem_type not in TYPES:
        raise LrpcError(f"{value.name} is of a type ({kind.elem_type}) that lrpc writes into no Triton configuration.")
    return Tensor(value.name, kind.elem_type, shape)


def _block(field: str, tensor: Tensor, batched: bool, labels: tuple[str, str] | None = None) -> str:
    dims = [-1 if size is None else size for size in tensor.shape[1 if batched else 0 :]]
    lines = [f"name: {_quote(tensor.name)}", f"data_type: {TYPES[tensor.type]}"]
    # An empty shape is none to Triton: clients send (n, 1), and the graph gets (n,).
    lines += [f"dims: {dims}"] if dims else ["dims: [1]", "reshape { shape: [] }"]
    if labels is not None and labels[0] == tensor.name:
        lines.append(f"label_filename: {_quote(labels[1])}")
    return f"{field} {{\n" + "".join(f"  {line}\n" for line in lines) + "}"


def _quote(text: str) -> str:
    """Quote a string; those escapes that JSON has, protobuf's text format has too."""
    return json.dumps(text, ensure_ascii=False)
