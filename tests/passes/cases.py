"""Small graphs, by what a pass does with them: the table of tests/passes/test_passes.py."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def norm_parameters(n: int, prefix: str = "") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    names = ("scale", "shift", "mean", "var")
    return {prefix + name: (rng.random(n) + 0.5).astype(np.float32) for name in names}


def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), output.split(), name=f"{op.lower()}_{output.split()[0]}", **attributes)


def named(name: str, made: onnx.NodeProto) -> onnx.NodeProto:
    """Return the node as lrpc's export names it, so that several can be one layer."""
    made.metadata_props.add(key="lrpc.layer", value=name)
    return made


def stack(axis: int) -> list[onnx.NodeProto]:
    """torch.stack of two activations; its axis is given as the weight `at` too."""
    return [
        node("Relu", "x", "p"), node("Tanh", "x", "q"), node("Unsqueeze", "p at", "p1"), node("Unsqueeze", "q at", "q1"),
        node("Concat", "p1 q1", "s", axis=axis),
    ]  # fmt: skip


JOINED = [
    node("Relu", "x", "p"), node("Tanh", "x", "q"), node("Sigmoid", "x", "o"), node("Concat", "p q o", "j", axis=1),
]  # fmt: skip

NORM = "scale shift mean var"
UNSHIFTED = norm_parameters(4) | {"shift": np.zeros(4, np.float32), "mean": np.zeros(4, np.float32)}


