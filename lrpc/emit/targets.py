"""What a graph is optimised for: of equal forms of one step, the cheapest that the target's runtimes have.

A new choice is a row of `COSTS`, a case in `benchmarks/costs.py`, which measures it, and the code that emits its forms;
a form that some runtime lacks is also a row of `NEEDS`. A new target is a row of `lrpc.emit.capabilities.TARGETS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lrpc.emit import capabilities
from lrpc.emit.capabilities import BOTH_WAYS, MAX_INDICES, SCATTER_ADD, lacks
from passes.errors import LrpcError

TRANSPOSE, STEP, EVEN_AVERAGE, DENSE_AVERAGE = "transpose", "step", "even average", "dense average"
WINNER, REVERSED_WEIGHT = "winner", "reversed weight"
ELSEWHERE = "elsewhere"

COSTS: dict[str, dict[str, dict[str, float]]] = {
    # The transpose of a stride-1 convolution: 64 channels of 56 x 56, kernel 3. Depthwise, Conv is 2.6 times as fast.
    TRANSPOSE: {
        "cpu": {"Conv": 12.7, "ConvTranspose": 14.0},
        "cuda": {"ConvTranspose": 1.0, "Conv": 1.0},
        ELSEWHERE: {"Conv": 1.0, "ConvTranspose": 1.0},
    },
    # 1 where a value is at least 0, else 0: 256 channels of 56 x 56.
    STEP: {
        "cpu": {"HardSigmoid": 0.44, "GreaterOrEqual": 0.90},
        "cuda": {"GreaterOrEqual": 1.0, "HardSigmoid": 1.0},
        ELSEWHERE: {"GreaterOrEqual": 1.0},
    },
    # The transpose of an average pool whose windows tile its input: 256 channels of 14 x 14.
    EVEN_AVERAGE: {
        "cpu": {"Resize": 0.16, "ConvTranspose": 0.46},
        "cuda": {"Resize": 1.0, "ConvTranspose": 2.0},
        ELSEWHERE: {"Resize": 1.0, "ConvTranspose": 1.0},
    },
    # The transpose of an average pool with stride 1.
    DENSE_AVERAGE: {
        "cpu": {"AveragePool": 0.12, "ConvTranspose": 0.66},
        "cuda": {"AveragePool": 1.0, "ConvTranspose": 2.0},
        ELSEWHERE: {"AveragePool": 1.0, "ConvTranspose": 1.0},
    },
    # What a max pool hands down: 64 channels of 112 x 112, windows of 3 x 3, stride 2.
    WINNER: {
        "cpu": {"ScatterElements": 42.3, "Slices": 104.4},
        "cuda": {"ScatterElements": 1.0, "Slices": 2.0},
        ELSEWHERE: {"ScatterElements": 1.0, "Slices": 2.0},
    },
    # The weight of a transpose, which its layer reads too: a copy that is folded at load takes memory, and no time.
    REVERSED_WEIGHT: {ELSEWHERE: {"shared": 0.0, "copied": 0.0}},
}
"""By step and target, the cost of each form, the first one winning ties.

cpu: milliseconds of ONNX Runtime on two threads of an AMD EPYC (`python -m benchmarks.costs`).  cuda, elsewhere (every
other target): not measured; a form that reads and writes less comes first.
"""

NEEDS: dict[tuple[str, str], tuple[str, ...]] = {
    (WINNER, "ScatterElements"): (MAX_INDICES, SCATTER_ADD),
    (REVERSED_WEIGHT, "shared"): (BOTH_WAYS,),
}
"""The forms of operators (`lrpc.emit.capabilities.FORMS`) without which a step cannot take a form."""


@dataclass(frozen=True)
class Target:
    """Runtimes to emit for. forms: the form that each step takes."""

    name: str
    forms: dict[str, str] = field(hash=False)

    def takes(self, step: str, form: str) -> bool:
        """Whether a step takes a form."""
        return self.forms[step] == form


def _chosen(name: str, step: str) -> str:
    missing = lacks(name)
    costs = COSTS[step].get(name, COSTS[step][ELSEWHERE])
    had = {form: cost for form, cost in costs.items() if not missing.keys() & NEEDS.get((step, form), ())}
    return min(had, key=had.__getitem__)


TARGETS = {name: Target(name, {step: _chosen(name, step) for step in COSTS}) for name in capabilities.TARGETS}


def target_of(optimize: int, name: str) -> Target | None:
    """Return what -O level and target name mean; None for the definitions. Raises LrpcError for anything else."""
    known = TARGETS | {"auto": TARGETS["cpu"]}
    if optimize not in (0, 1) or name not in known:
        raise LrpcError(f"There is no -O{optimize} for {name!r}.", hint=f"Levels: 0, 1. Targets: {', '.join(known)}.")
    return known[name] if optimize else None
