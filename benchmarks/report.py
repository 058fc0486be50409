"""Make docs/benchmarks.md, and its pictures, of the runs in benchmarks/results/: `python -m benchmarks.report`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compile_plot import plot_chains
from benchmarks.records import FOLDER, stored
from lrpc.inspect.bench.plot import plot_bench
from lrpc.inspect.bench.result import Bench, Result, Row, Timing, multiplying_share
from lrpc.inspect.bench.text import busy_line, machine_line

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = "benchmarks"
_WIDTH = 140

HEAD = """\
# Benchmarks

Compare within one run, as ratios: absolute times are those of one machine on one day. This page is made of the runs in
[benchmarks/results](../benchmarks/results) by `python -m benchmarks.report`; these made them:

```sh
python -m benchmarks.run --memory --profile          # forward, gradient, zennit and lrpc; --provider cuda on a GPU
python -m benchmarks.compile_time                    # how compiling grows with depth
```

`lrpc bench MODEL.onnx --torch torchvision:NAME` does the same for your model.

All contestants of a composite take turns in one process, with the same number of threads, from host memory to host
memory; the best turn counts, and each composite is compared with the forward pass and gradient that took turns with it.
zennit's hooks are registered once. *Work* is what the convolutions and dense layers of the explanation multiply, in
forward passes: a runtime that ran them as fast as those of the forward pass, and spent time on nothing else, would take
so many forwards. Peak memory is that of a process of its own after two runs.
"""


def main() -> None:
    """Write the page and its pictures."""
    (DOCS / PICTURES).mkdir(exist_ok=True)
    (DOCS / "benchmarks.md").write_text(page(), encoding="utf-8")
    for slug, runs in stored("explain").items():
        for model, content in runs.items():
            plot_bench(Bench.from_dict(content), DOCS / PICTURES / f"{slug}-{model}.png")
    for slug, runs in stored("compile").items():
        plot_chains(runs, DOCS / PICTURES / f"{slug}-compile.png")
    print(f"wrote {DOCS.name}/benchmarks.md")


def page(folder: Path = FOLDER) -> str:
    """Return the text of docs/benchmarks.md."""
    parts = [HEAD]
    for slug, runs in stored("explain", folder).items():
        parts += _summary({model: Bench.from_dict(content) for model, content in runs.items()})
        for model, content in runs.items():
            parts += _explained(slug, model, Bench.from_dict(content), content.get("parity", {}))
    for slug, runs in stored("compile", folder).items():
        parts += _compiled(slug, runs)
    if not any("gpu" in run["machine"] for runs in stored("explain", folder).values() for run in runs.values()):
        parts.append(
            "## CUDA\n\nNot timed yet: no GPU was at hand. `python -m benchmarks.run --provider cuda` does it.\n"
        )
    return "\n".join(parts)


def _summary(benches: Mapping[str, Bench]) -> Iterator[str]:
    """Give lrpc at its highest level for every model, composite and batch of one machine."""
    machine = next(iter(benches.values())).machine
    yield f"## All models on {machine.get('gpu') or machine['processor']}\n"
    rows: list[tuple[str, ...]] = [
        ("model", "composite", "batch", "speed-up on zennit", "gradients", "forwards", "work, in forwards")
    ]
    for model, bench in benches.items():
        for result in bench.results:
            best = max(result.compiled, key=lambda compiled: compiled.level)
            for timing in result.timings:
                row = _of(timing, f"lrpc -O{best.level}")
                ratios = (row.zennit, row.gradients, row.forwards, best.work)
                rows.append((model, result.composite, str(timing.batch), *map(_number, ratios)))
    yield _table(rows)


def _explained(slug: str, model: str, bench: Bench, parity: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    place = bench.machine.get("gpu") or bench.machine["processor"]
    yield f"## {model} on {place}\n"
    busy = f" Careful: {warning}." if (warning := busy_line(bench)) else ""
    yield _filled(f"{machine_line(bench)}. Best of {bench.rounds} turns.{busy}\n")
    yield f"![{model}: ms per image]({PICTURES}/{slug}-{model}.png)\n"
    for index, timing in enumerate(bench.results[0].timings):
        yield f"### Batch {timing.batch}\n"
        yield _table(_batch_rows(bench, index))
    yield "### Floor and size\n"
    yield _table(_floor_rows(bench))
    if any(result.profiles for result in bench.results):
        yield f"Where the time goes, by ONNX Runtime's profiler, batch {bench.results[0].timings[0].batch}:\n"
        yield _table(_profile_rows(bench))
    if bench.libraries:
        sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in bench.libraries.items())
        yield _filled(f"Of the peak memory are libraries, loaded without any model: {sizes}.\n")
    if parity:
        yield "How far the device is from the CPU, relative in L2:\n"
        yield _table([("composite", "contestant", "relative L2"),
                      *((name, level, f"{value:.1e}") for name, levels in parity.items()
                        for level, value in levels.items())])  # fmt: skip
    for note in dict.fromkeys(f"{result.composite}: {note}" for result in bench.results for note in result.notes):
        yield _filled(f"{note}.\n")


def _batch_rows(bench: Bench, index: int) -> Iterator[tuple[str, ...]]:
    memory = bool(bench.libraries)
    yield ("what", "ms per image", "forwards", "gradients", "speed-up on zennit", *(["peak memory"] if memory else []))
    for number, result in enumerate(bench.results):
        for row in result.timings[index].rows():
            shared = row.contestant in ("forward", "gradient")
            if shared and number:
                continue
            label = row.contestant if shared else f"{row.contestant} {result.composite}"
            yield (label, *_cells(row, shared), *([f"{(row.peak or 0) / 1e6:.0f} MB"] if memory else []))


def _cells(row: Row, shared: bool) -> Iterator[str]:
    yield f"{row.milliseconds:.1f}"
    yield _number(row.forwards)
    yield _number(row.gradients)
    yield "" if shared else _number(row.zennit)


def _floor_rows(bench: Bench) -> Iterator[tuple[str, ...]]:
    last = bench.results[0].timings[-1].batch
    yield ("composite", "level", "work, in forwards", f"measured, batch {last}", "compile and save", "bundle / model")
    for result in bench.results:
        for compiled in result.compiled:
            name = f"lrpc -O{compiled.level}"
            measured = _of(result.timings[-1], name).forwards
            yield (
                result.composite, f"-O{compiled.level}", f"{compiled.work:.2f}", _number(measured),
                f"{compiled.seconds:.1f} s", f"{compiled.bytes / bench.bytes:.3f}",
            )  # fmt: skip


def _profile_rows(bench: Bench) -> Iterator[tuple[str, ...]]:
    yield ("composite", "contestant", "multiplying", "the five longest of the others")
    for result in bench.results:
        for name in result.profiles:
            yield (result.composite, name, *_shares(result, name))


def _shares(result: Result, name: str) -> tuple[str, str]:
    times = result.profiles[name]
    total = sum(entry.seconds for entry in times)
    others = [entry for entry in times if not entry.multiplies][:5]
    text = ", ".join(f"{entry.op} {entry.seconds / total:.0%}" for entry in others)
    return f"{multiplying_share(times):.0%}", text


def _of(timing: Timing, name: str) -> Row:
    return next(row for row in timing.rows() if row.contestant == name)


def _compiled(slug: str, runs: Mapping[str, Any]) -> Iterator[str]:
    machine = next(iter(runs.values()))["machine"]
    yield f"## Compiling, on {machine['processor']}\n"
    yield f"Seconds to compile with epsilon_gamma_box and save, best of several. lrpc {machine['versions']['lrpc']}.\n"
    rows = [("model", "level", "layers", "seconds", "bundle / model")]
    for level, content in runs.items():
        rows += [
            (name, level, str(found["layers"]), f"{found['seconds']:.2f}", f"{found['size_ratio']:.3f}")
            for name, found in content["models"].items()
        ]
    yield _table(rows)
    yield "Chains of tiny layers, plain and of residual blocks: the time grows as the number of layers does.\n"
    yield f"![Seconds against layers]({PICTURES}/{slug}-compile.png)\n"
    rows = [("chain", "level", "layers", "seconds", "ms per layer")]
    for level, content in runs.items():
        for kind, curve in content["chains"].items():
            rows += [(kind, level, str(n), f"{seconds:.2f}", f"{1e3 * seconds / n:.2f}") for n, seconds in curve]
    yield _table(rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(rows: Sequence[Sequence[str]] | Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * lines[0].count(" | ") + "---|")
    return "\n".join(lines) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH) + "\n"


if __name__ == "__main__":
    main()
