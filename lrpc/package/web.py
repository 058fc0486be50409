"""A static web page around a single file: a picture in, a heatmap out, in the browser.

The page itself is in `page/`; ONNX Runtime Web, which runs the file there, comes from its npm package.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime as ort

from lrpc.bundle.atomic import beside, check_free, replace
from lrpc.bundle.manifest import Manifest
from lrpc.bundle.names import TARGET
from lrpc.bundle.store import load_manifest
from lrpc.version import VERSION
from passes.errors import LrpcError

RUNTIME_VERSION = "1.30.0"
RUNTIME = Path("node_modules/onnxruntime-web/dist")
"""Where npm puts it, below the working directory."""

_RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_NOTICES = ("LICENSE", "ThirdPartyNotices.txt")
"""Of ONNX Runtime; the npm package leaves them out, the Python package has them."""
_SOURCE = Path(__file__).parent / "page"
_MODEL, _DESCRIPTION, _ORT = "model.onnx", "model.json", "ort"


def package_web(
    file: str | Path,
    folder: str | Path,
    *,
    runtime: str | Path = RUNTIME,
    title: str | None = None,
    force: bool = False,
) -> Path:
    """Write a folder that any web server serves: page, model and runtime; nothing in it asks for anything outside.

    file: compiled with --single-file --preprocess --heatmap --target portable.  runtime: the `dist` of the npm package
    onnxruntime-web.  title: of the page; the file's name by default.  force: replace a page that is there.
    Raises LrpcError for any other file, for a runtime that is not there or of another version, and where the folder
    is taken.
    """
    file, folder, runtime = Path(file), Path(folder), Path(runtime)
    manifest = _check_file(file)
    _check_runtime(runtime)
    check_free(folder, _DESCRIPTION, force, "page")
    with beside(folder) as draft:
        for source in sorted(_SOURCE.iterdir()):
            shutil.copyfile(source, draft / source.name)
        (draft / _ORT).mkdir()
        for name in _RUNTIME_FILES:
            shutil.copyfile(runtime / name, draft / _ORT / name)
        for name in _NOTICES:
            shutil.copyfile(Path(ort.__file__).parent / name, draft / _ORT / name)
        shutil.copyfile(file, draft / _MODEL)
        entry = _description(manifest, title or file.name.removesuffix(".onnx").removesuffix(".explain"))
        sizes = {"bytes": draft / _MODEL, "runtime_bytes": draft / _ORT / _RUNTIME_FILES[-1]}
        entry |= {key: path.stat().st_size for key, path in sizes.items()}
        (draft / _DESCRIPTION).write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
        replace(draft, folder)
    return folder


def _description(manifest: Manifest, title: str) -> dict[str, Any]:
    """Return what the page knows of its model."""
    assert manifest.heatmap is not None
    height, width, _ = manifest.heatmap.shape
    return {
        "title": title,
        "lrpc": VERSION,
        "file": _MODEL,
        "output": manifest.output.name,
        "count": manifest.output.shape[0],
        "classes": manifest.classes,
        "height": height,
        "width": width,
        "thresholds": asdict(manifest.thresholds),
    }


def _check_file(file: Path) -> Manifest:
    """Return a file's manifest; LrpcError tells all that a page would miss of it."""
    wanted = "lrpc compile MODEL.onnx --single-file --preprocess --heatmap --target portable"
    hint = f"Compile it so: `{wanted}`."
    if file.is_dir():
        raise LrpcError(f"{file} is a folder; a page needs a single file.", hint=hint)
    try:
        manifest = load_manifest(file)
    except LrpcError as error:
        raise LrpcError(error.headline, hint=hint) from error
    told = {"--preprocess": manifest.picture, "--heatmap": manifest.heatmap}
    missing = [option for option, picture in told.items() if picture is None]
    if manifest.target != "portable":
        missing.append("--target portable")
    if missing:
        raise LrpcError(f"{file} was compiled without {', '.join(missing)}, which a page needs.", hint=hint)
    if others := manifest.others:
        names = ", ".join(other.name for other in others)
        raise LrpcError(f"{file} takes the inputs {names} too; a page has a picture only.")
    if manifest.seed != TARGET:
        raise LrpcError(f"{file} was compiled with --seed-input; a page explains classes.", hint=hint)
    return manifest


def _check_runtime(runtime: Path) -> None:
    install = f"npm install --ignore-scripts onnxruntime-web@{RUNTIME_VERSION}"
    hint = f"Install it with `{install}`, or name its `dist` with --runtime."
    missing = [name for name in _RUNTIME_FILES if not (runtime / name).is_file()]
    if missing:
        raise LrpcError(f"{runtime} has no {', '.join(missing)}: onnxruntime-web is not there.", hint=hint)
    try:
        version = json.loads((runtime.parent / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError) as error:
        raise LrpcError(f"{runtime.parent} is not the npm package onnxruntime-web.", hint=hint) from error
    if version != RUNTIME_VERSION:
        raise LrpcError(
            f"{runtime} is onnxruntime-web {version}; the page is tested with {RUNTIME_VERSION}.", hint=hint
        )
