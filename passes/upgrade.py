"""Bring an old opset to the oldest one that lrpc emits, and prove that nothing changed."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx.helper
import onnx.reference
import onnx.version_converter
import onnxruntime as ort

from passes.errors import LrpcError

OPSET = 18
"""What lrpc emits; every operator form it uses is the same from here to the newest opset."""


_SIZES = (32, 1, 224)
_MOST_VALUES = 1 << 28
_OLDEST_RUNNABLE = 7
_EXPORT_AGAIN = f"Export it again at opset {OPSET} or newer."


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a model imports, 1 where it names none."""
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def upgrade(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at opset 18 or newer; an upgraded one is run beside the original.

    Raises LrpcError where the upgrade fails or changes the result.
    """
    version = opset_of(proto)
    if version >= OPSET:
        return proto
    try:
        upgraded = onnx.version_converter.convert_version(proto, OPSET)
    except Exception as error:
        raise LrpcError(
            f"The model's opset {version} cannot be upgraded to {OPSET}: {_first_line(error)}",
            hint=_EXPORT_AGAIN,
        ) from error
    for old, new in zip(proto.metadata_props, upgraded.metadata_props, strict=False):
        new.CopyFrom(old)
    _check_same(proto, upgraded, version)
    return upgraded


def _check_same(before: onnx.ModelProto, after: onnx.ModelProto, version: int) -> None:
    feeds, expected = _example(before, version)
    if not all(map(_close, expected, _run(after, feeds))):
        raise LrpcError(
            f"Upgrading the model from opset {version} to {OPSET} changes its output.",
            hint=_EXPORT_AGAIN,
        )


def _close(expected: np.ndarray, actual: np.ndarray) -> bool:
    if not isinstance(expected, np.ndarray) or expected.dtype.kind not in "fiub":
        return bool(np.array_equal(np.asarray(expected, object), np.asarray(actual, object)))
    return expected.shape == actual.shape and np.allclose(expected, actual, rtol=1e-4, atol=1e-5, equal_nan=True)


def _example(proto: onnx.ModelProto, version: int) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Return inputs that the model takes, and its outputs; dynamic axes get the first size that works."""
    run = _run if version >= _OLDEST_RUNNABLE else _interpret
    *sizes, last = _SIZES
    for size in sizes:
        feeds = _random_feeds(proto, size)
        try:
            return feeds, run(proto, feeds)
        except LrpcError:
            continue
    feeds = _random_feeds(proto, last)
    return feeds, run(proto, feeds)


def _random_feeds(proto: onnx.ModelProto, dynamic: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    feeds = {}
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        shape = [dim.dim_value or (dynamic if axis else 1) for axis, dim in enumerate(tensor.shape.dim)]
        if math.prod(shape) > _MOST_VALUES:
            raise LrpcError(f"The input {value.name} has the shape {shape}, which is too large to run the model.")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        feeds[value.name] = rng.standard_normal(shape).astype(dtype)
    return feeds


def _interpret(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run opsets below 7, for which ONNX Runtime has no kernels, in onnx's own reference implementation."""
    try:
        return list(onnx.reference.ReferenceEvaluator(proto).run(None, feeds))
    except Exception as error:
        raise LrpcError(
            f"The model's opset {opset_of(proto)} is older than what can be run, and its upgrade cannot be checked: "
            f"{_first_line(error)}",
            hint=_EXPORT_AGAIN,
        ) from error


def _run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, feeds))
    except Exception as error:
        raise LrpcError(f"ONNX Runtime cannot run the model: {_first_line(error)}", hint=_EXPORT_AGAIN) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
