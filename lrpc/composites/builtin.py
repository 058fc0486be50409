"""The built-in composites: zennit's, with its names, parameters and defaults, and two more.

https://zennit.readthedocs.io (zennit.composites). Parameters that many share:

epsilon: the stabilizer of dense layers; stabilizer: of all other rules; sum_stabilizer: of residual sums, if
it is another one.  Each is a `Stabilizer`, its epsilon (default 1e-6), or its text.
zero_params: "bias" sets biases to zero.  share_bias: what a bias earns is handed to the inputs in equal parts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec

from lrpc import rules
from lrpc.composites.composite import LAST, Composite, Entry
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.constructors import Bound, Epsilon, ZeroParams
from lrpc.rules.kinds import LINEAR, Kind

__all__ = [
    "COMPOSITES",
    "Composite",
    "Entry",
    "beta_smooth",
    "bounded",
    "deconvnet",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
    "excitation_backprop",
    "guided_backprop",
    "tutorial",
]

P = ParamSpec("P")

TUTORIAL_EPSILON = "eps=0.25,floor=1e-9,scale=rms,unsigned"
"""The lrp-tutorial's heuristic: z + 0.25 * rms(z) + 1e-9."""


def _record(constructor: Callable[P, Composite]) -> Callable[P, Composite]:
    """Let a composite remember the parameters that it was built with."""

    @functools.wraps(constructor)
    def build(*args: P.args, **kwargs: P.kwargs) -> Composite:
        bound = inspect.signature(constructor).bind(*args, **kwargs)
        return replace(constructor(*args, **kwargs), parameters=bound.arguments)

    return build


_PRODUCTS = (
    Entry(rules.gate(), (Kind.GATE,)),
    Entry(rules.Uniform(), (Kind.PRODUCT,)),
)
_MOVES = (
    Entry(rules.WinnerTakeAll(), (Kind.MAX_POOL,)),
    Entry(rules.Gradient(), (Kind.STRUCTURE,)),
)


def _base(sums: Behaviour, pools: Behaviour) -> tuple[Entry, ...]:
    """What the LRP composites do with layers that have no weight."""
    return (
        Entry(rules.Pass(), (Kind.ACTIVATION,)),
        Entry(sums, (Kind.SUM,)),
        Entry(pools, (Kind.AVERAGE_POOL,)),
        Entry(rules.Pass(), (Kind.BATCH_NORM, Kind.LAYER_NORM)),
        *_PRODUCTS,
        *_MOVES,
    )


def _norms(stabilizer: Epsilon, sum_stabilizer: Epsilon | None) -> tuple[Behaviour, Behaviour]:
    """Return zennit's rules for sums and for average pools."""
    return rules.norm(stabilizer if sum_stabilizer is None else sum_stabilizer), rules.norm(stabilizer)


def _composite(
    name: str,
    convolution: Behaviour,
    dense: Behaviour,
    bare: tuple[Behaviour, Behaviour],
    first: tuple[Entry, ...] = (),
) -> Composite:
    """Build the shape they share: the first layer, one rule for convolutions, one for dense layers."""
    layers = (Entry(convolution, (Kind.CONVOLUTION,)), Entry(dense, (Kind.DENSE,)))
    return Composite(name, (*first, *_base(*bare), *layers))


