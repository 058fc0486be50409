"""Compile every model of onnx's own test suite; a line of JSON each: `python -m tests.corpus files|nodes|free`.

A program of its own, so that a crash of native code is one failed test that names its model.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import onnx.numpy_helper
import onnxruntime as ort
from onnx.backend.test.loader import load_node_model_tests

import lrpc

DATA = Path(onnx.backend.test.__file__).parent / "data"
Case = tuple[str, onnx.ModelProto, list[np.ndarray], list[np.ndarray]]


def files() -> Iterator[Case]:
    """Every model file of the wheel, with its inputs and outputs where they are there too."""
    for path in sorted(DATA.rglob("*.onnx")):
        proto = onnx.load(path)
        name = path.stem if path.parent.name == "light" else path.parent.name
        sets = path.parent / "test_data_set_0"
        yield (
            name,
            proto,
            *([_values(file) for file in sorted(sets.glob(f"{what}_*.pb"))] for what in ("input", "output")),
        )


def nodes() -> Iterator[Case]:
    """Every generated test of a single node."""
    for case in load_node_model_tests():
        inputs, outputs = case.data_sets[0]
        if case.model is not None:
            yield case.name, _frozen(case.model, inputs), list(inputs), list(outputs)


def free() -> Iterator[Case]:
    """Every generated test of a single node, with a batch of any size: the first axis of its input has no size."""
    for name, proto, feeds, results in nodes():
        weights = {tensor.name for tensor in proto.graph.initializer}
        entry = next((value for value in proto.graph.input if value.name not in weights), None)
        if entry is None or not entry.type.tensor_type.shape.dim:
            continue
        entry.type.tensor_type.shape.dim[0].dim_param = "batch"
        for dim in (dim for value in proto.graph.output for dim in value.type.tensor_type.shape.dim):
            dim.Clear()
        yield name, proto, feeds[:1], results


def _frozen(proto: onnx.ModelProto, feeds: Sequence[object]) -> onnx.ModelProto:
    """Give every input but the first the value that the test gives it, as a network holds its weights."""
    frozen = onnx.ModelProto()
    frozen.CopyFrom(proto)
    for value, array in list(zip(proto.graph.input, feeds, strict=False))[1:]:
        if isinstance(array, np.ndarray | np.generic) and array.dtype.kind in "fiub":
            frozen.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), value.name))
    return frozen


def _values(file: Path) -> np.ndarray:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(file.read_bytes())
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (TypeError, ValueError):  # a sequence, which no model that compiles takes
        return np.zeros(0)


def explained(proto: onnx.ModelProto, feeds: list[np.ndarray], results: list[np.ndarray], folder: Path) -> str:
    """Return "" for a model whose bundle is right, else what is wrong; lets LrpcError pass."""
    output = scores(proto)
    path = folder / "model.onnx"
    onnx.save(proto, path)
    bundle = lrpc.compile(path, output=output, seed_input=True).save(folder / "model.lrp")
    try:
        return _ran(lrpc.Explainer(bundle), proto, feeds, results, output)
    except lrpc.LrpcError as error:
        return f"it compiles, and does not run: {error}"


def _ran(
    explainer: lrpc.Explainer, proto: onnx.ModelProto, feeds: list[np.ndarray], results: list[np.ndarray], output: str
) -> str:
    x, expected = _expected(proto, feeds, results, output, explainer.manifest.input.name)
    seed = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
    result = explainer(x, seed)
    if result.output.shape != expected.shape or not np.allclose(
        result.output, expected, rtol=1e-3, atol=1e-4, equal_nan=True
    ):
        return f"the forward output differs: {np.abs(result.output - expected).max() if expected.size else ''}"
    if result.relevance.shape != x.shape or not np.isfinite(result.relevance).all():
        return "relevance is not finite, or not shaped as the input"
    return ""


def explained_alone(proto: onnx.ModelProto, feeds: list[np.ndarray], results: list[np.ndarray], folder: Path) -> str:
    """Return "" for a model that explains a batch of 3 as it explains each of its samples alone, else what is wrong."""
    path = folder / "model.onnx"
    onnx.save(proto, path)
    bundle = lrpc.compile(path, output=scores(proto), seed_input=True).save(folder / "model.lrp")
    try:
        explainer = lrpc.Explainer(bundle)
        given = np.asarray(feeds[0], np.float32)
        sizes = zip(explainer.manifest.input.shape, given.shape[1:], strict=True)
        batch = np.resize(given, (3, *(own if size is None else size for size, own in sizes)))
        ones = [one[None] for one in batch]
        seeds = [np.ones(results[0].shape[1:], np.float32)[None]] * len(ones)
        together = explainer(batch, np.concatenate(seeds))
        alone = [explainer(one, seed) for one, seed in zip(ones, seeds, strict=True)]
    except lrpc.LrpcError as error:
        return f"it compiles, and does not run: {error}"
    for name in ("output", "relevance"):
        whole, parts = getattr(together, name), np.concatenate([getattr(one, name) for one in alone])
        if whole.shape != parts.shape or not np.allclose(whole, parts, rtol=1e-4, atol=1e-6, equal_nan=True):
            return f"the {name} of a sample depends on the others of its batch"
    return ""


def scores(proto: onnx.ModelProto) -> str:
    """Return what is explained: the first output, or in a network what its last softmax reads."""
    last = proto.graph.node[-1]
    return last.input[0] if last.op_type == "Softmax" and len(proto.graph.node) > 5 else proto.graph.output[0].name


def _expected(
    proto: onnx.ModelProto, feeds: list[np.ndarray], results: list[np.ndarray], output: str, entry: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return an input and what ONNX Runtime computes of it, or what the suite says where it has no kernel."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    shapes = [[dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim] for value in inputs]
    rng = np.random.default_rng(0)
    given = feeds or [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    by_name = {value.name: array for value, array in zip(inputs, given, strict=False)}
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    if output not in {value.name for value in whole.graph.output}:
        whole.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (expected,) = session.run([output], by_name)
    except Exception:
        expected = results[0]
    return by_name[entry], expected


def main(kind: str) -> None:
    """Print a line for each model: its name, its ops, and what came of it."""
    warnings.simplefilter("ignore")
    cases, check = {"files": (files, explained), "nodes": (nodes, explained), "free": (free, explained_alone)}[kind]
    for name, proto, feeds, results in cases():
        ops = sorted({node.op_type for node in proto.graph.node})
        print(json.dumps({"begins": name}), flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                wrong = check(proto, feeds, results, Path(folder))
                end, text = ("wrong", wrong) if wrong else ("compiled", "")
            except lrpc.LrpcError as error:
                end, text = "refused", str(error)
            except Exception as error:
                end, text = "crashed", repr(error)
        print(json.dumps({"name": name, "ops": ops, "end": end, "text": text}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
