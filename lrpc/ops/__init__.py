"""The operators that lrpc propagates relevance through, one row each: what is known of an op stands on its row."""

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

__all__ = ["COPIES", "OPS", "LinearOp", "Op", "Selection"]

_TABLE: tuple[Op, ...] = (
    Convolution("Conv", Kind.CONVOLUTION, spatial=True, zennit=True),
    TransposedConvolution("ConvTranspose", Kind.CONVOLUTION, spatial=True, zennit=True),
    Dense("Gemm", Kind.DENSE, zennit=True),
    BatchNorm("BatchNormalization", Kind.BATCH_NORM, elementwise=True, zennit=True),
    LayerNorm("LayerNormalization", Kind.LAYER_NORM, elementwise=True),
    ResponseNorm("LRN", Kind.LAYER_NORM, elementwise=True),
    Sum("Sum", Kind.SUM, zennit=True),
    Reduction("ReduceSum", Kind.SUM),
    Product("Mul", Kind.PRODUCT),
    AveragePool("AveragePool", Kind.AVERAGE_POOL, spatial=True, zennit=True),
    GlobalAveragePool("GlobalAveragePool", Kind.AVERAGE_POOL, spatial=True, zennit=True),
    Reduction("ReduceMean", Kind.AVERAGE_POOL, mean=True),
    Resize("Resize", Kind.AVERAGE_POOL, spatial=True),
    MaxPool("MaxPool", Kind.MAX_POOL, spatial=True, zennit=True),
    *ACTIVATIONS,
    Identity("Identity", Kind.STRUCTURE, elementwise=True, copies=True),
    Identity("Dropout", Kind.STRUCTURE, elementwise=True, copies=True),
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
COPIES = frozenset(op.name for op in _TABLE if op.copies)
"""The names of those that hand their input on as it is."""
