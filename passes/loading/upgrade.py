"""Bring an opset to one that lrpc emits and ONNX Runtime runs, and prove that nothing changed."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.reference
import onnx.version_converter
import onnxruntime as ort

from passes.errors import LrpcError
from passes.loading.budget import refuse_large_run
from passes.loading.old_forms import old_forms

OPSET = 18
"""What lrpc emits; every operator form it uses is the same from here to the newest opset."""


Feeds = dict[str, np.ndarray]

IR_VERSION = 10
"""Of what is converted and of probes: every runtime that runs opset 18 and newer reads it, whatever the file's was."""
_SIZES = (32, 1, 224)
_OLDEST_RUNNABLE = 7
_EXPORT_AGAIN = f"Export it again at opset {OPSET} or newer."


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a model imports, 1 where it names none."""
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def upgrade(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at opset 18 or newer, and no newer than ONNX Runtime.

    What is converted is run beside the original. Raises LrpcError where the conversion fails or changes the result.
    """
    version = opset_of(proto)
    newest = _newest_runnable(version)
    wanted = min(max(version, OPSET), newest)
    if wanted == version:
        return proto
    hint = f"Export it again at an opset from {OPSET} to {newest}."
    try:
        converted = onnx.version_converter.convert_version(old_forms(proto, version), wanted)
    except Exception as error:
        raise LrpcError(
            f"The model's opset {version} cannot be converted to {wanted}: {_first_line(error)}", hint=hint
        ) from error
    for old, new in zip(proto.metadata_props, converted.metadata_props, strict=False):
        new.CopyFrom(old)
    converted.ir_version = IR_VERSION
    feeds, expected = _example(proto, interpreted=not _OLDEST_RUNNABLE <= version <= newest)
    if not all(map(_close, expected, _run(converted, feeds))):
        raise LrpcError(f"Converting the model from opset {version} to {wanted} changes its output.", hint=hint)
    return converted


@cache
def _newest_runnable(version: int) -> int:
    """Return the newest opset, from `version` down, of which this ONNX Runtime runs models."""
    value = partial(onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=[1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "probe", [value("x")], [value("y")])
    for opset in range(min(version, onnx.defs.onnx_opset_version()), OPSET, -1):
        imports = [onnx.helper.make_opsetid("", opset)]
        proto = onnx.helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        try:
            _session(proto)
        except Exception:  # not released when this runtime was
            continue
        return opset
    return max(version, OPSET) if version <= OPSET else OPSET


def _close(expected: np.ndarray, actual: np.ndarray) -> bool:
    if not isinstance(expected, np.ndarray) or expected.dtype.kind not in "fiub":
        return bool(np.array_equal(np.asarray(expected, object), np.asarray(actual, object)))
    return expected.shape == actual.shape and np.allclose(expected, actual, rtol=1e-4, atol=1e-5, equal_nan=True)


def _example(proto: onnx.ModelProto, interpreted: bool) -> tuple[Feeds, list[np.ndarray]]:
    """Return inputs that the model takes, and its outputs; dynamic axes get the first size that works."""
    run = _interpret if interpreted else _run
    fixed = all(dim.dim_value for v in proto.graph.input for dim in list(v.type.tensor_type.shape.dim)[1:])
    *sizes, last = _SIZES[:1] if fixed else _SIZES
    for size in sizes:
        feeds = _random_feeds(proto, size, interpreted)
        try:
            return feeds, run(proto, feeds)
        except LrpcError:
            continue
    feeds = _random_feeds(proto, last, interpreted)
    return feeds, run(proto, feeds)


def _random_feeds(proto: onnx.ModelProto, dynamic: int, interpreted: bool) -> Feeds:
    rng = np.random.default_rng(0)
    shapes = {
        value.name: [
            dim.dim_value or (dynamic if axis else 1) for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        ]
        for value in proto.graph.input
    }
    refuse_large_run(proto, shapes, _EXPORT_AGAIN, interpreted)
    feeds = {}
    for value in proto.graph.input:
        tensor, shape = value.type.tensor_type, shapes[value.name]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        feeds[value.name] = rng.standard_normal(shape).astype(dtype)
    return feeds


def _interpret(proto: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    """Run opsets for which ONNX Runtime has no kernels in onnx's own reference implementation."""
    try:
        return list(onnx.reference.ReferenceEvaluator(proto).run(None, feeds))
    except Exception as error:
        raise LrpcError(
            f"The model's opset {opset_of(proto)} is not one that can be run, and its conversion cannot be checked: "
            f"{_first_line(error)}",
            hint=_EXPORT_AGAIN,
        ) from error


def _run(proto: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    try:
        return list(_session(proto).run(None, feeds))
    except Exception as error:
        raise LrpcError(f"ONNX Runtime cannot run the model: {_first_line(error)}", hint=_EXPORT_AGAIN) from error


def _session(proto: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
