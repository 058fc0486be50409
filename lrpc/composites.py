"""Composites: which layer gets which rule, as an ordered list in which the first match wins.

The built-in ones carry zennit's names, parameters and defaults, and read exactly as zennit's do:
https://zennit.readthedocs.io (zennit.composites).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, ParamSpec

from lrpc import rules
from lrpc.kinds import LINEAR, Kind
from lrpc.rules import Behaviour, Bound, Epsilon, ZeroParams

P = ParamSpec("P")


@dataclass(frozen=True)
class Entry:
    """One line of a composite: all its conditions must hold for the rule to apply.

    kinds: any of these kinds (empty: every kind).  ops: any of these ONNX ops (empty: every op).
    pattern: a case-sensitive glob over the layer's name.
    first: only the first layer of these kinds, in torch's registration order where the model file
    tells it, else in execution order.
    index: first and last place in the plan, inclusive.
    """

    rule: Behaviour
    kinds: tuple[Kind, ...] = ()
    ops: tuple[str, ...] = ()
    pattern: str = "*"
    first: bool = False
    index: tuple[int, int] | None = None
    origin: str = ""

    def matches(self, layer: str, op: str, kind: Kind, position: int, is_first: bool) -> bool:
        """Whether this entry applies to a layer at a place in the plan."""
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.ops or op in self.ops)
            and (not self.first or is_first)
            and (self.index is None or self.index[0] <= position <= self.index[1])
            and fnmatchcase(layer, self.pattern)
        )

    @property
    def is_sweeping(self) -> bool:
        """Whether it names layers by a wildcard alone: then it is for those that its rule fits."""
        wild = self.pattern != "*" and any(character in self.pattern for character in "*?[")
        return wild and not self.kinds and not self.ops

    @property
    def why(self) -> str:
        """The conditions in words, for the plan."""
        parts = [("first " if self.first else "") + " or ".join((*self.kinds, *self.ops))]
        parts += [f"layer {self.pattern}"] if self.pattern != "*" else []
        parts += [f"index {self.index[0]} to {self.index[1]}"] if self.index else []
        return self.origin or ", ".join(filter(None, parts)) or "every layer"


@dataclass(frozen=True)
class Composite:
    """A named, ordered list of entries; a layer that none matches is an error, never a default."""

    name: str
    entries: tuple[Entry, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a built-in composite was called with, for a reference that builds its own."""

    def __str__(self) -> str:
        return self.name


def _recorded(constructor: Callable[P, Composite]) -> Callable[P, Composite]:
    """Let a composite remember the parameters that it was built with."""

    @functools.wraps(constructor)
    def build(*args: P.args, **kwargs: P.kwargs) -> Composite:
        bound = inspect.signature(constructor).bind(*args, **kwargs)
        return replace(constructor(*args, **kwargs), parameters=bound.arguments)

    return build


_MOVES = (
    Entry(rules.WinnerTakeAll(), (Kind.MAX_POOL,)),
    Entry(rules.Gradient(), (Kind.STRUCTURE,)),
)


def _base(stabilizer: Epsilon) -> tuple[Entry, ...]:
    """What all of zennit's LRP composites do with layers that have no weight."""
    return (
        Entry(rules.Pass(), (Kind.ACTIVATION,)),
        Entry(rules.norm(stabilizer), (Kind.SUM,)),
        Entry(rules.norm(stabilizer), (Kind.AVERAGE_POOL,)),
        Entry(rules.Pass(), (Kind.BATCH_NORM,)),
        *_MOVES,
    )


def _epsilon_composite(
    name: str,
    convolution: Behaviour,
    epsilon: Epsilon,
    stabilizer: Epsilon,
    zero_params: ZeroParams,
    first: tuple[Entry, ...] = (),
) -> Composite:
    """Build the shape they share: first layer, one rule for convolutions, Epsilon for dense layers."""
    dense = rules.epsilon(epsilon, zero_params)
    layers = (Entry(convolution, (Kind.CONVOLUTION,)), Entry(dense, (Kind.DENSE,)))
    return Composite(name, (*first, *_base(stabilizer), *layers))


