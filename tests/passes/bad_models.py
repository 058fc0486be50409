"""Models that cannot be explained, as text, with every problem that is told of them."""

from __future__ import annotations

import onnx
import onnx.parser

HEADER = '<ir_version: 8, opset_import: ["" : 18, "acme": 1]>\n'
STANDARD = "Export the model with standard operators only."
FLOAT32_MODEL = "Compile the float32 model that it was made from."
EVAL = "Call model.eval() before you export it."
FLOAT32_INPUT = "Export the model with a float32 input."

# graph, then (layer, op, reason, hint) of every problem
BAD = {
    "control flow": (
        """g (float[b,4] x) => (float[b,4] y) <bool cond = {1}> {
            h = Relu(x)
            k = Identity(h)
            y = If (cond) <
                then_branch = t () => (float[b,4] p) { p = Neg(k) },
                else_branch = e () => (float[b,4] q) { q = Identity(h) }>
        }""",
        [("y", "If", "control flow: its branches depend on the data", "Export a model without loops and conditions.")],
    ),
    "custom ops": (
        "g (float[b,4] x) => (float[b,4] y) { a = acme.Identity(x) y = acme.Conv(a) }",
        [
            ("a", "Identity", "an op of acme, not of standard ONNX", STANDARD),
            ("y", "Conv", "an op of acme, not of standard ONNX", STANDARD),
        ],
    ),
    "quantised": (
        """g (float[b,4] x) => (float[b,4] y) <float s = {0.1}, uint8 z = {3}> {
            q = QuantizeLinear(x, s, z)
            y = DequantizeLinear(q, s, z)
        }""",
        [
            ("q", "QuantizeLinear", "quantised arithmetic", FLOAT32_MODEL),
            ("y", "DequantizeLinear", "quantised arithmetic", FLOAT32_MODEL),
        ],
    ),
    "int8 weights": (
        """g (float[b,2] x) => (float[b,2] y) <int8[2,2] w = {1,2,3,4}> {
            f = Cast<to = 1>(w)
            y = MatMul(x, f)
        }""",
        [("f", "Cast", "its weight w is quantised to int8", FLOAT32_MODEL)],
    ),
    "BatchNormalization that trains": (
        """g (float[b,2,3] x) => (float[b,2,3] y) <float[2] w = {1,2}> {
            y, m, v = BatchNormalization<training_mode = 1>(x, w, w, w, w)
        }""",
        [("y", "BatchNormalization", "in training mode: it normalises by the batch", EVAL)],
    ),
    "Dropout that trains": (
        """g (float[b,4] x) => (float[b,4] y) <float r = {0.5}> {
            t = Constant<value = bool {1}>()
            y = Dropout(x, r, t)
        }""",
        [("y", "Dropout", "in training mode: it drops values at random", EVAL)],
    ),
    "float64": (
        "g (double[b,2] x) => (double[b,2] y) <double[2,2] w = {1,2,3,4}> { y = MatMul(x, w) }",
        [
            ("y", "MatMul", "its weight w is float64, lrpc compiles float32", "Export the model in float32."),
            ("x", "input", "the input is float64, relevance needs a float32 input", FLOAT32_INPUT),
        ],
    ),
    "bfloat16": (
        "g (bfloat16[b,2] x) => (bfloat16[b,2] y) { y = Relu(x) }",
        [("x", "input", "the input is bfloat16, relevance needs a float32 input", FLOAT32_INPUT)],
    ),
    "an output that nothing explains": (
        "g (float[b,4] x) => (float[4] y) <float[4] w = {1,2,3,4}> { y = Relu(w) }",
        [
            (
                "y", "output", "it does not depend on the input, so nothing explains it",
                "Choose an output that is computed from the input.",
            )
        ],
    ),
}  # fmt: skip


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEADER + text)
