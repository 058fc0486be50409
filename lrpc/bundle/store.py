"""The bundle on disk: three graphs, their weights once, and a manifest.

What a server needs to read one is here and in `lrpc.runtime.explainer`: numpy, onnx and onnxruntime.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from dataclasses import replace as altered
from pathlib import Path

import numpy as np
import onnx

from lrpc.bundle.atomic import beside, check_free, replace
from lrpc.bundle.manifest import Fingerprint, Manifest, read_manifest
from lrpc.bundle.names import EXPLAIN, FORWARD, SEPARATE
from lrpc.bundle.weights import WEIGHTS, put_back, size_of, take_out, write_weights
from passes.errors import LrpcError
from passes.loading.file_errors import file_errors

MANIFEST, METADATA_KEY = "manifest.json", "lrpc.manifest"
_GRAPHS = tuple(f"{name}.onnx" for name in (FORWARD, SEPARATE, EXPLAIN))
_LARGEST = (1 << 31) - 1
"""Bytes of one ONNX file, the most that protobuf reads."""
_AGAIN = "Compile the model again: `lrpc compile MODEL.onnx --force`."


def save_bundle(
    path: Path,
    graphs: Mapping[str, onnx.ModelProto],
    weights: Mapping[str, np.ndarray],
    manifest: Manifest,
    *,
    force: bool = False,
) -> None:
    """Write a bundle folder, beside its place first and then by renaming.

    graphs: models by name ("forward" becomes forward.onnx).  weights: what was taken out of them.
    Raises LrpcError where `path` is taken or cannot be written.
    """
    with file_errors(path, "written"):
        check_free(path, MANIFEST, force)
        with beside(path) as draft:
            _write(draft, graphs, weights)
            files = {file.name: _fingerprint(file) for file in sorted(draft.iterdir())}
            (draft / MANIFEST).write_text(altered(manifest, files=files).to_json() + "\n", encoding="utf-8")
            replace(draft, path)


def write_graphs(folder: Path, graphs: Mapping[str, onnx.ModelProto], outside: Mapping[str, np.ndarray]) -> None:
    """Write whole models into a folder, their large weights once. outside: see `Bundle.of`."""
    _write(folder, graphs, take_out(graphs, outside))


def save_single_file(
    path: Path,
    explain: onnx.ModelProto,
    weights: Mapping[str, np.ndarray],
    manifest: Manifest,
    *,
    force: bool = False,
) -> None:
    """Write one self-contained explain.onnx that carries its manifest in `metadata_props`; see `save_bundle`.

    Raises LrpcError too where the weights are more than one file can hold.
    """
    if size_of(explain, weights) > _LARGEST:
        raise LrpcError(
            f"{explain.graph.name} has more than 2 GB of weights, the most that one ONNX file can hold: "
            "no --single-file.",
            hint="Compile a bundle, whose weights are in a file of their own.",
        )
    with file_errors(path, "written"):
        check_free(path, MANIFEST, force)
        whole = put_back(explain, weights)
        whole.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
        with beside(path) as draft:
            file = draft / path.name
            onnx.save(whole, file)
            os.replace(file, path)


@dataclass(frozen=True)
class Stored:
    """A bundle on disk, with the properties and methods of `lrpc.bundle.memory.Bundle`: a folder, or a single file."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path)

    @property
    def separate(self) -> bool:
        """Whether it has forward.onnx and relevance.onnx too."""
        return self.path.is_dir()

    @property
    def folder(self) -> Path:
        """Where its weights lie."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """What of its weights is in memory: nothing."""
        return {}

    def source(self, name: str) -> Path:
        """Return the file that holds a graph."""
        return self.path / f"{name}.onnx" if self.path.is_dir() else self.path

    def model(self, name: str) -> onnx.ModelProto:
        """Read a graph, of a folder without its large weights."""
        return onnx.load(self.source(name), load_external_data=False)


def load_bundle(path: Path, verify: bool = True) -> Stored:
    """Return a bundle on disk; parameters and errors are those of `load_manifest`."""
    return Stored(path, load_manifest(path, verify))


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


def _write(folder: Path, graphs: Mapping[str, onnx.ModelProto], weights: Mapping[str, np.ndarray]) -> None:
    write_weights(folder / WEIGHTS, weights)
    for name, proto in graphs.items():
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString(deterministic=True))


def _fingerprint(file: Path) -> Fingerprint:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Fingerprint(file.stat().st_size, digest)
