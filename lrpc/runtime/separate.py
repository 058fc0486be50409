"""Run forward.onnx and relevance.onnx one after the other; what passes between them stays on the device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from lrpc.bundle.names import RELEVANCE


def run_pair(
    forward: ort.InferenceSession,
    relevance: ort.InferenceSession,
    feeds: Mapping[str, np.ndarray],
    device: str,
    output: str,
    tunables: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's output and the relevance at its input.

    feeds: the model's inputs and `seed`.  device: where taps stay.  output: the name of the model's output.
    tunables: values for inputs that have defaults.
    """
    values = _run_forward(forward, feeds, device)
    result = values[output].numpy()
    if tunables:  # ONNX Runtime binds no inputs that have defaults
        taps = {name: value.numpy() for name, value in values.items()} | dict(feeds)
        wanted = {value.name: taps[value.name] for value in relevance.get_inputs()}
        return result, np.asarray(relevance.run([RELEVANCE], wanted | dict(tunables))[0])
    backward = relevance.io_binding()
    for value in relevance.get_inputs():
        if value.name in values:
            backward.bind_ortvalue_input(value.name, values[value.name])
        else:
            backward.bind_cpu_input(value.name, feeds[value.name])
    backward.bind_output(RELEVANCE, "cpu")
    relevance.run_with_iobinding(backward)
    return result, backward.get_outputs()[0].numpy()


def _run_forward(
    forward: ort.InferenceSession, feeds: Mapping[str, np.ndarray], device: str
) -> dict[str, ort.OrtValue]:
    bound = forward.io_binding()
    for value in forward.get_inputs():
        bound.bind_cpu_input(value.name, feeds[value.name])
    names = [value.name for value in forward.get_outputs()]
    for name in names:
        bound.bind_output(name, device)
    forward.run_with_iobinding(bound)
    return dict(zip(names, bound.get_outputs(), strict=True))