@_record
def epsilon_gamma_box(
    low: Bound,
    high: Bound,
    epsilon: Epsilon = 1e-6,
    gamma: float = 0.25,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """ZBox for the first convolution, Gamma for the others, Epsilon for dense layers.

    low, high: the input's range after normalisation, a number or one per channel.
    """
    first = (Entry(rules.z_box(low, high, stabilizer, zero_params), (Kind.CONVOLUTION,), first=True),)
    convolution = rules.gamma(gamma, stabilizer, zero_params, share_bias=share_bias)
    dense = rules.epsilon(epsilon, zero_params, share_bias)
    return _composite("epsilon_gamma_box", convolution, dense, _norms(stabilizer, sum_stabilizer), first)


@_record
def epsilon_plus(
    epsilon: Epsilon = 1e-6,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """ZPlus for convolutions, Epsilon for dense layers."""
    convolution = rules.z_plus(stabilizer, zero_params, share_bias)
    dense = rules.epsilon(epsilon, zero_params, share_bias)
    return _composite("epsilon_plus", convolution, dense, _norms(stabilizer, sum_stabilizer))


@_record
def epsilon_plus_flat(
    epsilon: Epsilon = 1e-6,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """Flat for the first layer with a weight, ZPlus for other convolutions, Epsilon for dense layers."""
    first = (Entry(rules.flat(stabilizer, zero_params), LINEAR, first=True),)
    convolution = rules.z_plus(stabilizer, zero_params, share_bias)
    dense = rules.epsilon(epsilon, zero_params, share_bias)
    return _composite("epsilon_plus_flat", convolution, dense, _norms(stabilizer, sum_stabilizer), first)


@_record
def epsilon_alpha2_beta1(
    epsilon: Epsilon = 1e-6,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """AlphaBeta(2, 1) for convolutions, Epsilon for dense layers."""
    convolution = rules.alpha_beta(2.0, 1.0, stabilizer, zero_params, share_bias)
    dense = rules.epsilon(epsilon, zero_params, share_bias)
    return _composite("epsilon_alpha2_beta1", convolution, dense, _norms(stabilizer, sum_stabilizer))


@_record
def epsilon_alpha2_beta1_flat(
    epsilon: Epsilon = 1e-6,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """Flat for the first layer with a weight, AlphaBeta(2, 1) for convolutions, Epsilon for dense layers."""
    first = (Entry(rules.flat(stabilizer, zero_params), LINEAR, first=True),)
    convolution = rules.alpha_beta(2.0, 1.0, stabilizer, zero_params, share_bias)
    dense = rules.epsilon(epsilon, zero_params, share_bias)
    return _composite("epsilon_alpha2_beta1_flat", convolution, dense, _norms(stabilizer, sum_stabilizer), first)


@_record
def excitation_backprop(
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """ZPlus for every layer with a weight; activations and BatchNorm get the plain gradient.

    Source: Zhang et al. 2016.
    """
    sums, pools = _norms(stabilizer, sum_stabilizer)
    entries = (
        Entry(sums, (Kind.SUM,)),
        Entry(pools, (Kind.AVERAGE_POOL,)),
        Entry(rules.z_plus(stabilizer, zero_params, share_bias), LINEAR),
        Entry(rules.Gradient(), (Kind.ACTIVATION, Kind.BATCH_NORM, Kind.LAYER_NORM)),
        *_PRODUCTS,
        *_MOVES,
    )
    return Composite("excitation_backprop", entries)


@_record
def bounded(
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    sum_stabilizer: Epsilon | None = None,
    share_bias: bool = False,
) -> Composite:
    """ZPlus for every layer with a weight, residual sums and average pools by absolute value.

    Every rule hands down at most what it gets, so that for the whole network, whatever its weights and
    its input: sum |R_in| <= sum |R_out|.
    """
    layer = rules.z_plus(stabilizer, zero_params, share_bias)
    sums = rules.abs_split(stabilizer if sum_stabilizer is None else sum_stabilizer)
    return _composite("bounded", layer, layer, (sums, rules.abs_split(stabilizer)))


@_record
def tutorial(
    low: Bound,
    high: Bound,
    epsilon: Epsilon = TUTORIAL_EPSILON,
    gamma: float = 0.25,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
) -> Composite:
    """The composite of the LRP tutorial as zennit's issue 148 runs it on ResNet-50; it explodes there.

    By place among torch's leaf modules: 0 ZBox, 1 to 16 plain Gamma, 17 to 30 Epsilon with the tutorial's
    stabilizer (rms per sample), from 31 on LRP-0, for convolutions, dense layers and average pools.
    Everything else gets its gradient: a residual sum copies relevance to both branches.
    Source: Montavon et al. 2019, git.tu-berlin.de/gmontavon/lrp-tutorial; zennit issue 148.
    """
    ranges = (
        ((1, 16), rules.gamma_plain(gamma, stabilizer, zero_params), rules.norm(stabilizer)),
        ((17, 30), rules.epsilon(epsilon, zero_params), rules.norm(epsilon)),
        ((31, LAST), rules.lrp_0(zero_params), rules.norm(0.0)),
    )
    entries = [Entry(rules.z_box(low, high, stabilizer, zero_params), LINEAR, leaf=(0, 0))]
    for leaves, layer, pool in ranges:
        entries += [Entry(layer, LINEAR, leaf=leaves), Entry(pool, ops=("AveragePool",), leaf=leaves)]
    rest = (Entry(rules.WinnerTakeAll(), (Kind.MAX_POOL,)), Entry(rules.Copy(), (Kind.SUM,)), Entry(rules.Gradient()))
    return Composite("tutorial", (*entries, *rest))


@_record
def deconvnet() -> Composite:
    """The gradient, with ReLU replaced by DeconvNet's. Source: Zeiler and Fergus 2014."""
    return _relu_composite("deconvnet", rules.ReluDeconvNet())


@_record
def guided_backprop() -> Composite:
    """The gradient, with ReLU replaced by Guided Backprop's. Source: Springenberg et al. 2015."""
    return _relu_composite("guided_backprop", rules.ReluGuidedBackprop())


@_record
def beta_smooth(beta_smooth: float = 10.0) -> Composite:
    """The gradient, with ReLU's smoothed to a sigmoid. Source: Dombrowski et al. 2019."""
    return _relu_composite("beta_smooth", rules.ReluBetaSmooth(beta_smooth))


def _relu_composite(name: str, relu: Behaviour) -> Composite:
    entries = (
        Entry(relu, ops=("Relu",)),
        Entry(rules.WinnerTakeAll(), (Kind.MAX_POOL,)),
        Entry(rules.Gradient()),
    )
    return Composite(name, entries)


COMPOSITES: dict[str, Callable[..., Composite]] = {
    "epsilon_gamma_box": epsilon_gamma_box,
    "epsilon_plus": epsilon_plus,
    "epsilon_plus_flat": epsilon_plus_flat,
    "epsilon_alpha2_beta1": epsilon_alpha2_beta1,
    "epsilon_alpha2_beta1_flat": epsilon_alpha2_beta1_flat,
    "excitation_backprop": excitation_backprop,
    "bounded": bounded,
    "tutorial": tutorial,
    "deconvnet": deconvnet,
    "guided_backprop": guided_backprop,
    "beta_smooth": beta_smooth,
}
