"""Any rule that fits a layer, with any stabilizer: what random plans are made of.

`pick` draws one of a list: hypothesis does (so that a failure shrinks towards the first of each list), or a
generator of random numbers (so that a plan has a number).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from lrpc import rules
from lrpc.behaviours import meaning
from lrpc.ops import OPS
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.kinds import Kind
from lrpc.rules.stabilizer import Stabilizer

Pick = Callable[[list], object]

COMMON = [Stabilizer(), Stabilizer(0.1), Stabilizer(0.0), Stabilizer(0.25, 1e-9, scale="rms")]
GAMMAS = [0.25, 0.0, 0.5, 1.0, 10.0]
BOXES = [(-4.0, 4.0), (0.0, 4.0), (-4.0, 0.0), (-1.0, 3.0)]


def stabilizer(pick: Pick) -> Stabilizer:
    """One of the common ones, or any combination of options."""
    if pick([True, False]):
        return pick(COMMON)
    return Stabilizer(
        epsilon=pick([1e-6, 0.0, 1e-3, 0.25]),
        floor=pick([0.0, 0.0, 1e-9, 0.1]),
        clip=pick([False, True]),
        scale=pick(["none", "rms"]),
        axes=pick([None, (1,)]),
        signed=pick([True, True, True, False]),
    )


def bias(pick: Pick) -> dict[str, object]:
    """Kept, zeroed, or shared out: never two of them."""
    return pick([{}, {}, {}, {"zero_params": "bias"}, {"share_bias": True}])


def gamma(pick: Pick, stabilizer: Stabilizer) -> Behaviour:
    """General Gamma; with its bias zeroed, in some cases with zennit's gate on the biased pre-activation."""
    options = bias(pick)
    compat = {} if "share_bias" in options else {"compat": pick([False, False, True])}
    return rules.gamma(pick(GAMMAS), stabilizer, **options, **compat)


def alpha_beta(pick: Pick, stabilizer: Stabilizer) -> Behaviour:
    beta = pick([1.0, 0.0, 2.0])
    return rules.alpha_beta(1 + beta, beta, stabilizer, **bias(pick))


def z_box(pick: Pick, stabilizer: Stabilizer, channels: int | None = None) -> Behaviour:
    """With bounds for all channels alike, or, where their number is known, with a pair for each."""
    if channels is not None and pick([False, False, True]):
        boxes = [pick(BOXES) for _ in range(channels)]
        low, high = (list(ends) for ends in zip(*boxes, strict=True))
    else:
        low, high = pick(BOXES)
    return rules.z_box(low, high, stabilizer, pick([None, "bias"]))


def epsilon(pick: Pick, stabilizer: Stabilizer) -> Behaviour:
    return rules.epsilon(stabilizer, **bias(pick))


LINEAR: list[Callable[[Pick, Stabilizer], Behaviour]] = [
    epsilon,
    epsilon,
    gamma,
    gamma,
    alpha_beta,
    lambda pick, stabilizer: rules.z_plus(stabilizer, **bias(pick)),
    lambda pick, stabilizer: rules.gamma_plain(pick(GAMMAS), stabilizer, **bias(pick)),
    lambda pick, stabilizer: rules.gamma_symmetric(pick(GAMMAS), stabilizer, **bias(pick)),
    lambda pick, stabilizer: rules.abs_split(stabilizer, **bias(pick)),
    lambda pick, stabilizer: rules.w_square(stabilizer, pick([None, "bias"])),
    lambda pick, stabilizer: rules.flat(stabilizer),
    lambda pick, stabilizer: rules.Gradient(),
]
WHOLE: dict[Kind, list[Behaviour]] = {
    Kind.SUM: [rules.Copy(), rules.BodyOnly(), rules.Gradient()],
    Kind.AVERAGE_POOL: [rules.Gradient()],
    Kind.MAX_POOL: [rules.WinnerTakeAll(), rules.Gradient()],
    Kind.GATE: [rules.SignalTakesAll(0), rules.SignalTakesAll(1), rules.Uniform(), rules.Gradient()],
    Kind.PRODUCT: [rules.SignalTakesAll(0), rules.SignalTakesAll(1), rules.Uniform(), rules.Gradient()],
    Kind.LAYER_NORM: [rules.Pass(), rules.Gradient()],
    Kind.STRUCTURE: [rules.Gradient(), rules.Pass()],
    Kind.ACTIVATION: [
        rules.Pass(), rules.Pass(), rules.Pass(), rules.Gradient(),
        rules.ReluDeconvNet(), rules.ReluGuidedBackprop(), rules.ReluBetaSmooth(1.0),
    ],
}  # fmt: skip
"""The behaviours that look at no stabilizer, by kind."""


@dataclass
class Drawer:
    """Draws a rule for each layer of one plan.

    Half of the plans draw all anew at each layer. The others are of one piece, as composites are: one stabilizer, two
    rules at most for layers with a weight, activations that pass: so that what neighbours do together happens often.
    """

    pick: Pick

    def __post_init__(self) -> None:
        self.uniform = self.pick([True, False])
        self.fixed = stabilizer(self.pick) if self.uniform else None
        self.linear = [self.pick(LINEAR) for _ in range(self.pick([1, 2]))] if self.uniform else LINEAR

    def rule_for(self, node: gs.Node) -> Behaviour:
        """Any rule that fits a node."""
        op, kind = OPS[node.op], OPS[node.op].kind_of(node)
        pick = self.pick
        if kind in (Kind.CONVOLUTION, Kind.DENSE):
            channels = int(node.inputs[0].shape[1])
            others = [] if self.uniform and pick([True, True, True, False]) else [lambda *a: z_box(*a, channels)]
            return pick([*self.linear, *others])(pick, self._stabilizer())
        if kind is Kind.BATCH_NORM:
            return pick([lambda *a: rules.Pass(), *self.linear, z_box])(pick, self._stabilizer())
        if kind in (Kind.SUM, Kind.AVERAGE_POOL) and pick([True, True, False]):
            return pick([rules.norm, rules.abs_split])(self._stabilizer())
        if kind is Kind.ACTIVATION and self.uniform and pick([True, True, True, False]):
            return rules.Pass()
        return pick([rule for rule in WHOLE[kind] if not meaning(rule).misfit(rule, op, node)])

    def _stabilizer(self) -> Stabilizer:
        return self.fixed or stabilizer(self.pick)
