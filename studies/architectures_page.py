"""What docs/architectures.md says, made of studies/results/architectures.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from studies.nets import FAMILIES, NETS

DOCUMENT = Path(__file__).parents[1] / "docs/architectures.md"
RESULTS = Path(__file__).parent / "results/architectures.json"

HEAD = """\
# Architectures

<!-- Written by `python -m studies.architectures` from studies/results/architectures.json: do not edit by hand. -->

Every builder of torchvision for pictures, maps and video, a U-Net, and a one-dimensional network for
electrocardiograms: weights are random (seed 0), BatchNorm statistics settled by forward passes, those of EfficientNets
on inputs like the ones that are explained.
`python -m studies.architectures NAME` runs one again.

- **layers**: of the canonized model. **nodes**: of `relevance.onnx` at `-O1`. **compile**: seconds to compile and
  save, on two cores that other work shares.
- **forward**: the largest relative L2 difference of `explain.onnx`'s scores from PyTorch's, over three inputs.
- **held against**: where a smaller one of the family stands for it, a network is compiled and run only.
- **error**: relative L2 error of the relevance at the input against the float64 oracle, median of three inputs, of the
  worse of `-O0` and `-O1`; **oracle**: that of the oracle's own float32 run on the same inputs, the yardstick.
- `epsilon-gamma-box` divides by small numbers in sums, average pools and dense layers, and both errors grow.
  `bounded` amplifies nothing, so that it would show the smallest mistake. Where rounding puts a pre-activation on
  the other side of 0, or another value first in a pool, a single error jumps, on either side.
- **zennit**: the error under `epsilon-gamma-box` against zennit 0.5.1 in float64, where both define the same.

"""
NOTES = """\
ONNX Runtime's Sigmoid on the CPU has a relative error of up to 4e-4 between -8 and -4, and of up to 1 below, PyTorch's
of 1e-7: a unit that only tiny outputs of SiLU reach divides its relevance by their ratio.

"""
REFUSED = """\
## Refused

What `lrpc compile` prints of these, with equal lines counted. Attention has no rules yet.

"""


def stored() -> dict[str, Any]:
    """Return {"machine", "nets": {name: what was measured}}; no nets before the first run."""
    if not RESULTS.exists():
        return {"machine": {}, "nets": {}}
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return content


def ratio(entry: Mapping[str, Sequence[float]]) -> float:
    """Return the larger median error of the two levels in units of the oracle's own."""
    return _error(entry) / median(entry["oracle"])


def summary(found: Mapping[str, Any]) -> str:
    """Return a line on what came of a network."""
    if "composites" not in found:
        return str(found.get("headline") or f"left out: {found['left_out']}")
    if not found["composites"]:
        return "run once" if found["finite"] else "not finite"
    return ", ".join(f"{name} {ratio(entry):.2f}" for name, entry in found["composites"].items())


def page() -> str:
    """Return the text of docs/architectures.md."""
    nets = stored()["nets"]
    compiled = {name: found for name, found in nets.items() if "composites" in found}
    parts = [HEAD, _counts(nets), "\n", _table(_rows(compiled)), "\n", NOTES, _dashes(compiled), REFUSED]
    for name, found in nets.items():
        if "refused" in found:
            parts += [f"### {name}\n\n{found['headline']}\n\n", _table(_problems(found)), "\n"]
    left_out = [f"- {name}: {found['left_out']}\n" for name, found in nets.items() if "left_out" in found]
    left_out += [f"- {name}: not yet\n" for name in NETS if name not in nets]
    parts += ["## Not run\n\n", *left_out] if left_out else []
    return "\n".join("".join(parts).splitlines()) + "\n"


def _counts(nets: Mapping[str, Any]) -> str:
    ends = Counter(
        next(end for end in ("composites", "refused", "left_out") if end in found) for found in nets.values()
    )
    return (
        f"{ends['composites']} of {len(NETS)} compile, {ends['refused']} are refused with every missing operator, "
        f"{ends['left_out'] + len(NETS) - len(nets)} were not run.\n"
    )


def _rows(nets: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    gamma, bounded = "epsilon-gamma-box", "bounded"
    yield (
        "builder", "input", "layers", "nodes", "compile", "forward", "held against", f"{gamma}: error", "oracle",
        f"{bounded}: error", "oracle", "zennit",
    )  # fmt: skip
    for name, found in nets.items():
        entries = found["composites"]
        theirs = entries.get("epsilon_gamma_box", {}).get("zennit")
        checks = ["oracle"] * bool(entries) + ["zennit"] * bool(theirs)
        yield (
            name,
            " x ".join(map(str, found["shape"])),
            *(str(found[key]) for key in ("layers", "nodes")),
            f"{found['seconds']:.1f} s",
            f"{found['forward']:.0e}",
            ", ".join(checks) or ("run once, finite" if found["finite"] else "run once, NOT FINITE"),
            *(cell for key in (gamma, bounded) for cell in _cells(entries.get(key.replace("-", "_")))),
            f"{median(theirs):.1e}" if theirs else "-",
        )


def _cells(entry: Mapping[str, Sequence[float]] | None) -> tuple[str, str]:
    if entry is None:
        return "-", "-"
    return f"{_error(entry):.1e}", f"{median(entry['oracle']):.1e}"


def _error(entry: Mapping[str, Sequence[float]]) -> float:
    return max(median(entry["-O0"]), median(entry["-O1"]))


def _dashes(nets: Mapping[str, Any]) -> str:
    """Say why zennit is no reference for some."""
    reasons: dict[str, list[str]] = {}
    for family in dict.fromkeys(NETS[name].family for name in nets):
        if FAMILIES[family]:
            reasons.setdefault(FAMILIES[family], []).append(family)
    lines = [f"- {', '.join(families)}: {reason}." for reason, families in reasons.items()]
    return "No number against zennit (-):\n\n" + "\n".join(lines) + "\n\n"


def _problems(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ("op", "layers", "why")
    for op, reason, count in found["refused"]:
        yield (op, str(count), reason)


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * (lines[0].count(" | ") + 1))
    return "\n".join(lines) + "\n"
