"""A bundle in memory: its graphs, their large weights once, and its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from lrpc.bundle.manifest import Manifest
from lrpc.bundle.names import EXPLAIN, FORWARD
from lrpc.bundle.store import save_bundle, save_single_file
from lrpc.bundle.weights import take_out
from passes.errors import LrpcError


@dataclass(frozen=True, eq=False)
class Bundle:
    """What `lrpc.compile` makes, `save` writes and `lrpc.Explainer` runs.

    graphs: models by name: "explain", and unless it takes or returns pictures also "forward" and "relevance".
    weights: the values of large initializers, by name; the graphs name them, and hold none of them.
    """

    manifest: Manifest
    graphs: Mapping[str, onnx.ModelProto]
    weights: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, manifest: Manifest, graphs: Mapping[str, onnx.ModelProto], outside: Mapping[str, np.ndarray]) -> Bundle:
        """Make a bundle of whole models, which are emptied of their large weights.

        outside: the values of weights by name; those that a model names and does not hold are among them.
        """
        return cls(manifest, graphs, take_out(graphs, outside))

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the compiled {self.manifest.model.name}"

    @property
    def separate(self) -> bool:
        """Whether it has forward.onnx and relevance.onnx too."""
        return FORWARD in self.graphs

    @property
    def folder(self) -> None:
        """Where its weights lie: nowhere, they are in memory."""
        return

    def source(self, name: str) -> bytes:
        """Return a graph as ONNX Runtime opens it, with `weights` beside it."""
        return bytes(self.graphs[name].SerializeToString())

    def model(self, name: str) -> onnx.ModelProto:
        """Return a copy of a graph, without its large weights."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.graphs[name])
        return copy

    def save(self, path: str | Path, *, force: bool = False, single_file: bool = False) -> Path:
        """Write a bundle folder, or with `single_file` one self-contained explain.onnx; return its path.

        force: replace what lrpc wrote there before.
        Raises LrpcError where `path` is taken or cannot be written, where a folder is wanted of a bundle that takes or
        returns pictures, and where weights exceed what one file can hold.
        """
        path = Path(path)
        if single_file:
            save_single_file(path, self.graphs[EXPLAIN], self.weights, self.manifest, force=force)
            return path
        if not self.separate:
            raise LrpcError(
                "What takes or returns pictures is one file: add --single-file (in Python single_file=True)."
            )
        save_bundle(path, self.graphs, self.weights, self.manifest, force=force)
        return path
