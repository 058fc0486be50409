"""What can be done about a rule that amplifies relevance: other rules for the same layer, the mildest first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lrpc import rules
from lrpc.rules.algebra import Rule
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.constructors import RULES
from lrpc.rules.kinds import LINEAR, Kind
from lrpc.rules.stabilizer import Stabilizer

_STABILIZERS = (Stabilizer(0.01, scale="rms", clip=True), Stabilizer(0.25, scale="rms"))
"""First clipped, which leaves alone every denominator that is large enough; then shifted."""


def remedies(kind: Kind, rule: Behaviour) -> list[Behaviour]:
    """Return what to try instead of a rule, from what changes least to what changes most.

    Plain Gamma becomes general; a biased gate bias-free; a stabilizer signed, then larger and relative to the
    layer's rms; what is unbounded after that, general Gamma; AlphaBeta, ZPlus.  A sum that copies is shared out
    by value, then by absolute value, then to the body alone.  [] where nothing milder than another method helps.
    """
    if kind is Kind.SUM:
        return _for_sum(rule)
    if kind is Kind.AVERAGE_POOL and rule.name in ("norm", "epsilon"):
        return [*_restabilize(rule, "norm"), rules.abs_split()]
    if kind in LINEAR:
        return _for_linear(rule)
    return []


def healthy_rules(kind: Kind, rule: Behaviour) -> tuple[Behaviour, ...]:
    """Return what a healthy explanation of the same kind has for a layer: by general Gamma, with sums by value, with
    sums by absolute value; and last by ZPlus, which with those bounds the whole network.

    What is of that kind already stays: ZBox in the first layer, another gamma, a stabilizer of its own.
    """
    name, biases = rule.name, _biases(rule)
    if kind is Kind.SUM and name not in ("abs_split", "body_only"):
        return (rule if _is_steady(rule) else rules.norm(), rules.abs_split(), rules.abs_split())
    if kind is Kind.AVERAGE_POOL and name != "abs_split":
        by_value = rule if _is_steady(rule) else rules.norm()
        return (by_value, by_value, rules.abs_split())
    if kind in LINEAR and name in _UNBOUNDED:
        general = _general(kind, rule)
        return (general, general, rules.z_plus(**biases))
    return (rule, rule, rule)


_UNBOUNDED = ("epsilon", "gamma_plain", "gamma", "gamma_symmetric", "gradient")


def _general(kind: Kind, rule: Behaviour) -> Behaviour:
    """Return general Gamma for a convolution, Epsilon for a dense layer; the rule itself where it is one of them."""
    general = rule.name in ("gamma", "gamma_symmetric") and not _arguments(rule).get("compat")
    if general or (kind is Kind.DENSE and _is_steady(rule)):
        return rule
    return rules.gamma(**_biases(rule)) if kind is Kind.CONVOLUTION else rules.epsilon(**_biases(rule))


def _is_steady(rule: Behaviour) -> bool:
    """Whether it is Epsilon or Norm with a stabilizer that keeps denominators away from 0."""
    if not isinstance(rule, Rule) or rule.name not in ("epsilon", "norm"):
        return False
    return rule.stabilizer.signed and (rule.stabilizer.epsilon > 0 or rule.stabilizer.floor > 0)


def _for_sum(rule: Behaviour) -> list[Behaviour]:
    last: list[Behaviour] = [rules.abs_split(), rules.BodyOnly()]
    match rule.name:
        case "copy" | "gradient":
            return [rules.norm(), *_restabilize(rules.norm(), "norm"), *last]
        case "norm" | "epsilon":
            return [*_restabilize(rule, "norm"), *last]
        case _:
            return []


def _for_linear(rule: Behaviour) -> list[Behaviour]:
    biases = _biases(rule)
    match rule.name:
        case "gamma_plain":
            return [rules.gamma(**_arguments(rule))]
        case "gamma" if _arguments(rule).get("compat"):
            return [rules.gamma(**_arguments(rule) | {"compat": False})]
        case "epsilon":
            return [*_restabilize(rule, "epsilon"), rules.gamma(**biases)]
        case "gradient":
            return [rules.epsilon(), *_restabilize(rules.epsilon(), "epsilon"), rules.gamma()]
        case "alpha_beta":
            return [rules.z_plus(**biases)]
        case _:
            return []


def _restabilize(rule: Behaviour, constructor: str) -> list[Behaviour]:
    """Return an Epsilon or Norm rule with its stabilizer signed, then with larger ones than it has."""
    assert isinstance(rule, Rule)
    own = rule.stabilizer
    signed = [] if own.signed else [replace(own, signed=True)]
    nothing = [Stabilizer()] if own.epsilon == 0 and own.floor == 0 else []
    larger = [st for st in _STABILIZERS if own.scale != "rms" or st.epsilon > own.epsilon]
    biases = _biases(rule) if constructor == "epsilon" else {}
    return [RULES[constructor](stabilizer, **biases) for stabilizer in (*signed, *nothing, *larger)]


def _arguments(rule: Behaviour) -> dict[str, Any]:
    """Return the arguments that a rule was built with, by name."""
    return dict(rule.call.arguments)


def _biases(rule: Behaviour) -> dict[str, Any]:
    """Return what a rule does with the bias, as arguments for another."""
    return {key: value for key, value in _arguments(rule).items() if key in ("zero_params", "share_bias")}