@_recorded
def epsilon_gamma_box(
    low: Bound,
    high: Bound,
    epsilon: Epsilon = 1e-6,
    gamma: float = 0.25,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
) -> Composite:
    """ZBox for the first convolution, Gamma for the others, Epsilon for dense layers.

    low, high: the input's range after normalisation, a number or one per channel.
    """
    box = rules.z_box(low, high, stabilizer, zero_params)
    convolution = rules.gamma(gamma, stabilizer, zero_params)
    first = (Entry(box, (Kind.CONVOLUTION,), first=True),)
    return _epsilon_composite("epsilon_gamma_box", convolution, epsilon, stabilizer, zero_params, first)


@_recorded
def epsilon_plus(epsilon: Epsilon = 1e-6, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Composite:
    """ZPlus for convolutions, Epsilon for dense layers."""
    convolution = rules.z_plus(stabilizer, zero_params)
    return _epsilon_composite("epsilon_plus", convolution, epsilon, stabilizer, zero_params)


@_recorded
def epsilon_plus_flat(epsilon: Epsilon = 1e-6, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Composite:
    """Flat for the first layer with a weight, ZPlus for other convolutions, Epsilon for dense layers."""
    convolution = rules.z_plus(stabilizer, zero_params)
    first = (Entry(rules.flat(stabilizer, zero_params), LINEAR, first=True),)
    return _epsilon_composite("epsilon_plus_flat", convolution, epsilon, stabilizer, zero_params, first)


@_recorded
def epsilon_alpha2_beta1(
    epsilon: Epsilon = 1e-6, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None
) -> Composite:
    """AlphaBeta(2, 1) for convolutions, Epsilon for dense layers."""
    convolution = rules.alpha_beta(2.0, 1.0, stabilizer, zero_params)
    return _epsilon_composite("epsilon_alpha2_beta1", convolution, epsilon, stabilizer, zero_params)


@_recorded
def epsilon_alpha2_beta1_flat(
    epsilon: Epsilon = 1e-6, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None
) -> Composite:
    """Flat for the first layer with a weight, AlphaBeta(2, 1) for convolutions, Epsilon for dense layers."""
    convolution = rules.alpha_beta(2.0, 1.0, stabilizer, zero_params)
    first = (Entry(rules.flat(stabilizer, zero_params), LINEAR, first=True),)
    return _epsilon_composite("epsilon_alpha2_beta1_flat", convolution, epsilon, stabilizer, zero_params, first)


@_recorded
def excitation_backprop(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Composite:
    """ZPlus for every layer with a weight; activations and BatchNorm get the plain gradient.

    Source: Zhang et al. 2016.
    """
    entries = (
        Entry(rules.norm(stabilizer), (Kind.SUM,)),
        Entry(rules.norm(stabilizer), (Kind.AVERAGE_POOL,)),
        Entry(rules.z_plus(stabilizer, zero_params), LINEAR),
        Entry(rules.Gradient(), (Kind.ACTIVATION, Kind.BATCH_NORM)),
        *_MOVES,
    )
    return Composite("excitation_backprop", entries)


@_recorded
def deconvnet() -> Composite:
    """The gradient, with ReLU replaced by DeconvNet's. Source: Zeiler and Fergus 2014."""
    return _relu_composite("deconvnet", rules.ReluDeconvNet())


@_recorded
def guided_backprop() -> Composite:
    """The gradient, with ReLU replaced by Guided Backprop's. Source: Springenberg et al. 2015."""
    return _relu_composite("guided_backprop", rules.ReluGuidedBackprop())


@_recorded
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
    "deconvnet": deconvnet,
    "guided_backprop": guided_backprop,
    "beta_smooth": beta_smooth,
}
