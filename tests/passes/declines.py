"""What each pass leaves alone, by the reason that it gives: the table of tests/passes/test_declines.py."""

from __future__ import annotations

NORM = "float[3] s = {1,2,3}, float[3] b = {1,2,3}, float[3] m = {0,0,0}, float[3] v = {1,1,1}"
PLAIN = "float[3] s = {1,2,3}, float[3] b = {0,0,0}, float[3] m = {0,0,0}, float[3] v = {1,1,1}"
KERNEL = "float[3,3,1,1] w = {1,2,3,4,5,6,7,8,9}"
PICTURE = "float[n,3,4,4]"


def graph(
    body: str, x: str = PICTURE, y: str = PICTURE, weights: str = "", more_inputs: str = "", more_outputs: str = ""
) -> str:
    """A model from x to y, as text."""
    return f"g ({x} x{more_inputs}) => ({y} y{more_outputs}) <{weights}> {{ {body} }}"


def list_of(*numbers: int, name: str = "k") -> str:
    return f"int64[{len(numbers)}] {name} = {{{','.join(map(str, numbers))}}}"


COLUMN, ROW = (
    f"float[{shape}] {name} = {{{','.join(['1'] * 600)}}}" for name, shape in (("k", "600,1"), ("l", "1,600"))
)
SQUARE = "float[600,600]"
RUNS = list_of(*range(0, 132, 2))
BRANCHES = (
    "If (c) <then_branch = t () => (float[4] p) { p = Neg(k) }, else_branch = e () => (float[4] q) { q = Abs(k) }>"
)
SAME = 'auto_pad = "SAME_UPPER"'
ANY_SIZE, ROWS, THREE = "float[n,3,h,v]", "float[n,4]", "float[n,3]"
PARTS = "a, b = Split <axis = 2, num_outputs = 2> (x) y = Concat <axis = 2> (a, b)"
PADDED = "p = Pad (x, k) y = Conv <pads = [0,0,0,0]> (p, w)"
FLAT, MATRIX = "float[n,9]", "float[3,3] w = {1,2,3,4,5,6,7,8,9}"
TURNED = "a = Transpose <perm = [0,2,3,1]> (x)"
BACK = "y = Transpose <perm = [0,3,1,2]> (b)"

