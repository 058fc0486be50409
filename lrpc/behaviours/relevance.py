"""Relevance on its way down, as long as nothing needs it as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter


@dataclass(frozen=True)
class Relevance:
    """cotangent * factor, or the cotangent alone.

    A linear rule hands x * c to its input x. Where several do, x is factored out, and where the layer above
    divides by x again, the product is never made.
    """

    cotangent: gs.Tensor
    factor: gs.Tensor | None = None

    def value(self, emit: Emitter, name: str) -> gs.Tensor:
        """Emit the relevance as one tensor."""
        return self.cotangent if self.factor is None else emit.op("Mul", [self.factor, self.cotangent], name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tensors whose product it is."""
        return tuple(tensor.name for tensor in (self.cotangent, self.factor) if tensor is not None)


def plain(tensors: Sequence[gs.Tensor]) -> list[Relevance]:
    """Take tensors as they are for relevance."""
    return [Relevance(tensor) for tensor in tensors]
