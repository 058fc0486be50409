"""What sort of layer an op is: the words that composites speak in."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of layer. `*_FAMILY` below name zennit's wider groups."""

    CONVOLUTION = "convolution"
    DENSE = "dense"
    BATCH_NORM = "batch_norm"
    LAYER_NORM = "layer_norm"
    """Divides by a deviation, or a root of a mean square, of the values around: LayerNorm, LRN."""
    ACTIVATION = "activation"
    SUM = "sum"
    AVERAGE_POOL = "average_pool"
    MAX_POOL = "max_pool"
    GATE = "gate"
    """A product of a signal and a gate that is computed from it: squeeze-excitation."""
    PRODUCT = "product"
    """A product of two computed tensors of which neither is known to be a gate."""
    STRUCTURE = "structure"
    """Moves values and changes none: flatten, concat, transpose, pad, a branch of a fan-out."""


LINEAR = (Kind.CONVOLUTION, Kind.DENSE)
"""zennit's `Linear`: every layer with a weight."""
