"""The operators that lrpc propagates relevance through, one line each."""

from __future__ import annotations

from lrpc.ops.activation import ACTIVATIONS
from lrpc.ops.batch_norm import BatchNorm
from lrpc.ops.convolution import Convolution, TransposedConvolution
from lrpc.ops.dense import Dense
from lrpc.ops.layer_norm import LayerNorm
from lrpc.ops.max_pool import MaxPool
from lrpc.ops.op import LinearOp, Op, Selection
from lrpc.ops.pool import AveragePool, GlobalAveragePool
from lrpc.ops.product import Product
from lrpc.ops.reduction import Reduction
from lrpc.ops.resize import Resize
from lrpc.ops.response_norm import ResponseNorm
from lrpc.ops.structure import Concat, Identity, Pad, Reshape, Slice, Sum, Transpose
from lrpc.rules.kinds import Kind

__all__ = ["OPS", "LinearOp", "Op", "Selection"]

_TABLE: tuple[Op, ...] = (
    Convolution("Conv", Kind.CONVOLUTION),
    TransposedConvolution("ConvTranspose", Kind.CONVOLUTION),
    Dense("Gemm", Kind.DENSE),
    BatchNorm("BatchNormalization", Kind.BATCH_NORM, elementwise=True),
    LayerNorm("LayerNormalization", Kind.LAYER_NORM, elementwise=True),
    ResponseNorm("LRN", Kind.LAYER_NORM, elementwise=True),
    Sum("Sum", Kind.SUM),
    Reduction("ReduceSum", Kind.SUM),
    Product("Mul", Kind.PRODUCT),
    AveragePool("AveragePool", Kind.AVERAGE_POOL),
    GlobalAveragePool("GlobalAveragePool", Kind.AVERAGE_POOL),
    Reduction("ReduceMean", Kind.AVERAGE_POOL, mean=True),
    Resize("Resize", Kind.AVERAGE_POOL),
    MaxPool("MaxPool", Kind.MAX_POOL),
    *ACTIVATIONS,
    Identity("Identity", Kind.STRUCTURE, elementwise=True),
    Identity("Dropout", Kind.STRUCTURE, elementwise=True),
    Reshape("Flatten", Kind.STRUCTURE),
    Reshape("Reshape", Kind.STRUCTURE),
    Reshape("Squeeze", Kind.STRUCTURE),
    Reshape("Unsqueeze", Kind.STRUCTURE),
    Transpose("Transpose", Kind.STRUCTURE),
    Concat("Concat", Kind.STRUCTURE),
    Slice("Slice", Kind.STRUCTURE),
    Pad("Pad", Kind.STRUCTURE),
)

OPS: dict[str, Op] = {op.name: op for op in _TABLE}
