"""How a case ended, and the table of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RAN, REFUSED, UNEXPECTED = "ran", "refused", "unexpected"
SLOW, MEMORY, CRASH = "too slow", "too much memory", "crash"
ENDINGS = (RAN, REFUSED, UNEXPECTED, SLOW, MEMORY, CRASH)
GOOD = (RAN, REFUSED)
_MOST_LINES, _LONGEST_LINE = 40, 600


@dataclass(frozen=True)
class End:
    """How case `number` of a kind ended. detail: what was printed.  peak: bytes above what was held before."""

    kind: str
    number: int
    mutation: str
    ending: str
    detail: str
    seconds: float
    peak: int = 0


def judged(
    kind: str, number: int, mutation: str, told: Mapping[str, object], seconds: float, most: int
) -> End:  # fmt: skip
    """Name an ending. told: a worker's answer, or {"ended": why there is none}."""
    output, error, code = str(told["output"]), str(told["error"]), told["code"]
    peak = int(str(told.get("peak", 0)))
    ending, detail = _ending(output, error, code), error or output
    if "ended" in told:
        ending = {"slow": SLOW, "memory": MEMORY}.get(str(told["ended"]), CRASH)
        detail = f"the process was ended: {told['ended']}, code {code}"
    elif peak > most:
        ending = MEMORY
    return End(kind, number, mutation, ending, detail, seconds, peak)


def _ending(output: str, error: str, code: object) -> str:
    """A refusal is exit code 2 and one message, which is short, and no traceback."""
    lines = output.splitlines()[1:]
    if error or "failed unexpectedly" in output or "Traceback" in output:
        return UNEXPECTED
    if code == 0:
        return RAN
    messages = [line for line in lines if line.startswith("Error:")]
    short = len(lines) <= _MOST_LINES and all(len(line) <= _LONGEST_LINE for line in lines)
    return REFUSED if code == 2 and len(messages) == 1 and short else UNEXPECTED


def table(ends: Sequence[End]) -> str:
    """Return a row for each kind of mutation, a column for each ending, and a last row with the sums."""
    counts = Counter((f"{end.kind}: {end.mutation}", end.ending) for end in ends)
    rows = [
        (name, [counts[name, ending] for ending in ENDINGS]) for name in dict.fromkeys(n for n, _ in sorted(counts))
    ]
    rows.append(("all", [sum(end.ending == ending for end in ends) for ending in ENDINGS]))
    width = max(len(name) for name, _ in rows)
    head = f"{'mutation':<{width}}" + "".join(f"  {ending:>15}" for ending in ENDINGS)
    lines = [f"{name:<{width}}" + "".join(f"  {count or '.':>15}" for count in row) for name, row in rows]
    worst, largest = max(ends, key=lambda end: end.seconds), max(ends, key=lambda end: end.peak)
    return "\n".join([
        head, *lines, "",
        f"slowest: {worst.kind} {worst.number}, {worst.seconds:.1f} s; "
        f"most memory: {largest.kind} {largest.number}, {largest.peak / 2**20:.0f} MB above the start",
    ])  # fmt: skip


def bad(ends: Sequence[End]) -> list[End]:
    """Return the cases that ended as none should."""
    return [end for end in ends if end.ending not in GOOD]
