"""Where relevance grows: six numbers per layer, computed inside the graph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort

from lrpc.bundle.memory import Bundle
from lrpc.bundle.names import EXPLAIN, HEALTH, RELEVANCE, TRACE
from lrpc.bundle.side_inputs import checked_others, part_of, values_a_sample
from lrpc.runtime.agreement import check_tensors
from lrpc.runtime.explainer import Explainer, Target
from lrpc.runtime.health import Health
from lrpc.runtime.session import open_session, told_by_runtime
from lrpc.variants.trace import COLUMNS, expose, instrument
from passes.errors import LrpcError

if TYPE_CHECKING:
    from lrpc.compiler import Compiled

_AMPLIFIES = 1.5
_MOST_VALUES = 200_000
"""Input values that are traced at once: a trace keeps every tensor of its run."""


@dataclass(frozen=True)
class Row:
    """One layer of one sample's trace, and the relevance arriving at its output.

    index: its place in the plan.  range: max - min.  amplification: sum |R| that it hands to its inputs over
    sum |R| arriving.  denominator: the smallest |divisor| of a quotient that is not 0, None where it divides by
    nothing.  handed: sum |R| handed down.  nonfinite: arriving values that are NaN or infinite.
    first_bad: whether this is the layer from which on relevance is out of the trusted range.
    """

    index: int
    layer: str
    kind: str
    rule: str
    range: float
    sum: float
    abs_sum: float
    amplification: float
    denominator: float | None
    handed: float
    nonfinite: int
    first_bad: bool = False


@dataclass(frozen=True)
class Trace:
    """A traced batch.

    samples: for each sample its rows, from the output down.  health: of the relevance at the input.
    output: the model's own.  relevance: at the input.  hidden: the relevance arriving at layers that were asked
    for, by name.
    """

    samples: list[list[Row]]
    health: Health
    output: np.ndarray
    relevance: np.ndarray
    hidden: dict[str, np.ndarray]

    def first_bad(self, sample: int = 0) -> Row | None:
        """Return the layer at which a sample's relevance leaves the trusted range, None if it never does."""
        return next((row for row in self.samples[sample] if row.first_bad), None)

    def worst(self, layer: str) -> float:
        """Return the largest amplification of a layer over the samples, 0 where no relevance reaches it."""
        return max((row.amplification for rows in self.samples for row in rows if row.layer == layer), default=0.0)

    def to_json(self, sample: int = 0) -> str:
        """Return one sample's trace: {"layers": [...], "input": {...}}."""
        entry = {key: float(getattr(self.health, key)[sample]) for key in ("sum", "abs_sum", "range", "nonfinite")}
        return json.dumps({"layers": [asdict(row) for row in self.samples[sample]], "input": entry}, indent=1)


