"""Any rule that fits a layer, with any stabilizer: what random plans are made of.

`pick` draws one of a list: hypothesis does (so that a failure shrinks towards the first of each list), or a
generator of random numbers (so that a plan has a number).
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_graphsurgeon as gs

from lrpc import rules
from lrpc.algebra import Behaviour
from lrpc.kinds import Kind
from lrpc.ops import OPS
from lrpc.plan import misfit
from lrpc.stabilizer import Stabilizer

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
    return pick([{}, {}, {"zero_params": "bias"}, {"share_bias": True}])


def gamma(pick: Pick) -> Behaviour:
    """General Gamma; with its bias zeroed, in some cases with zennit's gate on the biased pre-activation."""
    options = bias(pick)
    compat = {} if "share_bias" in options else {"compat": pick([False, False, True])}
    return rules.gamma(pick(GAMMAS), stabilizer(pick), **options, **compat)


def alpha_beta(pick: Pick) -> Behaviour:
    beta = pick([1.0, 0.0, 2.0])
    return rules.alpha_beta(1 + beta, beta, stabilizer(pick), **bias(pick))


def z_box(pick: Pick, channels: int | None = None) -> Behaviour:
    """With bounds for all channels alike, or, where their number is known, with a pair for each."""
    if channels is not None and pick([False, False, True]):
        boxes = [pick(BOXES) for _ in range(channels)]
        low, high = (list(ends) for ends in zip(*boxes, strict=True))
    else:
        low, high = pick(BOXES)
    return rules.z_box(low, high, stabilizer(pick), pick([None, "bias"]))


LINEAR: list[Callable[[Pick], Behaviour]] = [
    lambda pick: rules.epsilon(stabilizer(pick), **bias(pick)),
    gamma,
    gamma,
    alpha_beta,
    lambda pick: rules.z_plus(stabilizer(pick), **bias(pick)),
    lambda pick: rules.gamma_plain(pick(GAMMAS), stabilizer(pick), **bias(pick)),
    lambda pick: rules.gamma_symmetric(pick(GAMMAS), stabilizer(pick), **bias(pick)),
    lambda pick: rules.abs_split(stabilizer(pick), **bias(pick)),
    lambda pick: rules.w_square(stabilizer(pick), pick([None, "bias"])),
    lambda pick: rules.flat(stabilizer(pick)),
    lambda pick: rules.Gradient(),
]
FREE: list[Callable[[Pick], Behaviour]] = [
    lambda pick: rules.norm(stabilizer(pick)),
    lambda pick: rules.norm(stabilizer(pick)),
    lambda pick: rules.abs_split(stabilizer(pick)),
    lambda pick: rules.abs_split(stabilizer(pick)),
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
"""The behaviours that look at no stabilizer, by kind; those that do not fit a layer are left out there."""


def rule_for(pick: Pick, node: gs.Node) -> Behaviour:
    """Any rule that fits a node, those that keep what is known of it more often."""
    kind = OPS[node.op].kind_of(node)
    if kind in (Kind.CONVOLUTION, Kind.DENSE):
        shape = node.inputs[0].shape
        return pick([*LINEAR, lambda pick: z_box(pick, int(shape[1]))])(pick)
    if kind is Kind.BATCH_NORM:
        return pick([lambda pick: rules.Pass(), *LINEAR, z_box])(pick)
    whole = [rule for rule in WHOLE[kind] if not misfit(OPS[node.op], node, rule)]
    if kind in (Kind.SUM, Kind.AVERAGE_POOL) and pick([True, True, False]):
        return pick(FREE)(pick)
    return pick(whole)
