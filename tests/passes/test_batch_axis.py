"""Where the batch goes: what mixes samples, or has them along another axis than the first, is refused by name."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import CliRunner

import lrpc
from lrpc.cli import main
from passes.loading.batch_axis import batch_problems
from passes.loading.load import load
from passes.pipeline import canonize
from tests.graphs import model
from tests.passes.cases import node

HEADER = '<ir_version: 8, opset_import: ["" : 18]>\n'
HINT = (
    "Relevance is computed for each sample of a batch by itself: export the model with the batch as the first axis, "
    "or explain a tensor before this one with --output."
)
MOVED = "its result {} has the shape {}, and the batch is not its first axis".format

# graph, then (layer, op, reason) of every problem
REFUSED = {
    "output transposed to (classes, batch)": (
        "g (float[n,4] x) => (float[3,n] y) <float[4,3] w = {1,2,3,4,5,6,7,8,9,1,2,3}> "
        "{ a = MatMul(x, w) y = Transpose<perm = [1, 0]>(a) }",
        [("y", "Transpose", MOVED("y", "(3, n)"))],
    ),
    "transposed by default, batch of 4": (
        "g (float[4,4] x) => (float[4,4] y) { y = Transpose(x) }",
        [("y", "Transpose", MOVED("y", "(4, 4)"))],
    ),
    "transposed inside and back": (
        "g (float[n,4] x) => (float[n,4] y) { a = Transpose<perm = [1, 0]>(x) y = Transpose<perm = [1, 0]>(a) }",
        [("a", "Transpose", MOVED("a", "(4, n)"))],
    ),
    "flat": (
        "g (float[n,2,3] x) => (float[m] y) <int64[1] s = {-1}> { y = Reshape(x, s) }",
        [("y", "output", "it has the shape (m,), with 6 rows for each sample")],
    ),
    "flat, batch of 4": (
        "g (float[4,2,3] x) => (float[24] y) <int64[1] s = {-1}> { y = Reshape(x, s) }",
        [("y", "output", "it has the shape (24,), with 6 rows for each sample")],
    ),
    "flat, batch of 1": (
        "g (float[1,2,3] x) => (float[6] y) <int64[1] s = {-1}> { y = Reshape(x, s) }",
        [("y", "output", "it has the shape (6,), with 6 rows for each sample")],
    ),
    "flattened together with an axis": (
        "g (float[n,2,3] x) => (float[m,3] y) <int64[2] s = {-1,3}> { a = Reshape(x, s) y = Relu(a) }",
        [("y", "output", "it has the shape (m, 3), with 2 rows for each sample")],
    ),
    "flat, whatever the file says of its output": (
        "g (float[n,2,3] x) => (float[n] y) <int64[1] s = {-1}> { y = Reshape(x, s) }",
        [("y", "output", "it has the shape (n,), with 6 rows for each sample")],
    ),
    "rows that begin within a sample": (
        "g (float[n,6] x) => (float[m,4] y) <int64[2] s = {-1,4}> { y = Reshape(x, s) }",
        [("y", "Reshape", MOVED("y", "(m, 4)"))],
    ),
    "rows that begin within a sample, batch of 4": (
        "g (float[4,6] x) => (float[6,4] y) <int64[2] s = {6,4}> { y = Reshape(x, s) }",
        [("y", "Reshape", MOVED("y", "(6, 4)"))],
    ),
    "two samples in a row": (
        "g (float[4,6] x) => (float[2,12] y) <int64[2] s = {2,12}> { y = Reshape(x, s) }",
        [("y", "Reshape", MOVED("y", "(2, 12)"))],
    ),
    "a batch that the file fixes inside": (
        "g (float[n,2,3] x) => (float[1,6] y) <int64[2] s = {1,-1}> { y = Reshape(x, s) }",
        [("y", "Reshape", MOVED("y", "(1, 6)"))],
    ),
    "flattened from the first axis": (
        "g (float[n,2,3] x) => (float[1,m] y) { y = Flatten<axis = 0>(x) }",
        [("y", "Flatten", MOVED("y", "(1, m)"))],
    ),
    "the batch squeezed": (
        "g (float[n,5] x) => (float[5] y) <int64[1] a = {0}> { y = Squeeze(x, a) }",
        [("y", "Squeeze", MOVED("y", "(5,)"))],
    ),
    "the batch of 1 squeezed": (
        "g (float[1,5] x) => (float[5] y) <int64[1] a = {0}> { y = Squeeze(x, a) }",
        [("y", "output", "it has the shape (5,), with 5 rows for each sample")],
    ),
    "every axis of size 1 squeezed": (
        "g (float[n,5,1,1] x) => (float[n,5] y) { y = Squeeze(x) }",
        [("y", "Squeeze", "it drops the batch where that is 1, since it does not say which axes it drops")],
    ),
    "an axis before the batch": (
        "g (float[n,5] x) => (float[1,n,5] y) <int64[1] a = {0}> { y = Unsqueeze(x, a) }",
        [("y", "Unsqueeze", MOVED("y", "(1, n, 5)"))],
    ),
    "a mean over the batch": (
        "g (float[n,5] x) => (float[1,5] y) <int64[1] a = {0}> { y = ReduceMean(x, a) }",
        [("y", "ReduceMean", "it reduces the batch to one value")],
    ),
    "a sum over everything": (
        "g (float[4,5] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }",
        [("y", "ReduceSum", "it reduces the batch to one value")],
    ),
    "a maximum over the batch from the back": (
        "g (float[n,5] x) => (float[5] y) <int64[1] a = {-2}> { y = ReduceMax<keepdims = 0>(x, a) }",
        [("y", "ReduceMax", "it reduces the batch to one value")],
    ),
    "normalised over the batch": (
        "g (float[4,2] x) => (float[4,2] y) <float[4,2] w = {1,2,3,4,5,6,7,8}> { y = LayerNormalization<axis = 0>(x, w) }",
        [("y", "LayerNormalization", "it normalises over the batch")],
    ),
    "joined along the batch": (
        "g (float[n,5] x) => (float[m,5] y) { a = Relu(x) y = Concat<axis = -2>(x, a) }",
        [("y", "Concat", "it joins along the batch")],
    ),
    "one sample of the batch": (
        "g (float[n,2,5] x) => (float[2,5] y) <int64 i = {0}> { y = Gather(x, i) }",
        [("y", "Gather", "it takes parts along the batch")],
    ),
    "half of the batch": (
        "g (float[4,5] x) => (float[2,5] y) <int64[1] s = {0}, int64[1] e = {2}> { y = Slice(x, s, e) }",
        [("y", "Slice", "it takes parts along the batch")],
    ),
    "the batch backwards": (
        "g (float[4,5] x) => (float[4,5] y) <int64[1] s = {-1}, int64[1] e = {-9}, int64[1] a = {0}, int64[1] d = {-1}> "
        "{ y = Slice(x, s, e, a, d) }",
        [("y", "Slice", "it takes parts along the batch")],
    ),
    "split along the batch": (
        "g (float[4,5] x) => (float[2,5] y) { y, z = Split<num_outputs = 2>(x) }",
        [("y", "Split", "it takes parts along the batch")],
    ),
    "padded along the batch": (
        "g (float[4,5] x) => (float[5,5] y) <int64[4] p = {0,0,1,0}> { y = Pad(x, p) }",
        [("y", "Pad", "it pads along the batch")],
    ),
    "resized along the batch": (
        "g (float[2,1,4] x) => (float[4,1,4] y) <float[3] s = {2,1,1}> { y = Resize(x, , s) }",
        [("y", "Resize", "it changes the size of the batch")],
    ),
    "multiplied along the batch": (
        "g (float[4,5] x) => (float[3,5] y) <float[3,4] w = {1,2,3,4,5,6,7,8,9,1,2,3}> { y = MatMul(w, x) }",
        [("y", "MatMul", "it multiplies along the batch")],
    ),
    "stretched by a constant": (
        "g (float[1,2] x) => (float[4,2] y) <float[4,2] w = {1,2,3,4,5,6,7,8}> { y = Add(x, w) }",
        [("y", "Add", MOVED("y", "(4, 2)"))],
    ),
    "displaced by a constant": (
        "g (float[n,2] x) => (float[3,n,2] y) <float[3,1,2] w = {1,2,3,4,5,6}> { y = Mul(x, w) }",
        [("y", "Mul", MOVED("y", "(3, n, 2)"))],
    ),
    "joined with a constant of two samples": (
        "g (float[n,2] x) => (float[n,4] y) <float[2,2] w = {1,2,3,4}> { y = Concat<axis = 1>(x, w) }",
        [("y", "Concat", "its constant w has values of its own for each of 2 samples")],
    ),
    "slopes for each sample": (
        "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {0.1,0.2,0.3,0.4}> { y = PRelu(x, w) }",
        [("y", "PRelu", "its constant w has values of its own for each of 2 samples")],
    ),
}

ACCEPTED = {
    "the input as positions in a table, which is refused as what it is": (
        "g (int64[n] x) => (float[n,2] y) <float[3,2] w = {1,2,3,4,5,6}> { y = Gather(w, x) }"
    ),
    "other axes in another order": "g (float[n,2,3] x) => (float[n,3,2] y) { y = Transpose<perm = [0, 2, 1]>(x) }",
    "flat": "g (float[n,2,3] x) => (float[n,6] y) { y = Flatten(x) }",
    "reshaped, the batch by -1": "g (float[n,2,3] x) => (float[n,6] y) <int64[2] s = {-1,6}> { y = Reshape(x, s) }",
    "reshaped, the batch by 0": "g (float[n,2,3] x) => (float[n,6] y) <int64[2] s = {0,-1}> { y = Reshape(x, s) }",
    "reshaped, the batch of 4 by its size": (
        "g (float[4,2,3] x) => (float[4,6] y) <int64[2] s = {4,-1}> { y = Reshape(x, s) }"
    ),
    "the batch from a shape": (
        "g (float[n,2,3] x) => (float[n,6] y) <int64 z = {0}, int64[1] a = {0}, int64[1] m = {-1}> "
        "{ h = Shape(x) b = Gather(h, z) c = Unsqueeze(b, a) s = Concat<axis = 0>(c, m) y = Reshape(x, s) }"
    ),
    "positions with the batch, for a dense layer, and back": (
        "g (float[n,2,3] x) => (float[n,2,3] y) <int64[2] s = {-1,3}, int64[3] t = {-1,2,3}, float[3,3] w = {1,2,3,4,5,6,7,8,9}> "
        "{ a = Reshape(x, s) b = Gemm(a, w) y = Reshape(b, t) }"
    ),
    "a batch of 1 squeezed and put back": (
        "g (float[1,5] x) => (float[1,5] y) <int64[1] a = {0}> { b = Squeeze(x, a) c = Relu(b) y = Unsqueeze(c, a) }"
    ),
    "every axis of size 1 squeezed, batch of 4": "g (float[4,5,1,1] x) => (float[4,5] y) { y = Squeeze(x) }",
    "a mean over a batch of 1 that stays": (
        "g (float[1,5] x) => (float[1,5] y) <int64[1] a = {0}> { y = ReduceMean(x, a) }"
    ),
    "means over other axes": (
        "g (float[n,2,3] x) => (float[n,2] y) <int64[1] a = {-1}> { y = ReduceMean<keepdims = 0>(x, a) }"
    ),
    "the whole batch taken": (
        "g (float[n,5] x) => (float[n,3] y) <int64[2] s = {0,1}, int64[2] e = {9223372036854775807,4}> { y = Slice(x, s, e) }"
    ),
    "padded along another axis": (
        "g (float[n,5] x) => (float[n,7] y) <int64[2] p = {1,1}, float v = {0}, int64[1] a = {1}> { y = Pad(x, p, v, a) }"
    ),
    "a constant for every channel": (
        "g (float[n,2,3] x) => (float[n,2,3] y) <float[1,2,1] w = {1,2}> { y = Mul(x, w) }"
    ),
}  # fmt: skip


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEADER + text)


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_plan_and_compile_refuse_it_in_the_same_words(text, expected, tmp_path):
    proto = parsed(text)
    told = batch_problems(load(proto))
    assert [(p.layer, p.op, p.reason) for p in told] == expected
    assert {p.hint for p in told} == {HINT}
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    ends = [
        CliRunner().invoke(main, [*words, "--output", "y"])
        for words in (("plan", str(path)), ("compile", str(path), "-o", str(tmp_path / "out.lrp")))
    ]
    assert {end.exit_code for end in ends} == {2}, ends[0].output
    assert ends[0].output == ends[1].output
    canonized = batch_problems(canonize(load(proto)))  # which spells a Split as slices, and names these
    assert all(text in ends[0].output for problem in canonized for text in (problem.layer, problem.op, problem.reason))
    assert canonized
    assert HINT in ends[0].output
    assert not (tmp_path / "out.lrp").exists()


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_what_keeps_samples_apart_is_no_problem(text):
    assert batch_problems(load(parsed(text))) == []


def test_a_tensor_before_the_trouble_is_explained():
    text, _ = REFUSED["output transposed to (classes, batch)"]
    plan = lrpc.plan_model(parsed(text), output="a")
    assert plan.graph.outputs[0].name == "a"


def test_one_number_has_no_batch():
    graph = load(model([node("Reshape", "x s", "y")], {"s": np.zeros(0, np.int64)}, {"x": [1, 1]}, {"y": []}))
    (problem,) = batch_problems(canonize(graph))
    assert (problem.layer, problem.reason) == ("reshape_y", MOVED("y", "()"))


def test_an_input_of_one_number_has_no_batch_either():
    graph = load(model([node("Reshape", "x s", "y")], {"s": np.array([1, 1])}, {"x": []}, {"y": [1, 1]}))
    assert batch_problems(graph) == []
