"""What a graph is optimised for: of equal forms of one step, the cheapest that the runtime has.

A new choice is a row of `COSTS`, a case in `benchmarks/costs.py`, which measures it, and the code that emits its forms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from passes.errors import LrpcError

TRANSPOSE, STEP, EVEN_AVERAGE, DENSE_AVERAGE = "transpose", "step", "even average", "dense average"

COSTS: dict[str, dict[str, dict[str, float]]] = {
    # The transpose of a stride-1 convolution: 64 channels of 56 x 56, kernel 3. Depthwise, Conv is 2.6 times as fast.
    TRANSPOSE: {
        "cpu": {"Conv": 12.7, "ConvTranspose": 14.0},
        "cuda": {"ConvTranspose": 1.0, "Conv": 1.0},
        "portable": {"Conv": 1.0, "ConvTranspose": 1.0},
    },
    # 1 where a value is at least 0, else 0: 256 channels of 56 x 56.
    STEP: {
        "cpu": {"HardSigmoid": 0.44, "GreaterOrEqual": 0.90},
        "cuda": {"GreaterOrEqual": 1.0, "HardSigmoid": 1.0},
        "portable": {"GreaterOrEqual": 1.0},
    },
    # The transpose of an average pool whose windows tile its input: 256 channels of 14 x 14.
    EVEN_AVERAGE: {
        "cpu": {"Resize": 0.16, "ConvTranspose": 0.46},
        "cuda": {"Resize": 1.0, "ConvTranspose": 2.0},
        "portable": {"Resize": 1.0, "ConvTranspose": 1.0},
    },
    # The transpose of an average pool with stride 1.
    DENSE_AVERAGE: {
        "cpu": {"AveragePool": 0.12, "ConvTranspose": 0.66},
        "cuda": {"AveragePool": 1.0, "ConvTranspose": 2.0},
        "portable": {"AveragePool": 1.0, "ConvTranspose": 1.0},
    },
}
"""By step and target, the cost of each form that the target has, the first one winning ties.

cpu: milliseconds of ONNX Runtime on two threads of an AMD EPYC (`python -m benchmarks.costs`).  cuda, portable: not
measured; a form that reads and writes less, or that more runtimes have, comes first.
"""


@dataclass(frozen=True)
class Target:
    """A runtime. forms: the form that each step takes."""

    name: str
    forms: dict[str, str] = field(hash=False)

    def takes(self, step: str, form: str) -> bool:
        """Whether a step takes a form."""
        return self.forms[step] == form


def _cheapest(name: str) -> Target:
    return Target(name, {step: min(costs[name], key=costs[name].__getitem__) for step, costs in COSTS.items()})


TARGETS = {name: _cheapest(name) for name in ("cpu", "cuda", "portable")}


def target_of(optimize: int, name: str) -> Target | None:
    """Return what -O level and target name mean; None for the definitions. Raises LrpcError for anything else."""
    known = TARGETS | {"auto": TARGETS["cpu"]}
    if optimize not in (0, 1) or name not in known:
        raise LrpcError(f"There is no -O{optimize} for {name!r}.", hint=f"Levels: 0, 1. Targets: {', '.join(known)}.")
    return known[name] if optimize else None
