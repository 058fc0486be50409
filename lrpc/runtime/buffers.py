"""Run a session on buffers that stay where they are between calls.

Input and output tensors are allocated on the session's device once for each shape of the batch. This is
what a CUDA graph needs, which replays reads and writes of fixed addresses, and it spares every other
session an allocation a call.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort

from passes.errors import LrpcError

Shapes = Mapping[str, tuple[int, ...]]


class Binding:
    """Run one session by I/O binding; what callers get are copies, which the next call leaves alone.

    device: "cpu" or "cuda", where the buffers are.
    fixed: keep the first call's shapes for good, and run one call at a time; else buffers follow the shapes
    of the calls, and every thread has its own.
    """

    def __init__(self, session: ort.InferenceSession, device: str = "cpu", *, fixed: bool = False) -> None:
        self._session, self._device, self._fixed = session, device, fixed
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        self._recorded: _Buffers | None = None

    def __call__(self, feeds: Mapping[str, np.ndarray], outputs: Shapes) -> list[np.ndarray]:
        """Run once; return the outputs in order.

        feeds: contiguous arrays by input name, of the graph's types.  outputs: shapes by output name, float32.
        Raises LrpcError where `fixed` and the shapes are not those of the first call.
        """
        if self._fixed:
            with self._lock:
                return self._recorded_for(feeds, outputs).run(self._session, feeds)
        mine: _Buffers | None = getattr(self._of_thread, "buffers", None)
        if mine is None or not mine.fit(feeds):
            mine = self._of_thread.buffers = _Buffers(self._session, self._device, feeds, outputs)
        return mine.run(self._session, feeds)

    def _recorded_for(self, feeds: Mapping[str, np.ndarray], outputs: Shapes) -> _Buffers:
        if self._recorded is None:
            self._recorded = _Buffers(self._session, self._device, feeds, outputs)
        if not self._recorded.fit(feeds):
            raise LrpcError(
                f"A CUDA graph replays the first call's batch of {self._recorded.count}; "
                f"this one has {len(next(iter(feeds.values())))}.",
                hint=f"Give batches of {self._recorded.count}, or leave cuda_graph out.",
            )
        return self._recorded


class _Buffers:
    """Tensors of one batch shape on the device, bound to a session."""

    def __init__(
        self, session: ort.InferenceSession, device: str, feeds: Mapping[str, np.ndarray], outputs: Shapes
    ) -> None:
        _check_fixed(session, feeds)
        self._inputs = {name: _on(device, value.shape, value.dtype) for name, value in feeds.items()}
        self._outputs = {name: _on(device, shape, np.dtype(np.float32)) for name, shape in outputs.items()}
        self._bound = session.io_binding()
        for name, buffer in self._inputs.items():
            self._bound.bind_ortvalue_input(name, buffer)
        for name, buffer in self._outputs.items():
            self._bound.bind_ortvalue_output(name, buffer)

    @property
    def count(self) -> int:
        """The size of the batch."""
        return int(next(iter(self._inputs.values())).shape()[0])

    def fit(self, feeds: Mapping[str, np.ndarray]) -> bool:
        """Whether these arrays have the shapes of the buffers."""
        return {name: list(value.shape) for name, value in feeds.items()} == {
            name: list(buffer.shape()) for name, buffer in self._inputs.items()
        }

    def run(self, session: ort.InferenceSession, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        for name, value in feeds.items():
            self._inputs[name].update_inplace(value)
        try:
            session.run_with_iobinding(self._bound)
        except Exception as error:  # ONNX Runtime raises types of its own, which it does not export
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise LrpcError(
                f"ONNX Runtime cannot run this batch of {self.count}: {reason}",
                hint="Where memory is short, run it in smaller parts: --max-batch, or max_batch= in Python.",
            ) from error
        # On the CPU .numpy() is the buffer itself, which the next call overwrites.
        return [np.array(buffer.numpy()) for buffer in self._outputs.values()]


def _check_fixed(session: ort.InferenceSession, feeds: Mapping[str, np.ndarray]) -> None:
    """Raise LrpcError where the graph has a fixed batch, and this one is another."""
    for entry in session.get_inputs():
        fed = feeds.get(entry.name)
        if fed is not None and entry.shape and isinstance(entry.shape[0], int) and entry.shape[0] != len(fed):
            raise LrpcError(
                f"The model takes exactly {entry.shape[0]} samples at once; here are {len(fed)}.",
                hint=f"Give an .npy file of {entry.shape[0]} samples, or export the model with a dynamic batch.",
            )


def _on(device: str, shape: Sequence[int], dtype: np.dtype) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype.type, device, 0)


def device_of(provider: str) -> str:
    """Return where a provider keeps its tensors: "cuda" or "cpu"."""
    return "cuda" if provider.startswith("CUDA") else "cpu"
