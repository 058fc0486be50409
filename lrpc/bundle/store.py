"""The bundle on disk: three graphs, their weights once, and a manifest.

What a server needs to read one is here and in `lrpc.runtime.explainer`: numpy, onnx and onnxruntime.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import replace as altered
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper

from lrpc.bundle.atomic import beside, check_free, replace
from lrpc.bundle.manifest import Fingerprint, Manifest, read_manifest
from passes.errors import LrpcError

WEIGHTS, MANIFEST, METADATA_KEY = "weights.bin", "manifest.json", "lrpc.manifest"
_ALIGNMENT = 64
_SMALL = 1024
"""Initializers of fewer bytes stay in the graph: shapes, epsilons, biases of small layers."""

_GRAPHS = ("forward.onnx", "relevance.onnx", "explain.onnx")
_AGAIN = "Compile the model again: `lrpc compile MODEL.onnx --force`."


def save_bundle(
    path: Path,
    graphs: Mapping[str, onnx.ModelProto],
    manifest: Manifest,
    *,
    force: bool = False,
    outside: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a bundle folder, beside its place first and then by renaming.

    graphs: models by name ("forward" becomes forward.onnx); they are emptied of their large weights, which go into
    weights.bin once.  outside: the values of weights that a model names and does not hold.
    Raises LrpcError where `path` is taken.
    """
    check_free(path, MANIFEST, force)
    with beside(path) as draft:
        write_graphs(draft, graphs, outside or {})
        files = {file.name: _fingerprint(file) for file in sorted(draft.iterdir())}
        (draft / MANIFEST).write_text(altered(manifest, files=files).to_json() + "\n", encoding="utf-8")
        replace(draft, path)


def write_graphs(folder: Path, graphs: Mapping[str, onnx.ModelProto], outside: Mapping[str, np.ndarray]) -> None:
    """Write models into a folder, their large weights once; see `save_bundle`."""
    _write_weights(folder / WEIGHTS, graphs, outside)
    for name, proto in graphs.items():
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString(deterministic=True))


def save_single_file(path: Path, explain: onnx.ModelProto, manifest: Manifest, *, force: bool = False) -> None:
    """Write one self-contained explain.onnx that carries its manifest in `metadata_props`."""
    check_free(path, MANIFEST, force)
    explain.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    with beside(path) as draft:
        file = draft / path.name
        onnx.save(explain, file)
        os.replace(file, path)


def load_manifest(path: Path, verify: bool = True) -> Manifest:
    """Read the manifest of a bundle folder or of a single-file explain.onnx.

    verify: hold every file of a folder against its checksum, which reads them all; their sizes are checked in any case.
    Raises LrpcError for anything else, for another format, for a field that is missing or cannot be, and where a file
    is missing, cut short or altered.
    """
    if path.is_dir():
        return _folder_manifest(path, verify)
    if path.is_file():
        return _single_file_manifest(path)
    raise LrpcError(f"{path} does not exist.", hint="`lrpc compile MODEL.onnx` writes a bundle.")


def verify_files(path: Path, manifest: Manifest, names: Collection[str]) -> None:
    """Raise LrpcError where a file of a bundle folder is not, byte by byte, what was written. names: which to read."""
    for name in names:
        if name in manifest.files and _fingerprint(path / name).sha256 != manifest.files[name].sha256:
            raise LrpcError(
                f"{path} is damaged: {name} is not the file that lrpc wrote (its SHA-256 differs).", hint=_AGAIN
            )


def _folder_manifest(path: Path, verify: bool) -> Manifest:
    try:
        text = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise LrpcError(f"{path} is not a bundle: it has no readable {MANIFEST}.", hint=_AGAIN) from error
    manifest = read_manifest(text, str(path / MANIFEST), _AGAIN)
    if untold := [name for name in _GRAPHS if name not in manifest.files]:
        raise LrpcError(f"{path / MANIFEST} cannot be used: files: it tells nothing of {untold[0]}.", hint=_AGAIN)
    for name, fingerprint in manifest.files.items():
        file = path / name
        if Path(name).name != name or not file.is_file() or file.stat().st_size != fingerprint.bytes:
            raise LrpcError(f"{path} is damaged: {name} is missing or has the wrong size.", hint=_AGAIN)
    if verify:
        verify_files(path, manifest, manifest.files)
    return manifest


def _single_file_manifest(path: Path) -> Manifest:
    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise LrpcError(f"{path} is not an ONNX file, or it is truncated.") from error
    texts = [entry.value for entry in proto.metadata_props if entry.key == METADATA_KEY]
    if not texts:
        raise LrpcError(
            f"{path} is a model, not an explanation graph.", hint=f"Compile it first: `lrpc compile {path}`."
        )
    return read_manifest(texts[0], f"The manifest in {path}", _AGAIN)


def _write_weights(path: Path, graphs: Mapping[str, onnx.ModelProto], outside: Mapping[str, np.ndarray]) -> None:
    """Move every large initializer out; the same name in several graphs is the same weight."""
    places: dict[str, tuple[int, int]] = {}
    with path.open("wb") as file:
        for proto in graphs.values():
            for tensor in proto.graph.initializer:
                data = _values(tensor, outside)
                if data.nbytes < _SMALL:
                    continue
                if tensor.name not in places:
                    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
                    places[tensor.name] = (file.tell(), data.nbytes)
                    file.write(data)
                _point(tensor, *places[tensor.name])


def _values(tensor: onnx.TensorProto, outside: Mapping[str, np.ndarray]) -> memoryview:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return np.ascontiguousarray(outside[tensor.name]).data.cast("B")
    return memoryview(_raw(tensor))


def _raw(tensor: onnx.TensorProto) -> bytes:
    if not tensor.HasField("raw_data"):
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    return bytes(tensor.raw_data)


def _point(tensor: onnx.TensorProto, offset: int, length: int) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def _fingerprint(file: Path) -> Fingerprint:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Fingerprint(file.stat().st_size, digest)