# pass, graph, reason
CASES = {
    "constants that make a large one": (
        "fold_constants", graph("a = MatMul (k, l) y = Add (x, a)", SQUARE, SQUARE, f"{COLUMN}, {ROW}"),
        "its result is larger than 1 MB, and than what it comes from",
    ),
    "constants that are blown up": (
        "fold_constants", graph("a = Expand (k, s) y = Add (x, a)", SQUARE, SQUARE, f"float[1] k = {{1}}, {list_of(600, 600, name='s')}"),
        "its result is too large, or ONNX Runtime cannot compute it",
    ),
    "noise": (
        "fold_constants", graph("a = RandomNormal <shape = [4]> () y = Add (x, a)", ROWS, ROWS), "it gives other values each time",
    ),
    "a constant condition": (
        "fold_constants", graph(f"a = {BRANCHES} y = Add (x, a)", ROWS, ROWS, "bool c = {1}, float[4] k = {1,2,3,4}"), "control flow",
    ),
    "a custom op of constants": (
        "fold_constants", graph("a = acme.Neg (k) y = Add (x, a)", ROWS, ROWS, "float[4] k = {1,2,3,4}"), "an op of acme, not of standard ONNX",
    ),
    "a shape from the input": (
        "fold_constants", graph("a = Reshape (x, k) b = Relu (a) y = Reshape (b, k)", ROWS, "float[n,h]", more_inputs=", int64[r] k"),
        "its shape is computed, and the rank of its result is not known",
    ),
    "a shape of two dynamic axes": (
        "fold_constants", graph("y = Reshape (x, k)", ROWS, "float[n,h]", more_inputs=", int64[2] k"),
        "its shape is computed, and has more than one dynamic axis, or one of size 0",
    ),
    "an axis that is made dynamic": (
        "fold_constants", graph("y = Expand (x, k)", "float[n,1]", "float[n,h]", more_inputs=", int64[2] k"),
        "its shape is computed, and makes a dynamic axis of another one",
    ),
    "some axes resized": (
        "fold_constants", graph("y = Resize <axes = [2, 3]> (x, , , k)", PICTURE, "float[n,3,8,8]", more_inputs=", int64[2] k"),
        "its shape is computed, for some axes only or by an aspect ratio",
    ),
    "nothing but an Identity": (
        "drop_noops", graph("y = Identity (x)"), "it is all that is between the model's input and its output",
    ),
    "an Identity between two outputs": (
        "drop_noops", graph("a = Relu (x) y = Identity (a)", more_outputs=f", {PICTURE} a"),
        "what it reads and what it gives are both outputs of the model",
    ),
    "a Dropout and its mask": (
        "drop_noops", graph("a = Relu (x) y, m = Dropout (a)", more_outputs=", bool[n,3,4,4] m"), "another of its results is an output of the model",
    ),
    "padding by a size that is not known": (
        "spell_attributes", graph(f"y = Conv <{SAME}, strides = [2,2]> (x, w)", ANY_SIZE, "float[n,3,p,q]", KERNEL),
        "the size of its input is dynamic, so its automatic padding is not known",
    ),
    "zeros before automatic padding": (
        "merge_paddings", graph(f"p = Pad (x, k) y = Conv <{SAME}, strides = [2,2]> (p, w)", ANY_SIZE, "float[n,3,p,q]", f"{list_of(0, 0, 0, 0, 0, 0, 1, 1)}, {KERNEL}"),
        "its automatic padding is not known",
    ),
    "zeros that others read": (
        "merge_paddings", graph(f"{PADDED} z = Relu (p)", PICTURE, "float[n,3,5,5]", f"{list_of(0, 0, 0, 0, 0, 0, 1, 1)}, {KERNEL}", more_outputs=", float[n,3,5,5] z"),
        "what conv gives is read by others too",
    ),
    "ones around a picture": (
        "merge_paddings", graph("p = Pad (x, k, one) y = Conv <pads = [0,0,0,0]> (p, w)", PICTURE, "float[n,3,5,5]", f"{list_of(0, 0, 0, 0, 0, 0, 1, 1)}, {KERNEL}, float one = {{1}}"),
        "conv pads with other values than zeros, or by amounts that are computed",
    ),
    "borders that are taken away": (
        "merge_paddings", graph(PADDED, PICTURE, "float[n,3,3,3]", f"{list_of(0, 0, 0, 0, 0, 0, -1, -1)}, {KERNEL}"),
        "conv pads more than the positions, or takes some away",
    ),
    "halves of a dynamic axis": ("spell_slices", graph(PARTS, ANY_SIZE, ANY_SIZE), "the size of the axis that it takes parts of is dynamic"),
    "parts of sizes that are not known": (
        "spell_slices", graph("a, b = Split <axis = 1> (x, k) c = Relu (a) y = Reshape (c, l)", PICTURE, "float[n,h]", list_of(0, -1, name="l"), more_inputs=", int64[2] k"),
        "the sizes of its parts are not known",
    ),
    "one channel of any size": (
        "spell_slices", graph("y = Gather <axis = 1> (x, k)", ANY_SIZE, "float[n,h,v]", "int64 k = {1}"), "its result has more than one dynamic axis",
    ),
    "a Slice from somewhere": (
        "spell_slices", graph("y = Slice (x, k, l, a)", PICTURE, "float[n,3,h,4]", f"{list_of(4, name='l')}, {list_of(2, name='a')}", more_inputs=", int64[1] k"),
        "its positions are computed, or the rank of its input is not known",
    ),
    "a flip of all": (
        "spell_slices", graph("y = Slice (x, k, l, a, t)", weights=f"{list_of(-1)}, {list_of(-9, name='l')}, {list_of(2, name='a')}, {list_of(-1, name='t')}"),
        "it steps backwards",
    ),
    "samples": ("spell_gathers", graph("y = Gather <axis = 0> (x, k)", "float[3,4]", "float[2,4]", list_of(2, 0)), "it chooses along the batch"),
    "no position": (
        "spell_gathers", graph("y = Slice (x, k, l, a, t)", PICTURE, "float[n,3,0,4]", f"{list_of(1)}, {list_of(2, name='l')}, {list_of(2, name='a')}, {list_of(-1, name='t')}"),
        "it chooses no positions",
    ),
    "every other of many": (
        "spell_gathers", graph("y = Gather <axis = 1> (x, k)", "float[n,140]", "float[n,66]", RUNS), "it chooses 66 runs of neighbours, more than 64",
    ),
    "positions from somewhere": (
        "spell_gathers", graph("y = Gather <axis = 1> (x, k)", ROWS, "float[n,2]", more_inputs=", int64[2] k"), "its positions are computed",
    ),
    "a table of positions": (
        "spell_gathers", graph("y = Gather <axis = 1> (x, k)", ROWS, "float[n,1,2]", "int64[1,2] k = {2,0}"), "its positions are no list but a table",
    ),
    "places from somewhere": (
        "spell_gathers", graph("y = GatherND (x, k)", ROWS, "float[2,4]", more_inputs=", int64[2,1] k"), "its positions are computed",
    ),
    "one place": (
        "spell_gathers", graph("y = GatherND (x, k)", "float[3,4]", "float[1]", "int64[1,2] k = {1,0}"), "its positions are no list along one axis",
    ),
    "places without Transposes": (
        "spell_gathers", graph("y = GatherND (x, k)", "float[3,4]", "float[2,4]", "int64[2,1] k = {1,0}"), "it is not between two Transposes",
    ),
    "places between other Transposes": (
        "spell_gathers",
        graph("a = Transpose <perm = [1,2,0]> (x) b = GatherND (a, k) y = Transpose <perm = [1,2,0]> (b)", "float[n,3,4]", "float[4,n,2]", "int64[2,1] k = {1,0}"),
        "the Transposes before and behind it do not undo each other",
    ),
    "a flip of any size": (
        "spell_gathers", graph("y = Slice (x, k, l, a, t)", ANY_SIZE, ANY_SIZE, f"{list_of(-1)}, {list_of(-9, name='l')}, {list_of(2, name='a')}, {list_of(-1, name='t')}"),
        "it steps backwards along an axis of dynamic size",
    ),
    "positions of any size": (
        "spell_gathers", graph("y = Gather <axis = 1> (x, k)", "float[n,c]", "float[n,2]", list_of(2, 0)), "the size of the axis that it chooses along is dynamic",
    ),
    "a shuffle of any size": (
        "spell_shuffles", graph("y = DepthToSpace <blocksize = 2> (x)", "float[n,4,h,v]", "float[n,1,p,q]"), "the size of its input is dynamic",
    ),
    "a product of two": ("spell_einsums", graph('y = Einsum <equation = "ij,ij->ij"> (x, x)', ROWS, ROWS), "it multiplies several tensors"),
    "a diagonal": ("spell_einsums", graph('y = Einsum <equation = "iij->ij"> (x)', "float[3,3,4]", "float[3,4]"), "a letter stands twice in its equation"),
    "an einsum of anything": (
        "spell_einsums", graph('a = Reshape (x, k) b = Einsum <equation = "...->..."> (a) y = Reshape (b, k)', ROWS, "float[n,h]", more_inputs=", int64[r] k"),
        "the rank of its input is not known",
    ),
    "a sum over another axis": (
        "spell_sums", graph("p = Relu (x) q = Tanh (x) c = Concat <axis = 1> (p, q) y = ReduceSum (c, k)", PICTURE, "float[n,6,1,4]", list_of(2)),
        "it sums over other axes than the one that c joins along",
    ),
    "a sum of a constant too": (
        "spell_sums", graph("p = Relu (x) c = Concat <axis = 1> (p, one) y = ReduceSum <keepdims = 0> (c, k)", "float[1,1]", "float[1]", f"{list_of(1)}, float[1,1] one = {{1}}"),
        "c joins constants, or tensors of different shapes",
    ),
    "a sum of any size": (
        "spell_sums", graph("p = Relu (x) q = Tanh (x) c = Concat <axis = 1> (p, q) y = ReduceSum <keepdims = 0> (c, k)", "float[n,1,h]", "float[n,h]", list_of(1)),
        "its input has more than one dynamic axis",
    ),
    "a sum of all channels of two": (
        "spell_sums", graph("p = Relu (x) q = Tanh (x) c = Concat <axis = 1> (p, q) y = ReduceSum (c, k)", PICTURE, "float[n,1,4,4]", list_of(1)),
        "it adds up other blocks than c joins",
    ),
    "a norm of any size": (
        "spell_norms", graph("y = InstanceNormalization (x, s, b)", ANY_SIZE, ANY_SIZE, "float[3] s = {1,2,3}, float[3] b = {1,2,3}"), "the size of its input is dynamic",
    ),
    "a norm with a scale from somewhere": (
        "spell_norms", graph("y = InstanceNormalization (x, s, b)", weights="float[3] b = {1,2,3}", more_inputs=", float[3] s"), "its scale or its shift is computed",
    ),
    "a matrix times the input": ("recognise_dense", graph("y = MatMul (w, x)", "float[3,3]", "float[3,3]", MATRIX), "the constant is on the left"),
    "a product of computed ones": ("recognise_dense", graph("y = MatMul (x, x)", "float[4,4]", "float[4,4]"), "both operands depend on the input"),
    "a product of whole numbers": (
        "recognise_dense",
        graph("i = Cast<to = 7>(x) j = MatMul(i, w) y = Cast<to = 1>(j)", "float[4,2]", "float[4,2]", "int64[2,2] w = {1,2,3,4}"),
        "it multiplies whole numbers",
    ),
    "a batch of matrices": (
        "recognise_dense", graph("y = MatMul (x, w)", "float[1,3,3]", "float[1,3,3]", "float[1,3,3] w = {1,2,3,4,5,6,7,8,9}"),
        "its weight is no matrix, or its input's rank is unknown",
    ),
    "positions of any number": (
        "recognise_dense", graph("y = MatMul (x, w)", "float[n,t,3]", "float[n,t,3]", MATRIX), "its input has more than one dynamic axis",
    ),
    "a Gemm of computed ones": ("recognise_dense", graph("y = Gemm (x, x)", "float[4,4]", "float[4,4]"), "both operands depend on the input"),
    "a Gemm of the transposed": ("recognise_dense", graph("y = Gemm <transA = 1> (x, w)", "float[3,n]", THREE, MATRIX), "its input is transposed"),
    "a bias from somewhere": (
        "recognise_dense", graph("y = Gemm (x, w, c)", THREE, THREE, MATRIX, more_inputs=", float[3] c"), "its bias is not one constant per output",
    ),
    "an activation that others read from": (
        "fuse_activations",
        graph(
            "a = Div (x, k) b = Erf (a) c = Add (b, l) d = Mul (x, c) e = Mul (d, h) y = Add (e, a)",
            weights="float k = {1.41421356}, float l = {1}, float h = {0.5}",
        ),
        "it is part of a Gelu whose inner values are read from outside",
    ),
    "channels last that others read": (
        "move_scales", graph(f"{TURNED} b = Mul (a, k) c = Add (b, a) y = Transpose <perm = [0,3,1,2]> (c)", weights="float[3] k = {1,2,3}"),
        "the result of a is read by others too",
    ),
    "a scale that makes it larger": (
        "move_scales", graph("a = Transpose <perm = [1,0]> (x) y = Mul (a, k)", "float[3,1]", "float[3,3]", "float[3,1] k = {1,2,3}"),
        "its result has another shape than that of a, or one that is not known",
    ),
    "a scale along rows": (
        "move_scales", graph(f"{TURNED} b = Mul (a, k) {BACK}", weights="float[4,1,1] k = {1,2,3,4}"), "its constant is not one value per channel in front of a",
    ),
    "a layer whose result others read": (
        "merge_biases", graph("a = Conv (x, w) b = Add (a, k) y = Mul (a, b)", weights=f"{KERNEL}, float[3,1,1] k = {{1,2,3}}"),
        "the result of a is read by others too",
    ),
    "a shift along rows": (
        "merge_biases", graph("a = Conv (x, w) y = Add (a, k)", weights=f"{KERNEL}, float[4,1] k = {{1,2,3,4}}"), "its constant is not one value per output of a",
    ),
    "a shift behind a bias from somewhere": (
        "merge_biases", graph("a = Conv (x, w, c) y = Add (a, k)", weights=f"{KERNEL}, float[3,1,1] k = {{1,2,3}}", more_inputs=", float[3] c"),
        "the bias of a is not one constant per output",
    ),
    "a scale of any channels": ("spell_scales", graph("y = Mul (x, k)", "float[n,c]", "float[n,c]", "float k = {2}"), "the number of its channels is not known"),
    "a scale that repeats channels": (
        "spell_scales", graph("y = Mul (x, k)", "float[n,1]", "float[n,3]", "float[1,3] k = {1,2,3}"), "its constant makes the result larger, or its shape is not known",
    ),
    "a scale by position": ("spell_scales", graph("y = Mul (x, k)", weights="float[4] k = {1,2,3,4}"), "its constant is not one value per channel"),
    "over nothing": ("spell_scales", graph("y = Div (x, k)", weights="float k = {0}"), "its scale or its shift is not finite"),
    "a norm whose result others read": (
        "join_batchnorms",
        graph("a = BatchNormalization (x, s, b, m, v) c = BatchNormalization (a, s, b, m, v) y = Mul (a, c)", weights=NORM),
        "the result of a is read by others too",
    ),
    "a norm behind one with statistics from somewhere": (
        "join_batchnorms",
        graph("a = BatchNormalization (x, q, b, m, v) y = BatchNormalization (a, s, b, m, v)", weights=NORM, more_inputs=", float[3] q"),
        "a cannot take it up: its statistics are not constants",
    ),
    "a norm that trains": (
        "fold_batchnorm", graph("a = Conv (x, w) y, p, q = BatchNormalization <training_mode = 1> (a, s, b, m, v)", weights=f"{KERNEL}, {NORM}"), "it is in training mode",
    ),
    "statistics from somewhere": (
        "fold_batchnorm", graph("a = Conv (x, w) y = BatchNormalization (a, q, b, m, v)", weights=f"{KERNEL}, {NORM}", more_inputs=", float[3] q"),
        "its statistics are not constants",
    ),
    "a norm of the input": ("fold_batchnorm", graph("y = BatchNormalization (x, s, b, m, v)", weights=NORM), "it follows the model's input, no linear layer to fold into"),
    "a norm of a layer that others read": (
        "fold_batchnorm", graph("a = Conv (x, w) c = BatchNormalization (a, s, b, m, v) y = Mul (a, c)", weights=f"{KERNEL}, {NORM}"),
        "the result of a is read by others too",
    ),
    "a weight from somewhere": (
        "fold_batchnorm", graph("a = Conv (x, w) y = BatchNormalization (a, s, b, m, v)", weights=NORM, more_inputs=", float[3,3,1,1] w"), "the weight of a is no constant",
    ),
    "a norm behind a bias from somewhere": (
        "fold_batchnorm", graph("a = Conv (x, w, c) y = BatchNormalization (a, s, b, m, v)", weights=f"{KERNEL}, {NORM}", more_inputs=", float[3] c"),
        "the bias of a is not one constant per channel",
    ),
    "a scaled product": (
        "fold_batchnorm", graph("a = Gemm <alpha = 2.0> (x, w) y = BatchNormalization (a, s, b, m, v)", THREE, THREE, f"{MATRIX}, {NORM}"), "a scales its product or its bias",
    ),
    "the shift of a norm of positions": (
        "fold_batchnorm_forward",
        graph("a = LayerNormalization (x, one) c = BatchNormalization (a, s, b, m, v) y = Conv <pads = [0,0,0,0]> (c, w)", weights=f"{KERNEL}, {NORM}, float[4] one = {{1,1,1,1}}"),
        "it is the scale and shift of a",
    ),
    "a norm that two layers read": (
        "fold_batchnorm_forward",
        graph("c = BatchNormalization (x, s, b, m, v) d = Conv (c, w) y = Mul (c, d)", weights=f"{KERNEL}, {NORM}"), "d is not all that reads its result",
    ),
    "a norm before a transposed product": (
        "fold_batchnorm_forward",
        graph("c = BatchNormalization (x, s, b, m, v) y = Gemm <transA = 1> (c, k)", "float[2,3]", "float[3,1]", f"{PLAIN}, float[2,1] k = {{1,2}}"), "y transposes its input",
    ),
    "a norm before padding that is not known": (
        "fold_batchnorm_forward",
        graph(f"c = BatchNormalization (x, s, b, m, v) y = Conv <{SAME}, strides = [2,2]> (c, w)", ANY_SIZE, "float[n,3,p,q]", f"{KERNEL}, {PLAIN}"), "the padding of y is not known",
    ),
    "a shift before a transposed convolution": (
        "fold_batchnorm_forward", graph("c = BatchNormalization (x, s, b, m, v) y = ConvTranspose (c, w)", weights=f"{KERNEL}, {NORM}"),
        "y would see its shift through fewer taps at the borders",
    ),
    "a shift before padding": (
        "fold_batchnorm_forward",
        graph("c = BatchNormalization (x, s, b, m, v) y = Conv <pads = [1,1,1,1]> (c, w)", PICTURE, "float[n,3,6,6]", f"{KERNEL}, {NORM}"),
        "y pads with zeros, which the shift does not reach",
    ),
    "a maximum of any size": ("spell_pooling", graph("y = GlobalMaxPool (x)", ANY_SIZE, "float[n,3,1,1]"), "the size of its input is dynamic"),
    "a maximum over axes from somewhere": (
        "spell_pooling", graph("y = ReduceMax (x, k)", PICTURE, "float[n,p,q,r]", more_inputs=", int64[1] k"), "the axes that it reduces are computed",
    ),
    "a mean of any channels": (
        "spell_pooling", graph("y = ReduceMean <keepdims = 0> (x, k)", "float[n,c,4,4]", "float[n,c]", list_of(2, 3)), "the number of its channels is dynamic",
    ),
    "a maximum of the batch": ("spell_pooling", graph("y = ReduceMax (x)", PICTURE, "float[1,1,1,1]"), "it reduces the batch"),
    "a maximum over one axis of any size": (
        "spell_pooling", graph("y = ReduceMax (x, k)", ANY_SIZE, "float[n,3,1,v]", list_of(2)), "the size of its input is dynamic",
    ),
    "a maximum of all": (
        "spell_pooling", graph("y = ReduceMax <keepdims = 0> (x, k)", ROWS, "float[n]", list_of(1)),
        "it reduces no axis, or all but the batch without keeping them",
    ),
    "a shift": ("split_residuals", graph("y = Add (x, k)", weights="float[4] k = {1,2,3,4}"), "it adds a constant"),
    "an addition that repeats": (
        "split_residuals", graph("a = ReduceMax (x, k) y = Add (x, a)", ROWS, ROWS, list_of(1)), "its operands have the shapes (n, 4) and (n, 1)",
    ),
}  # fmt: skip
