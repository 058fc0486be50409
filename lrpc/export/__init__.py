"""From a PyTorch model to an ONNX file that keeps what lrpc needs to know of it.

BatchNorm stays in the file, so that folding it is a pass that everybody can see; every node carries its
layer's name, its module's class and the module's place among the leaves; the model carries what
pictures it takes.
"""

from __future__ import annotations

from lrpc.export.conversion import module_to_proto
from lrpc.export.file import export, weight_files
from lrpc.export.loading import Loaded, load_torch

__all__ = ["Loaded", "export", "load_torch", "module_to_proto", "weight_files"]
