"""A bundle as a model of a Triton model repository."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import onnx

from lrpc.bundle.atomic import beside, check_free, replace
from lrpc.bundle.manifest import Manifest
from lrpc.bundle.store import load_manifest
from lrpc.package.triton_config import KINDS, Tensor, config_text, has_free_batch, signature
from passes.errors import LrpcError

DEFAULT_MAX_BATCH = 8
_MODEL, _CONFIG, _LABELS = "model.onnx", "config.pbtxt", "labels.txt"


def package_triton(
    source: Path,
    repository: Path,
    *,
    name: str | None = None,
    max_batch: int | None = None,
    provider: str = "cpu",
    force: bool = False,
) -> Path:
    """Write `repository`/NAME with config.pbtxt, version 1 of the model, and labels where there are class names.

    source: a bundle folder or a single-file explain.onnx.  name: by default the source's, without its suffix.
    max_batch: how many samples Triton may put together; 8 by default, none where the graph's batch is fixed.
    provider: "cpu" or "cuda".  force: replace a model of that name.  Returns `repository`/NAME.
    Raises LrpcError for what is no bundle, a name that Triton cannot serve, or one that is taken.
    """
    manifest = load_manifest(source)
    name = name or re.sub(r"(\.explain)?\.(onnx|lrp)$", "", source.name)
    place = repository / name
    _check(name, place, provider, force)
    graph = source / "explain.onnx" if source.is_dir() else source
    inputs, outputs = signature(onnx.load(graph, load_external_data=False))
    most = _max_batch([*inputs, *outputs], max_batch, source)
    classes = _labels(manifest, outputs)
    labels = (manifest.output.name, _LABELS) if classes else None
    repository.mkdir(parents=True, exist_ok=True)
    with beside(place) as draft:
        (draft / _CONFIG).write_text(config_text(name, inputs, outputs, most, provider, labels), encoding="utf-8")
        if classes:
            (draft / _LABELS).write_text("".join(f"{label}\n" for label in classes), encoding="utf-8")
        _copy(source, draft / "1")
        replace(draft, place)
    return place


def _check(name: str, place: Path, provider: str, force: bool) -> None:
    if provider not in KINDS:
        raise LrpcError(f"There is no provider {provider!r}.", hint=f"There are: {', '.join(KINDS)}.")
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise LrpcError(
            f"{name!r} cannot be a model's name in Triton, where it is part of URLs.",
            hint="Give one of letters, digits, hyphens and underscores with --name.",
        )
    if place.parent.exists():
        check_free(place, _CONFIG, force, "model of a Triton repository")


def _max_batch(tensors: list[Tensor], wanted: int | None, source: Path) -> int:
    if has_free_batch(tensors):
        return DEFAULT_MAX_BATCH if wanted is None else wanted
    if wanted is None:
        return 0
    raise LrpcError(
        f"The batch of {source} is fixed: Triton cannot put requests together.",
        hint="Leave --max-batch out, or export the model with a free batch.",
    )


def _labels(manifest: Manifest, outputs: list[Tensor]) -> list[str]:
    """Return the class names, a line each, where the output has a value for each of them."""
    names: list[str] = [" ".join(name.split()) for name in manifest.classes or ()]
    scores = [tensor for tensor in outputs if tensor.name == manifest.output.name]
    return names if scores and scores[0].shape[-1:] == (len(names),) else []


def _copy(source: Path, version: Path) -> None:
    """Copy a model of one file as model.onnx, one of several as a folder of that name, as Triton has it."""
    version.mkdir()
    if source.is_file():
        shutil.copyfile(source, version / _MODEL)
        return
    (version / _MODEL).mkdir()
    for file, copied in (("explain.onnx", _MODEL), ("weights.bin", "weights.bin")):
        shutil.copyfile(source / file, version / _MODEL / copied)