# pass, nodes, weights, input shape, output shape, ops afterwards
CASES = {
    "constants become initializers": (
        "fold_constants",
        [node("Constant", "", "c", value_floats=[1.0, 2.0]), node("Add", "c k", "d"), node("Mul", "x d", "y")],
        {"k": np.float32([3, 4])}, (2,), (2,), ["Mul"],
    ),
    "a computed reshape target becomes constant": (
        "fold_constants",
        [
            node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Unsqueeze", "n axis", "n1"),
            node("Concat", "n1 rest", "t", axis=0), node("Reshape", "x t", "y"),
        ],
        {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([12])}, (3, 4), (12,), ["Reshape"],
    ),
    "no-ops vanish": (
        "drop_noops",
        [
            node("Identity", "x", "a"), node("Dropout", "a", "b"), node("Mul", "b one", "c"), node("Add", "zero c", "d"),
            node("Transpose", "d", "e", perm=[0, 1]), node("Relu", "e", "y"),
        ],
        {"one": np.float32(1), "zero": np.float32(0)}, (4,), (4,), ["Relu"],
    ),
    "a no-op at the output vanishes and the output keeps its name": (
        "drop_noops", [node("Relu", "x", "a"), node("Identity", "a", "y")], {}, (4,), (4,), ["Relu"],
    ),
    "a multiplication by 2 stays": ("drop_noops", [node("Mul", "x two", "y")], {"two": np.float32(2)}, (4,), (4,), ["Mul"]),
    "an average pool of one stays": (
        "drop_noops", [node("AveragePool", "x", "y", kernel_shape=[1, 1])], {}, (2, 3, 3), (2, 3, 3), ["AveragePool"],
    ),
    "same padding is spelled out": (
        "spell_attributes", [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])],
        {"w": normal(3, 2, 3, 3)}, (2, 6, 7), (3, 3, 4), ["Conv"],
    ),
    "output_shape is spelled out": (
        "spell_attributes", [node("ConvTranspose", "x w", "y", output_shape=[8, 9], strides=[2, 2])],
        {"w": normal(2, 3, 3, 3)}, (2, 4, 4), (3, 8, 9), ["ConvTranspose"],
    ),
    "MatMul becomes Gemm": (
        "recognise_dense", [node("MatMul", "x w", "a"), node("Add", "a b", "y")],
        {"w": normal(4, 3), "b": normal(3)}, (4,), (3,), ["Gemm", "Add"],
    ),
    "a MatMul of rank 3 becomes Gemm between reshapes": (
        "recognise_dense", [node("MatMul", "x w", "a"), node("Add", "b a", "y")],
        {"w": normal(4, 3), "b": normal(3)}, (5, 4), (5, 3), ["Reshape", "Gemm", "Reshape", "Add"],
    ),
    "scales of Gemm move into its constants": (
        "recognise_dense", [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0)],
        {"w": normal(4, 3), "b": normal(3)}, (4,), (3,), ["Gemm"],
    ),
    "a shift per channel becomes the bias": (
        "merge_biases", [node("Conv", "x w", "a"), node("Add", "a b", "y")],
        {"w": normal(3, 2, 1, 1), "b": normal(1, 3, 1, 1)}, (2, 4, 4), (3, 4, 4), ["Conv"],
    ),
    "BatchNorm folds into Conv": (
        "fold_batchnorm", [node("Conv", "x w", "a", group=2), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(6, 2, 3, 3), **norm_parameters(6)}, (4, 5, 5), (6, 3, 3), ["Conv"],
    ),
    "BatchNorm folds into ConvTranspose": (
        "fold_batchnorm", [node("ConvTranspose", "x w b", "a", group=2), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(4, 3, 3, 3), "b": normal(6), **norm_parameters(6)}, (4, 5, 5), (6, 7, 7), ["ConvTranspose"],
    ),
    "BatchNorm folds into Gemm": (
        "fold_batchnorm", [node("Gemm", "x w b", "a", transB=1), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(3, 4), "b": normal(3), **norm_parameters(3)}, (4,), (3,), ["Gemm"],
    ),
    "BatchNorm behind Relu stays": (
        "fold_batchnorm", [node("Relu", "x", "a"), node("BatchNormalization", f"a {NORM}", "y")],
        norm_parameters(4), (4, 3), (4, 3), ["Relu", "BatchNormalization"],
    ),
    "BatchNorm of a result that others read stays": (
        "fold_batchnorm",
        [node("Conv", "x w", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("Add", "a b", "y")],
        {"w": normal(4, 2, 1, 1), **norm_parameters(4)}, (2, 3, 3), (4, 3, 3), ["Conv", "BatchNormalization", "Add"],
    ),
    "a mean over space is a global pool": (
        "spell_pooling", [node("ReduceMean", "x axes", "y", keepdims=1)],
        {"axes": np.array([-1, -2])}, (4, 3, 5), (4, 1, 1), ["GlobalAveragePool"],
    ),
    "a mean that drops the axes is a global pool and a reshape": (
        "spell_pooling", [node("ReduceMean", "x axes", "y", keepdims=0)],
        {"axes": np.array([2, 3])}, (4, 3, 5), (4,), ["GlobalAveragePool", "Reshape"],
    ),
    "a window as large as the picture is a global pool": (
        "spell_pooling", [node("AveragePool", "x", "y", kernel_shape=[3, 5])], {}, (4, 3, 5), (4, 1, 1), ["GlobalAveragePool"],
    ),
    "an addition becomes a sum with its shortcut as a branch": (
        "split_residuals", [node("Relu", "x", "a"), node("Add", "x a", "y")], {}, (4,), (4,), ["Relu", "Identity", "Sum"],
    ),
    "an addition that broadcasts stays": (
        "split_residuals", [node("ReduceMax", "x axes", "a", keepdims=1), node("Add", "x a", "y")],
        {"axes": np.array([1])}, (4,), (4,), ["ReduceMax", "Add"],
    ),
    "a Split becomes Slices": (
        "spell_slices",
        [helper.make_node("Split", ["x", "sizes"], ["a", "b"], name="s", axis=1), node("Concat", "b a", "y", axis=1)],
        {"sizes": np.array([1, 3])}, (4, 5), (4, 5), ["Slice", "Slice", "Concat"],
    ),
    "what nothing reads of a Split goes": (
        "spell_slices", [helper.make_node("Split", ["x"], ["a", "y"], name="s", axis=-1, num_outputs=2)],
        {}, (4, 5), (4, 2), ["Slice"],
    ),
    "one position is a Slice": (
        "spell_slices", [node("Gather", "x index", "y", axis=1)], {"index": np.array(-1)}, (4, 5), (5,), ["Slice", "Reshape"],
    ),
    "one position that stays an axis is a Slice": (
        "spell_slices", [node("Gather", "x index", "y", axis=2)], {"index": np.array([2])}, (4, 5), (4, 1), ["Slice"],
    ),
    "several positions stay a Gather": (
        "spell_slices", [node("Gather", "x index", "y", axis=1)], {"index": np.array([2, 0])}, (4, 5), (2, 5), ["Gather"],
    ),
    "mish": (
        "fuse_activations", [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x t", "y")],
        {}, (9,), (9,), ["Mish"],
    ),
    "silu": ("fuse_activations", [node("Sigmoid", "x", "s"), node("Mul", "s x", "y")], {}, (9,), (9,), ["Swish"]),
    "a scale per channel is a BatchNormalization": (
        "spell_scales", [node("Mul", "x c", "y")], {"c": np.arange(1, 5, dtype=np.float32).reshape(4, 1, 1)},
        (4, 5, 5), (4, 5, 5), ["BatchNormalization"],
    ),
    "arithmetic with one number is BatchNormalization": (
        "spell_scales", [node("Div", "x c", "a"), node("Sub", "a c", "b"), node("Add", "b c", "y")],
        {"c": np.float32(2.5)}, (4, 5), (4, 5), ["BatchNormalization"] * 3,
    ),
    "a scale and a shift of channels kept last come before the Transpose": (
        "move_scales",
        [node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Mul", "a c", "b"), node("Add", "b d", "y")],
        {"c": np.arange(1, 5, dtype=np.float32), "d": np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)},
        (4, 5, 6), (5, 6, 4), ["Mul", "Add", "Transpose"],
    ),
    "a scale behind a Transpose that others read stays": (
        "move_scales",
        [node("Transpose", "x", "a", perm=[0, 2, 1]), node("Mul", "a c", "b"), node("Add", "a b", "y")],
        {"c": np.arange(1, 5, dtype=np.float32)}, (4, 5), (5, 4), ["Transpose", "Mul", "Add"],
    ),
    "a scale of channels that are second behind the Transpose stays": (
        "move_scales", [node("Transpose", "x", "a", perm=[0, 2, 1]), node("Mul", "a c", "y")],
        {"c": np.arange(1, 6, dtype=np.float32).reshape(5, 1)}, (4, 5), (5, 4), ["Transpose", "Mul"],
    ),
    "a constant of two axes behind a Transpose stays": (
        "move_scales", [node("Transpose", "x", "a", perm=[0, 2, 1]), node("Mul", "a c", "y")],
        {"c": np.arange(1, 21, dtype=np.float32).reshape(5, 4)}, (4, 5), (5, 4), ["Transpose", "Mul"],
    ),
    "a scale per position stays": (
        "spell_scales", [node("Mul", "x c", "y")], {"c": np.arange(1, 6, dtype=np.float32)}, (4, 5), (4, 5), ["Mul"],
    ),
    "gelu by erf": (
        "fuse_activations",
        [
            node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "half c", "d"),
            node("Mul", "x d", "y"),
        ],
        {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}, (9,), (9,), ["Gelu"],
    ),
    "what only resembles gelu stays": (
        "fuse_activations",
        [node("Erf", "x", "b"), node("Add", "b one", "c"), node("Mul", "half c", "d"), node("Mul", "x d", "y")],
        {"one": np.float32(1), "half": np.float32(0.5)}, (9,), (9,), ["Erf", "Add", "Mul", "Mul"],
    ),
    "a cast of a constant to the type of another is folded": (
        "fold_constants", [node("CastLike", "k x", "c"), node("Mul", "x c", "y")], {"k": np.array(2)}, (4,), (4,), ["Mul"],
    ),
    "a static part of a dynamic shape is folded": (
        "fold_constants",
        [node("Shape", "x", "s"), node("Gather", "s one", "n", axis=0), node("Cast", "n", "f", to=1), node("Mul", "x f", "y")],
        {"one": np.array(1)}, (4,), (4,), ["Mul"],
    ),
    "a computed batch size stays": (
        "fold_constants",
        [node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Cast", "n", "f", to=1), node("Mul", "x f", "y")],
        {"zero": np.array(0)}, (4,), (4,), ["Shape", "Gather", "Cast", "Mul"],
    ),
    "an Expand along the batch gets a constant target": (
        "fold_constants",
        [
            node("Shape", "x", "s", start=0, end=1), node("Concat", "s rest", "t", axis=0), node("Expand", "x t", "y"),
        ],
        {"rest": np.array([3, 5])}, (3, 1), (3, 5), ["Expand"],
    ),
    "a Resize to a computed size resizes its static axes": (
        "fold_constants",
        [
            node("Shape", "x", "s", start=0, end=2), node("Concat", "s rest", "t", axis=0),
            helper.make_node("Resize", ["x", "", "", "t"], ["y"], name="resize", mode="linear"),
        ],
        {"rest": np.array([6, 7])}, (2, 4, 5), (2, 6, 7), ["Resize"],
    ),
    "what would make the file grow by more than 1 MB stays": (
        "fold_constants", [node("Expand", "one shape", "c"), node("Mul", "x c", "y")],
        {"one": np.float32([1]), "shape": np.array([600, 512])}, (600, 512), (600, 512), ["Expand", "Mul"],
    ),
    "a large literal and its transpose are folded": (
        "fold_constants",
        [node("Constant", "", "c", value=numpy_helper.from_array(normal(512, 600))), node("Transpose", "c", "t"), node("MatMul", "x t", "y")],
        {}, (600,), (512,), ["MatMul"],
    ),
    "pools, resizes and slices that change nothing vanish": (
        "drop_noops",
        [
            node("Slice", "x zero end axis", "c"), node("MaxPool", "c", "a", kernel_shape=[1, 1]), helper.make_node("Resize", ["a", "", "ones"], ["b"], name="r"),
            node("Relu", "b", "y"),
        ],
        {"ones": np.ones(4, np.float32), "zero": np.array([0]), "end": np.array([99]), "axis": np.array([2])},
        (2, 3, 3), (2, 3, 3), ["Relu"],
    ),
    "an addition of 0 that widens stays": (
        "drop_noops", [node("Add", "x zero", "y")], {"zero": np.zeros((3, 1), np.float32)}, (1,), (1,), ["Add"],
    ),
    "between input and output a no-op stays": ("drop_noops", [node("Identity", "x", "y")], {}, (4,), (4,), ["Identity"]),
    "the branch of a fan-out stays": (
        "drop_noops", [node("Relu", "x", "r"), node("Identity", "r", "i"), node("Neg", "r", "n"), node("Sum", "n i", "y")],
        {}, (4,), (4,), ["Relu", "Identity", "Neg", "Sum"],
    ),
    "lower same padding is spelled out": (
        "spell_attributes", [node("Conv", "x w", "y", auto_pad="SAME_LOWER", strides=[2, 1])],
        {"w": normal(3, 2, 4, 3)}, (2, 6, 7), (3, 3, 7), ["Conv"],
    ),
    "same padding of pools is spelled out": (
        "spell_attributes",
        [node("MaxPool", "x", "a", kernel_shape=[3, 2], auto_pad="SAME_UPPER"), node("AveragePool", "a", "y", kernel_shape=[2, 2], auto_pad="SAME_LOWER", strides=[2, 2])],
        {}, (2, 6, 7), (2, 3, 4), ["MaxPool", "AveragePool"],
    ),
    "same padding of a transposed convolution is spelled out": (
        "spell_attributes", [node("ConvTranspose", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 3])],
        {"w": normal(2, 3, 3, 4)}, (2, 4, 4), (3, 8, 12), ["ConvTranspose"],
    ),
    "an output_shape beyond the full size becomes output_padding": (
        "spell_attributes", [node("ConvTranspose", "x w", "y", output_shape=[10, 9], strides=[2, 2])],
        {"w": normal(2, 3, 3, 3)}, (2, 4, 4), (3, 10, 9), ["ConvTranspose"],
    ),
    "padding of chosen axes becomes padding of all": (
        "spell_attributes", [helper.make_node("Pad", ["x", "p", "", "axes"], ["y"], name="pad")],
        {"p": np.array([1, 2, 0, 3]), "axes": np.array([-1, 2])}, (2, 4, 4), (2, 9, 5), ["Pad"],
    ),
    "a dense layer along the last axis of a picture": (
        "recognise_dense", [node("MatMul", "x w", "y")],
        {"w": normal(4, 3)}, (2, 5, 4), (2, 5, 3), ["Reshape", "Gemm", "Reshape"],
    ),
    "two computed operands stay a MatMul": (
        "recognise_dense", [node("Relu", "x", "a"), node("MatMul", "x a", "y")], {}, (4, 4), (4, 4), ["Relu", "MatMul"],
    ),
    "a bias of one row is spelled as one value per output": (
        "recognise_dense", [node("Gemm", "x w b", "y")], {"w": normal(4, 3), "b": normal(1, 3)}, (4,), (3,), ["Gemm"],
    ),
    "a shift behind a reshaped Gemm becomes its bias": (
        "merge_biases",
        [node("Reshape", "x rows", "a"), node("Gemm", "a w b", "c"), node("Reshape", "c back", "d"), node("Add", "s d", "y")],
        {"rows": np.array([-1, 4]), "w": normal(4, 3), "b": normal(3), "back": np.array([-1, 5, 3]), "s": normal(3)},
        (5, 4), (5, 3), ["Reshape", "Gemm", "Reshape"],
    ),
    "a shift that differs from place to place stays": (
        "merge_biases", [node("Conv", "x w", "a"), node("Add", "a b", "y")],
        {"w": normal(3, 2, 1, 1), "b": normal(3, 4, 4)}, (2, 4, 4), (3, 4, 4), ["Conv", "Add"],
    ),
    "a shift of a result that others read stays": (
        "merge_biases", [node("Conv", "x w", "a"), node("Add", "a b", "c"), node("Mul", "a c", "y")],
        {"w": normal(3, 2, 1, 1), "b": normal(3, 1, 1)}, (2, 4, 4), (3, 4, 4), ["Conv", "Add", "Mul"],
    ),
    "BatchNorm behind a Gemm with a bias per row stays": (
        "fold_batchnorm", [node("Gemm", "x w b", "a"), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(4, 3), "b": normal(3, 1), **norm_parameters(3)}, (4,), (3,), ["Gemm", "BatchNormalization"],
    ),
    "BatchNorm behind a Gemm with scales stays": (
        "fold_batchnorm", [node("Gemm", "x w b", "a", beta=2.0), node("BatchNormalization", f"a {NORM}", "y")],
        {"w": normal(4, 3), "b": normal(3), **norm_parameters(3)}, (4,), (3,), ["Gemm", "BatchNormalization"],
    ),
    "BatchNorm, scale and shift become one BatchNorm": (
        "join_batchnorms", [node("BatchNormalization", f"x {NORM}", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("BatchNormalization", f"b {NORM}", "y")],
        norm_parameters(4), (4, 3), (4, 3), ["BatchNormalization"],
    ),
    "BatchNorms of which others read the first stay": (
        "join_batchnorms", [node("BatchNormalization", f"x {NORM}", "a"), node("BatchNormalization", f"a {NORM}", "b"), node("Add", "a b", "y")],
        norm_parameters(4), (4, 3), (4, 3), ["BatchNormalization", "BatchNormalization", "Add"],
    ),
    "BatchNorm folds forward into a Conv in groups": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("Conv", "a w b", "y", group=2, strides=[2, 1])],
        {"w": normal(6, 2, 3, 3), "b": normal(6), **norm_parameters(4)}, (4, 5, 5), (6, 2, 3), ["Conv"],
    ),
    "BatchNorm folds forward into a Conv without bias": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("Conv", "a w", "y")],
        {"w": normal(3, 4, 2), **norm_parameters(4)}, (4, 5), (3, 4), ["Conv"],
    ),
    "BatchNorm without a shift folds forward into a padded Conv": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("Conv", "a w b", "y", pads=[1, 1, 1, 1])],
        {"w": normal(5, 4, 3, 3), "b": normal(5), **UNSHIFTED}, (4, 5, 5), (5, 5, 5), ["Conv"],
    ),
    "BatchNorm without a shift folds forward into a ConvTranspose": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("ConvTranspose", "a w b", "y", group=2)],
        {"w": normal(4, 3, 3, 3), "b": normal(6), **UNSHIFTED}, (4, 5, 5), (6, 7, 7), ["ConvTranspose"],
    ),
    "BatchNorm folds forward into a Gemm": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("Gemm", "a w b", "y", transB=1)],
        {"w": normal(3, 4), "b": normal(3), **norm_parameters(4)}, (4,), (3,), ["Gemm"],
    ),
    "BatchNorm folds forward into a Gemm that is not transposed": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("Gemm", "a w", "y")],
        {"w": normal(4, 3), **norm_parameters(4)}, (4,), (3,), ["Gemm"],
    ),
    "BatchNorm with a shift before a padded Conv stays": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("Conv", "a w", "y", pads=[1, 1, 1, 1])],
        {"w": normal(5, 4, 3, 3), **norm_parameters(4)}, (4, 5, 5), (5, 5, 5), ["BatchNormalization", "Conv"],
    ),
    "BatchNorm with a shift before a ConvTranspose stays": (
        "fold_batchnorm_forward", [node("BatchNormalization", f"x {NORM}", "a"), node("ConvTranspose", "a w", "y")],
        {"w": normal(4, 3, 3, 3), **norm_parameters(4)}, (4, 5, 5), (3, 7, 7), ["BatchNormalization", "ConvTranspose"],
    ),
    "BatchNorm before a Conv that others read too stays": (
        "fold_batchnorm_forward",
        [node("BatchNormalization", f"x {NORM}", "a"), node("Conv", "a w", "b"), node("Add", "a b", "y")],
        {"w": normal(4, 4, 1, 1), **norm_parameters(4)}, (4, 3, 3), (4, 3, 3), ["BatchNormalization", "Conv", "Add"],
    ),
    "a global max pool is a pool with one window": (
        "spell_pooling", [node("GlobalMaxPool", "x", "y")], {}, (4, 3, 5), (4, 1, 1), ["MaxPool"],
    ),
    "a window with pads is no global pool": (
        "spell_pooling", [node("AveragePool", "x", "y", kernel_shape=[3, 5], pads=[1, 0, 1, 0], strides=[4, 1])],
        {}, (4, 3, 5), (4, 1, 1), ["AveragePool"],
    ),
    "a tensor added to itself has two branches": (
        "split_residuals", [node("Relu", "x", "a"), node("Add", "a a", "y")], {}, (4,), (4,),
        ["Relu", "Identity", "Identity", "Sum"],
    ),
    "an addition of a constant stays": (
        "split_residuals", [node("Add", "x c", "y")], {"c": normal(4)}, (4,), (4,), ["Add"],
    ),
    "gelu by tanh": (
        "fuse_activations",
        [
            node("Pow", "x three", "a"), node("Mul", "k a", "b"), node("Add", "x b", "c"), node("Mul", "c r", "d"),
            node("Tanh", "d", "e"), node("Add", "one e", "f"), node("Mul", "x f", "g"), node("Mul", "g half", "y"),
        ],
        {
            "three": np.float32(3), "k": np.float32(0.044715), "r": np.float32((2 / np.pi) ** 0.5), "one": np.float32(1),
            "half": np.float32(0.5),
        },
        (9,), (9,), ["Gelu"],
    ),
    "softplus above a threshold": (
        "fuse_activations",
        [
            node("Softplus", "x", "a"), node("Div", "a one", "b"), node("Greater", "x limit", "c"), node("Where", "c x b", "y"),
        ],
        {"one": np.float32(1), "limit": np.float32(20)}, (9,), (9,), ["Softplus"],
    ),
    "hard swish by a clip, divided last": (
        "fuse_activations",
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "x b", "c"), node("Div", "c six", "y")],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}, (9,), (9,), ["HardSwish"],
    ),
    "hard swish by a clip, scaled first": (
        "fuse_activations",
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Mul", "b sixth", "c"), node("Mul", "x c", "y")],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6), "sixth": np.float32(1 / 6)}, (9,), (9,), ["HardSwish"],
    ),
    "hard sigmoid by a clip": (
        "fuse_activations", [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "y")],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}, (9,), (9,), ["HardSigmoid"],
    ),
    "channels in another order": (
        "spell_gathers", [node("Gather", "x order", "y", axis=1)], {"order": np.array([2, -4, 1, 2])}, (4, 3), (4, 3),
        ["Slice", "Slice", "Concat"],
    ),
    "channels in another order, as torch writes it": (
        "spell_gathers",
        [
            node("Transpose", "x", "a", perm=[1, 0, 2]), node("GatherND", "a order", "b"),
            node("Transpose", "b", "y", perm=[1, 0, 2]),
        ],
        {"order": np.array([[2], [1], [0]])}, (3, 4), (3, 4), ["Slice", "Slice", "Slice", "Concat"],
    ),
    "a flip": (
        "spell_gathers", [node("Slice", "x start end axis step", "y")],
        {"start": np.array([-1]), "end": np.array([-(2**62)]), "axis": np.array([-1]), "step": np.array([-1])},
        (2, 3), (2, 3), ["Slice", "Slice", "Slice", "Concat"],
    ),
    "every second position, backwards": (
        "spell_gathers", [node("Slice", "x start end axis step", "y")],
        {"start": np.array([4]), "end": np.array([0]), "axis": np.array([2]), "step": np.array([-2])},
        (2, 6), (2, 2), ["Slice", "Slice", "Concat"],
    ),
    "a flip of many positions stays": (
        "spell_gathers", [node("Slice", "x start end axis step", "y")],
        {"start": np.array([-1]), "end": np.array([-(2**62)]), "axis": np.array([2]), "step": np.array([-1])},
        (2, 65), (2, 65), ["Slice"],
    ),
    "samples in another order stay": (
        "spell_gathers", [node("Gather", "x order", "y", axis=0)], {"order": np.array([1, 0])}, (3,), (3,), ["Gather"],
    ),
    "depth to space by rows": (
        "spell_shuffles", [node("DepthToSpace", "x", "y", blocksize=2)], {}, (8, 3, 2), (2, 6, 4),
        ["Reshape", "Transpose", "Reshape"],
    ),
    "depth to space by columns": (
        "spell_shuffles", [node("DepthToSpace", "x", "y", blocksize=2, mode="CRD")], {}, (8, 3, 2), (2, 6, 4),
        ["Reshape", "Transpose", "Reshape"],
    ),
    "space to depth": (
        "spell_shuffles", [node("SpaceToDepth", "x", "y", blocksize=3)], {}, (2, 6, 3), (18, 2, 1),
        ["Reshape", "Transpose", "Reshape"],
    ),
    "an instance norm": (
        "spell_norms", [node("InstanceNormalization", "x scale shift", "y", epsilon=0.1)], norm_parameters(3), (3, 4, 5),
        (3, 4, 5), ["Reshape", "LayerNormalization", "Reshape", "Mul", "Add"],
    ),
    "an instance norm that scales one channel and shifts another": (
        "spell_norms", [node("InstanceNormalization", "x some few", "y")],
        {"some": np.float32([1, 2, 1]), "few": np.float32([0, 0, 3])}, (3, 4, 5), (3, 4, 5),
        ["Reshape", "LayerNormalization", "Reshape", "Mul", "Add"],
    ),
    "an instance norm of sequences that scales nothing": (
        "spell_norms", [node("InstanceNormalization", "x one zero", "y")],
        {"one": np.ones(3, np.float32), "zero": np.zeros(3, np.float32)}, (3, 7), (3, 7),
        ["Reshape", "LayerNormalization", "Reshape"],
    ),
    "a mean over channels stays": (
        "spell_pooling", [node("ReduceMean", "x axes", "y", keepdims=1)], {"axes": np.array([1])}, (4, 3, 2), (1, 3, 2),
        ["ReduceMean"],
    ),
    "a maximum over channels": (
        "spell_pooling", [node("ReduceMax", "x axes", "y", keepdims=0)], {"axes": np.array([-3])}, (4, 3, 2), (3, 2),
        ["Transpose", "Reshape", "MaxPool", "Reshape"],
    ),
    "a maximum over positions": (
        "spell_pooling", [node("ReduceMax", "x axes", "y", keepdims=0)], {"axes": np.array([2, 3])}, (4, 3, 2), (4,),
        ["MaxPool", "Reshape"],
    ),
    "zeros in front of a convolution that are its own": (
        "merge_paddings",
        [named("conv", node("Pad", "x pads", "p")), named("conv", node("Conv", "p w", "y", pads=[0, 1, 0, 0]))],
        {"pads": np.array([0, 0, 1, 0, 0, 0, 2, 3]), "w": normal(3, 2, 4, 4)}, (2, 6, 5), (3, 6, 6), ["Conv"],
    ),
    "zeros in front of a convolution that are another layer": (
        "merge_paddings", [node("Pad", "x pads", "p"), node("Conv", "p w", "y")],
        {"pads": np.array([0, 0, 1, 0, 0, 0, 2, 3]), "w": normal(3, 2, 4, 4)}, (2, 6, 5), (3, 6, 5), ["Pad", "Conv"],
    ),
    "channels of zeros in front of a convolution": (
        "merge_paddings",
        [named("conv", node("Pad", "x pads", "p")), named("conv", node("Conv", "p w", "y"))],
        {"pads": np.array([0, 1, 0, 0, 0, 0, 0, 0]), "w": normal(3, 3, 2, 2)}, (2, 3, 3), (3, 2, 2), ["Pad", "Conv"],
    ),
    "ones in front of a convolution": (
        "merge_paddings",
        [named("conv", node("Pad", "x pads one", "p")), named("conv", node("Conv", "p w", "y"))],
        {"pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]), "w": normal(3, 2, 2, 2), "one": np.float32(1)}, (2, 3, 3), (3, 3, 3),
        ["Pad", "Conv"],
    ),
    "a sum over all positions stays": (
        "spell_pooling", [node("ReduceSum", "x axes", "y", keepdims=0)], {"axes": np.array([2, 3])}, (4, 3, 2), (4,),
        ["ReduceSum"],
    ),
    "the axes of a sum are counted from the front": (
        "spell_attributes", [node("ReduceSum", "x axes", "y", keepdims=0)], {"axes": np.array([-1, 1])}, (4, 3, 2), (3,),
        ["ReduceSum"],
    ),
    "a sum of one position vanishes": (
        "drop_noops", [node("Relu", "x", "a"), node("ReduceSum", "a axes", "y", keepdims=1)], {"axes": np.array([1])},
        (1, 3), (1, 3), ["Relu"],
    ),
    "a stack along the last axis, and its sum": (
        "spell_sums", [*stack(-1), node("ReduceSum", "s axes", "y", keepdims=0)], {"axes": np.array([-1]), "at": np.array([-1])},
        (4, 3), (4, 3), ["Relu", "Tanh", "Sum"],
    ),
    "a stack along the first axis, and its sum": (
        "spell_sums", [*stack(0), node("ReduceSum", "s axes", "y", keepdims=0)], {"axes": np.array([0]), "at": np.array([0])},
        (4, 3), (4, 3), ["Relu", "Tanh", "Sum"],
    ),
    "a stack whose sum keeps the axis": (
        "spell_sums", [*stack(2), node("ReduceSum", "s axes", "y", keepdims=1)], {"axes": np.array([2]), "at": np.array([2])},
        (4, 3), (4, 1, 3), ["Relu", "Tanh", "Sum", "Reshape"],
    ),
    "a stack that others read too, and its sum": (
        "spell_sums",
        [
            *stack(1), node("ReduceSum", "s axes", "a", keepdims=0), node("ReduceMax", "s axes", "b", keepdims=0),
            node("Add", "a b", "y"),
        ],
        {"axes": np.array([1]), "at": np.array([1])}, (4,), (4,),
        ["Relu", "Tanh", "Unsqueeze", "Unsqueeze", "Concat", "Sum", "ReduceMax", "Add"],
    ),
    "blocks of channels, and their sum": (
        "spell_sums", [*JOINED, node("Reshape", "j to", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        {"axes": np.array([1]), "to": np.array([-1, 3, 4, 5])}, (4, 5), (4, 5), ["Relu", "Tanh", "Sigmoid", "Sum"],
    ),
    "blocks of channels as rows, and their sum": (
        "spell_sums", [*JOINED, node("Reshape", "j to", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        {"axes": np.array([1]), "to": np.array([-1, 3, 20])}, (4, 5), (20,), ["Relu", "Tanh", "Sigmoid", "Sum", "Reshape"],
    ),
    "tensors of one channel each, and their sum": (
        "spell_sums", [*JOINED, node("ReduceSum", "j axes", "y", keepdims=0)], {"axes": np.array([1])}, (1, 5), (5,),
        ["Relu", "Tanh", "Sigmoid", "Sum", "Reshape"],
    ),
    "a sum across blocks of channels is none of branches": (
        "spell_sums", [*JOINED, node("Reshape", "j to", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        {"axes": np.array([1]), "to": np.array([-1, 4, 3, 5])}, (4, 5), (3, 5),
        ["Relu", "Tanh", "Sigmoid", "Concat", "Reshape", "ReduceSum"],
    ),
    "a sum of neighbours among joined channels is none of branches": (
        "spell_sums", [*JOINED, node("Reshape", "j to", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        {"axes": np.array([2]), "to": np.array([-1, 4, 3])}, (4,), (4,),
        ["Relu", "Tanh", "Sigmoid", "Concat", "Reshape", "ReduceSum"],
    ),
    "a sum within blocks of channels is none of branches": (
        "spell_sums", [*JOINED, node("Reshape", "j to", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        {"axes": np.array([2]), "to": np.array([-1, 3, 4, 5])}, (4, 5), (3, 5),
        ["Relu", "Tanh", "Sigmoid", "Concat", "Reshape", "ReduceSum"],
    ),
    "a sum over all joined channels is none of branches": (
        "spell_sums", [*JOINED, node("ReduceSum", "j axes", "y", keepdims=1)], {"axes": np.array([1])}, (2, 5), (1, 5),
        ["Relu", "Tanh", "Sigmoid", "Concat", "ReduceSum"],
    ),
    "an einsum that adds up": (
        "spell_einsums", [node("Einsum", "x", "y", equation="b c h w -> b h w")], {}, (4, 3, 5), (3, 5), ["ReduceSum"],
    ),
    "an einsum that adds up and turns": (
        "spell_einsums", [node("Einsum", "x", "y", equation="bchw->bwc")], {}, (4, 3, 5), (5, 4),
        ["ReduceSum", "Transpose"],
    ),
    "an einsum that turns": (
        "spell_einsums", [node("Einsum", "x", "y", equation="b...a->ba...")], {}, (4, 3, 5), (5, 4, 3), ["Transpose"],
    ),
    "an einsum that tells no result": (
        "spell_einsums", [node("Einsum", "x", "y", equation="acb")], {}, (4, 3), (3, 4), ["Transpose"],
    ),
    "an einsum of a diagonal stays": (
        "spell_einsums", [node("Einsum", "x", "y", equation="bcc->bc")], {}, (3, 3), (3,), ["Einsum"],
    ),
    "an einsum of two tensors stays": (
        "spell_einsums", [node("Einsum", "x x", "y", equation="bc,bc->bc")], {}, (3,), (3,), ["Einsum"],
    ),
    "a maximum over the batch stays": (
        "spell_pooling", [node("ReduceMax", "x axes", "y", keepdims=1)], {"axes": np.array([0])}, (4, 3), (4, 3),
        ["ReduceMax"],
    ),
    "a clip without an upper limit stays": (
        "fuse_activations", [node("Clip", "x low", "a"), node("Pow", "a three", "y")],
        {"low": np.float32(1e-6), "three": np.float32(3)}, (9,), (9,), ["Clip", "Pow"],
    ),
    "a clip to other limits stays": (
        "fuse_activations", [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "y")],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(5)}, (9,), (9,), ["Add", "Clip", "Div"],
    ),
    "gelu whose inner value others read stays": (
        "fuse_activations",
        [
            node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "half c", "d"),
            node("Mul", "x d", "e"), node("Mul", "e c", "y"),
        ],
        {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}, (9,), (9,),
        ["Div", "Erf", "Add", "Mul", "Mul", "Mul"],
    ),
}  # fmt: skip
