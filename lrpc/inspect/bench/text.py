"""A bench in words: the rows of its tables, and the lines below them."""

from __future__ import annotations

from lrpc.inspect.bench.result import Bench, Compilation, Result, Row, Timing, multiplying_share

_MOST_OPS = 8
_BUSY = 0.5
"""A load of more than this per core disturbs what is timed."""


def columns(bench: Bench) -> list[str]:
    """Return the heads of the table; what was not measured has no column."""
    names = {name for result in bench.results for timing in result.timings for name in timing.seconds}
    heads = ["composite", "batch", "contestant", "ms per image", "forwards"]
    heads += ["gradients"] if "gradient" in names else []
    heads += ["speed-up on zennit"] if "zennit" in names else []
    heads += ["peak memory"] if bench.libraries else []
    return [*heads, "work", "compiled in", "bundle / model"]


def rows(bench: Bench) -> list[list[str]]:
    """Return a row for each composite, batch size and contestant."""
    heads = columns(bench)
    return [
        [cells.get(head, "") for head in heads]
        for result in bench.results
        for timing in result.timings
        for row in timing.rows()
        for cells in [_cells(bench, result, timing, row)]
    ]


def _cells(bench: Bench, result: Result, timing: Timing, row: Row) -> dict[str, str]:
    compiled = {f"lrpc -O{entry.level}": entry for entry in result.compiled}.get(row.contestant)
    return {
        "composite": result.composite.replace("_", "-"),
        "batch": str(timing.batch),
        "contestant": row.contestant,
        "ms per image": f"{row.milliseconds:.3g}" if row.milliseconds < 100 else f"{row.milliseconds:.0f}",
        "forwards": _number(row.forwards),
        "gradients": _number(row.gradients),
        "speed-up on zennit": _number(row.zennit) if compiled else "",
        "peak memory": "" if row.peak is None else f"{row.peak / 1e6:.0f} MB",
    } | (_compilation(bench, compiled) if compiled else {})


def _compilation(bench: Bench, compiled: Compilation) -> dict[str, str]:
    return {
        "work": _number(compiled.work),
        "compiled in": f"{compiled.seconds:.1f} s",
        "bundle / model": f"{compiled.bytes / bench.bytes:.3f}",
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def footer(bench: Bench) -> list[str]:
    """Return what the numbers are, where they were measured, and what was left out."""
    lines = [machine_line(bench), f"best of {bench.rounds} turns; work: multiplications in units of the forward pass's"]
    lines += [busy_line(bench)] if busy_line(bench) else []
    if bench.libraries:
        sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in bench.libraries.items())
        lines.append(f"peak memory is a process's own, in main memory; of that are libraries: {sizes}")
        if bench.machine["provider"] == "cuda":
            lines.append("the memory of the device is not measured")
    notes = dict.fromkeys(
        f"{result.composite.replace('_', '-')}: {note}" for result in bench.results for note in result.notes
    )
    return [*lines, *notes]


def busy_line(bench: Bench) -> str:
    """Return a warning where other processes disturbed the run, "" where none did."""
    load = bench.machine["load"]
    if load <= _BUSY * bench.machine["cores"]:
        return ""
    return f"the machine was busy with something else, a load of {load}: these times are not to be trusted"


def machine_line(bench: Bench) -> str:
    """Return processor, threads and versions in one line."""
    machine = bench.machine
    place = machine.get("gpu") or machine["processor"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{place}; {machine['threads']} of {machine['cores']} CPU cores of {machine['processor']}; {versions}"


def profile_rows(bench: Bench) -> list[list[str]]:
    """Return, for each contestant that was profiled, the ops that take longest, the rest, and what multiplies."""
    return [
        row
        for result in bench.results
        for name, times in result.profiles.items()
        for row in _profile(result, name, result.timings[0].batch)
        if times
    ]


def _profile(result: Result, name: str, batch: int) -> list[list[str]]:
    times = result.profiles[name]
    total = sum(entry.seconds for entry in times)
    rest = times[_MOST_OPS:]
    lines = [(entry.op, entry.count, entry.seconds) for entry in times[:_MOST_OPS]]
    lines += [("others", sum(entry.count for entry in rest), sum(entry.seconds for entry in rest))] if rest else []
    part = multiplying_share(times)
    lines.append(("convolutions and products", sum(e.count for e in times if e.multiplies), part * total))
    return [
        [
            result.composite.replace("_", "-"),
            name,
            op,
            str(count),
            f"{1e3 * seconds / batch:.2f}",
            f"{seconds / total:.0%}",
        ]
        for op, count, seconds in lines
    ]
