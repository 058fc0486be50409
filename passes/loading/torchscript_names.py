"""Module paths from the node names of torch's older exporter: /layer1/layer1.0/conv1/Conv is layer1.0.conv1.

Each part between slashes is a module inside the one before; of one that has a number for a name, the part repeats the
name of the list that it is in.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

import onnx


def torchscript_owners(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the paths of the modules that have modules inside: what they compute themselves is functional."""
    owners = {""}
    for node in nodes:
        parts = _parts(node)
        owners |= {_path(parts[:depth]) for depth in range(len(parts))}
    return owners


def torchscript_name(node: onnx.NodeProto, owners: Container[str]) -> str:
    """Return a layer's name: its module's path, and for a functional op that of the module around it and the op's.

    owners: of all the file's nodes.  Returns "" for a name of another kind.
    """
    if not _is_scoped(node):
        return ""
    path, op = _path(_parts(node)), node.op_type.lower().removeprefix("reduce")  # torch's own word: sum, mean, max
    if path not in owners:
        return path
    return f"{path}.{op}" if path else op


def _is_scoped(node: onnx.NodeProto) -> bool:
    return re.fullmatch(rf"/(.+/)?{re.escape(node.op_type)}(_\d+)?", node.name) is not None


def _parts(node: onnx.NodeProto) -> list[str]:
    return node.name.split("/")[1:-1] if _is_scoped(node) else []


def _path(parts: Iterable[str]) -> str:
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
