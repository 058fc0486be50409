"""Hold a graph that was opened against the manifest beside it: what the one names, the other must have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnxruntime as ort

from lrpc.bundle.manifest import Manifest
from lrpc.bundle.names import HEALTH, RELEVANCE, SEED
from passes.errors import LrpcError

Shape = tuple[int | None, ...] | None
"""Of one sample; None stands for any."""
_LONGEST = 60
"""Of a name, in letters, as it is shown in a message."""


def check_explain(session: ort.InferenceSession, manifest: Manifest, file: str) -> None:
    """Raise LrpcError where explain.onnx has not the inputs and outputs that its manifest names.

    file: what it is called in a message.
    """
    entry = manifest.picture or manifest.input
    inputs: dict[str, Shape] = {entry.name: entry.shape, manifest.seed: None, **dict.fromkeys(_others(manifest))}
    relevance = None if None in manifest.input.shape else manifest.input.shape
    outputs: dict[str, Shape] = {manifest.output.name: manifest.output.shape, RELEVANCE: relevance, HEALTH: (4,)}
    tunables = {tunable.name: None for tunable in manifest.tunables}
    _check(inputs, session.get_inputs(), f"{file} has no input")
    _check(outputs, session.get_outputs(), f"{file} has no output")
    _check(tunables, session.get_overridable_initializers(), f"{file} has no tunable input")


def check_pair(forward: ort.InferenceSession, relevance: ort.InferenceSession, manifest: Manifest, folder: str) -> None:
    """Raise LrpcError where forward.onnx and relevance.onnx are not those that a manifest tells of."""
    inputs: dict[str, Shape] = {manifest.input.name: manifest.input.shape, **dict.fromkeys(_others(manifest))}
    outputs: dict[str, Shape] = {manifest.output.name: manifest.output.shape}
    _check(inputs, forward.get_inputs(), f"forward.onnx in {folder} has no input")
    _check(outputs, forward.get_outputs(), f"forward.onnx in {folder} has no output")
    _check({SEED: None}, relevance.get_inputs(), f"relevance.onnx in {folder} has no input")
    _check({RELEVANCE: None}, relevance.get_outputs(), f"relevance.onnx in {folder} has no output")
    handed = [value.name for value in (*forward.get_inputs(), *forward.get_outputs())]
    taken = {value.name for value in relevance.get_inputs()} - {SEED}
    if missing := sorted(taken - set(handed)):
        raise _refusal(f"relevance.onnx in {folder} reads {_shown(missing[0])}, which forward.onnx does not return")


def check_tensors(names: Iterable[str], known: set[str], file: str) -> None:
    """Raise LrpcError where a manifest's trace names a tensor that explain.onnx does not have."""
    if missing := sorted(set(names) - known):
        raise _refusal(f"{file} has no tensor {_shown(missing[0])}")


def _others(manifest: Manifest) -> list[str]:
    return [other.name for other in manifest.others]


def _check(wanted: Mapping[str, Shape], there: Iterable[Any], complaint: str) -> None:
    shapes = {value.name: value.shape for value in there}
    for name, shape in wanted.items():
        if name not in shapes:
            raise _refusal(f"{complaint} {_shown(name)}")
        if shape is not None and not _fits(shapes[name], shape):
            raise _refusal(f"{complaint} {_shown(name)} of shape {('n', *shape)}")


def _fits(found: Sequence[int | str | None], sample: Shape) -> bool:
    """Whether the sizes that both know are the same."""
    sizes = found[1:]
    return len(sizes) == len(sample or ()) and all(
        own == told for own, told in zip(sizes, sample or (), strict=True) if isinstance(own, int) and told is not None
    )


def _shown(name: str) -> str:
    """Quote a name, and no more than the beginning of a long one."""
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


def _refusal(complaint: str) -> LrpcError:
    return LrpcError(
        f"{complaint}, which its manifest names: they are not of one bundle, or the manifest was edited.",
        hint="Compile the model again: `lrpc compile MODEL.onnx --force`.",
    )