class Tracer:
    """Trace explanations of a bundle, on the graph that it runs.

    source: as for `Explainer`.  providers: likewise.  layers: names whose arriving relevance is wanted too.
    Raises LrpcError for a layer that there is not.
    """

    def __init__(
        self, source: str | Path | Bundle | Compiled, providers: Sequence[str] | None = None, layers: Sequence[str] = ()
    ) -> None:
        self.explainer = Explainer(source, providers)
        manifest = self.explainer.manifest
        if manifest.trace is None:
            raise LrpcError(
                f"{self.explainer.name} does not tell where its relevance is: an older lrpc wrote it.",
                hint="Compile the model again: `lrpc compile MODEL.onnx --force`.",
            )
        self._where = manifest.trace
        self._plan = {row.layer: (index, row) for index, row in enumerate(manifest.plan)}
        arriving = {entry.layer: entry.arriving for entry in self._where}
        if unknown := [layer for layer in layers if layer not in arriving]:
            raise LrpcError(
                f"{self.explainer.name} has no layer {', '.join(unknown)}.", hint="`lrpc trace` lists its layers."
            )
        self._hidden = {layer: arriving[layer] for layer in layers}

    def __call__(self, x: np.ndarray, target: Target = None, others: Mapping[str, np.ndarray] | None = None) -> Trace:
        """Trace a batch; x, target and others as for `Explainer`."""
        manifest, explainer = self.explainer.manifest, self.explainer
        x = explainer.checked_input(x)
        beside = checked_others(others or {}, explainer.others, len(x))
        feeds = {explainer.input_name: x, **explainer.seed_feeds(x, target, beside)}
        size = max(1, _MOST_VALUES // max(1, x[0].size + values_a_sample(explainer.others)))
        parts = [
            self._run({k: v[p] for k, v in feeds.items()} | part_of(beside, explainer.others, p))
            for p in (slice(i, i + size) for i in range(0, len(x), size))
        ]
        output, relevance, health, table, *tensors = (np.concatenate(column) for column in zip(*parts, strict=True))
        low, high = manifest.thresholds.abs_sum
        at_input = Health(*health.T)
        rows = [list(self._rows(cells)) for cells in table]
        ends = zip(rows, map(float, at_input.abs_sum), strict=True)
        hidden = dict(zip(self._hidden, tensors, strict=True))
        return Trace([_mark(r, end, low, high) for r, end in ends], at_input, output, relevance, hidden)

    def _run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return output, relevance, health, trace and the hidden relevance of a part of the batch."""
        wanted = [name for name in self._parts() if name not in feeds]
        names = [self.explainer.manifest.output.name, RELEVANCE, HEALTH, TRACE]
        with told_by_runtime(self.explainer.name):
            fetched = self._session.run([*names, *wanted], feeds)
        tensors = feeds | dict(zip(wanted, fetched[len(names) :], strict=True))
        hidden = [reduce(np.multiply, [tensors[part] for part in parts]) for parts in self._hidden.values()]
        return [*fetched[: len(names)], *hidden]

    def _parts(self) -> list[str]:
        """The tensors that hidden relevance is the product of."""
        return list(dict.fromkeys(name for parts in self._hidden.values() for name in parts))

    def graph(self) -> onnx.ModelProto:
        """Return the trace variant of explain.onnx; its large weights stay in the bundle's weights.bin."""
        proto = self.explainer.bundle.model(EXPLAIN)
        nodes, graph = proto.graph.node, proto.graph
        known = {name for node in nodes for name in (*node.input, *node.output)} | {v.name for v in graph.input}
        check_tensors((name for where in self._where for name in where.tensors), known, self.explainer.name)
        return expose(instrument(proto, self._where), self._parts())

    @cached_property
    def _session(self) -> ort.InferenceSession:
        explainer, bundle = self.explainer, self.explainer.bundle
        folder = bundle.folder.resolve() if bundle.folder else None
        model, weights = self.graph().SerializeToString(), bundle.weights
        return open_session(model, explainer.providers, folder, run=explainer.options, once=True, weights=weights)

    def _rows(self, cells: np.ndarray) -> Iterator[Row]:
        for entry, values in zip(self._where, cells, strict=True):
            cell = dict(zip(COLUMNS, map(float, values), strict=True))
            index, row = self._plan[entry.layer]
            arriving, handed = cell["abs_sum"], cell["handed"]
            yield Row(
                index, row.layer, row.kind, row.rule, cell["range"], cell["sum"], arriving,
                handed / arriving if arriving else 0.0,
                cell["denominator"] if np.isfinite(cell["denominator"]) else None, handed, int(cell["nonfinite"]),
            )  # fmt: skip


def _mark(rows: list[Row], at_input: float, low: float, high: float) -> list[Row]:
    """Mark the layer to blame where the relevance at the input is too large, too small or not finite.

    Too large: the first layer from which on all hand down more than can be trusted; where it only passes on
    what branches above added up, the nearest amplifier above it.  Too small: the first to hand down too little.
    low, high: of sum |R| per unit of seed.
    """
    unit = (rows[0].abs_sum if rows else 0.0) or 1.0
    shares = [row.handed / unit for row in rows]
    broken = next((i for i, row in enumerate(rows) if row.nonfinite or not np.isfinite(row.handed)), None)
    if broken is not None:
        place: int | None = broken
    elif at_input > high:
        fine = [i for i, share in enumerate(shares) if share <= high]
        start = min(fine[-1] + 1 if fine else 0, len(rows) - 1)
        above = [i for i in range(start + 1) if rows[i].amplification >= _AMPLIFIES]
        place = above[-1] if above else start
    elif 0 < at_input < low:
        place = next((i for i, share in enumerate(shares) if share < low <= rows[i].abs_sum / unit), None)
    else:
        place = None
    return [replace(row, first_bad=i == place) for i, row in enumerate(rows)]
