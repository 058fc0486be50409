"""Relevance rules by their names in the field, with zennit's parameters and defaults.

Each constructor returns a value of the algebra in `lrpc.algebra`; a new rule is one function here and
one line of `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lrpc.algebra import (
    KEEP,
    NEG,
    ONE,
    POS,
    SQUARE,
    ZERO,
    Behaviour,
    Boost,
    Copy,
    Fill,
    Gate,
    Gradient,
    Mod,
    Pass,
    ReluBetaSmooth,
    ReluDeconvNet,
    ReluGuidedBackprop,
    Rule,
    Share,
    Term,
    Test,
    WinnerTakeAll,
)
from lrpc.stabilizer import Stabilizer

__all__ = [
    "RULES",
    "Behaviour",
    "Bound",
    "Copy",
    "Epsilon",
    "Gradient",
    "Pass",
    "ReluBetaSmooth",
    "ReluDeconvNet",
    "ReluGuidedBackprop",
    "Rule",
    "WinnerTakeAll",
    "ZeroParams",
    "affine",
    "alpha_beta",
    "epsilon",
    "flat",
    "gamma",
    "norm",
    "pass_",
    "w_square",
    "z_box",
    "z_plus",
]

Epsilon = Stabilizer | float | str
ZeroParams = str | Sequence[str] | None
Bound = float | Sequence[float]


def epsilon(epsilon: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Share relevance by contribution; the bias absorbs its part. LRP-0 at epsilon 0.

    R_in = x * J_w^T[R / st(z)]

    Unbounded: |R_in| grows with 1/|z|.   Source: Bach et al. 2015.
    """
    bias = _bias(zero_params)
    return _rule("epsilon", (Share((Term(KEEP, KEEP, bias),)),), epsilon, (), zero_params)


def gamma(
    gamma: float = 0.25, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None, compat: bool = False
) -> Rule:
    """Favour contributions that agree with the sign of z (the general Gamma rule).

    d+ = f(x+; w + g w+, b + g b+) + f(x-; w + g w-, 0)   takes the relevance where z > 0,
    d- = f(x+; w + g w-, b + g b-) + f(x-; w + g w+, 0)   where z < 0; at z = 0 it is dropped.

    With zero_params="bias" the gate tests the bias-free z, which keeps the bound (2 + g) / g;
    `compat` tests the biased z as zennit does, and then nothing bounds the rule.
    Source: Montavon et al. 2019; Andeol et al. 2021.
    """
    _at_least_zero(gamma=gamma)
    up, down = Boost(gamma, POS), Boost(gamma, NEG)
    bias_free = _bias(zero_params) == ZERO
    up_bias, down_bias = (ZERO, ZERO) if bias_free else (up, down)
    shares = (
        Share((Term(POS, up, up_bias), Term(NEG, down, ZERO)), gate=Gate(Test.POSITIVE, compat or not bias_free)),
        Share(
            (Term(POS, down, down_bias), Term(NEG, up, ZERO)),
            gate=Gate(Test.NEGATIVE, compat or not bias_free),
        ),
    )
    return _rule("gamma", shares, stabilizer, (gamma,), zero_params, *(["compat=True"] if compat else []))


def z_plus(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Keep only positive contributions; for convolutions in lower layers.

    R_in = (x+ * J_{w+}^T + x- * J_{w-}^T) [R / st(f(x+; w+, b+) + f(x-; w-, 0))]

    Bounded: sum |R_in| <= sum |R_out|.   Source: Bach et al. 2015; Montavon et al. 2017.
    """
    return _rule("z_plus", (_positive(zero_params),), stabilizer, (), zero_params)


def alpha_beta(
    alpha: float = 2.0, beta: float = 1.0, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None
) -> Rule:
    """Weigh positive contributions by alpha and negative ones by beta.

    alpha times the share of z_plus, minus beta times the one with
    d = f(x+; w-, b-) + f(x-; w+, 0);   alpha - beta = 1, both at least 0 (else ValueError).

    Bounded: sum |R_in| <= (alpha + beta) * sum |R_out|.   Source: Bach et al. 2015.
    """
    _at_least_zero(alpha=alpha, beta=beta)
    if alpha - beta != 1.0:
        raise ValueError(f"alpha - beta must be 1, not {alpha:g} - {beta:g}")
    negative = Share((Term(POS, NEG, _bias(zero_params, NEG)), Term(NEG, POS, ZERO)), weight=-beta)
    shares = (_positive(zero_params, alpha), negative)
    return _rule("alpha_beta", shares, stabilizer, (alpha, beta), zero_params)


def z_box(low: Bound, high: Bound, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """For the first layer of a network whose input lies in [low, high].

    d    = z - f(low; w+, b+) - f(high; w-, b-)
    R_in = (x * J_w^T - low * J_{w+}^T - high * J_{w-}^T)[R / st(d)]

    low, high: a number, or one per channel, in the model's input space (after normalisation);
    low <= 0 <= high, else ValueError.   Source: Montavon et al. 2017.
    """
    below, above = _bound(low), _bound(high)
    if max(_values(below)) > 0 or min(_values(above)) < 0:
        raise ValueError(f"z_box needs low <= 0 <= high in every channel, not low={low}, high={high}")
    terms = (
        Term(KEEP, KEEP, _bias(zero_params)),
        Term(Fill(below), POS, _bias(zero_params, POS), sign=-1),
        Term(Fill(above), NEG, _bias(zero_params, NEG), sign=-1),
    )
    bounds = (f"low={_number(below)}", f"high={_number(above)}")
    return _rule("z_box", (Share(terms),), stabilizer, bounds, zero_params)


def w_square(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Share relevance by squared weight, whatever the input; for first layers without bounds.

    R_in = J_{w^2}^T[R / st(f(1; w^2, b^2))]                Source: Montavon et al. 2017.
    """
    term = Term(ONE, SQUARE, _bias(zero_params, SQUARE))
    return _rule("w_square", (Share((term,)),), stabilizer, (), zero_params)


def flat(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Share relevance evenly over a receptive field; the bias takes none.

    R_in = J_1^T[R / st(f(1; 1, 0))]                        Source: Lapuschkin et al. 2019.
    """
    _bias(zero_params)
    return _rule("flat", (Share((Term(ONE, ONE, ZERO),)),), stabilizer, (), None)


def norm(stabilizer: Epsilon = 1e-6) -> Rule:
    """Epsilon for a layer without parameters: a residual sum or an average pool.

    R_i = x_i * R / st(z)          Unbounded where branches cancel.          Source: zennit `Norm`.
    """
    return _rule("norm", (Share((Term(KEEP, KEEP, ZERO),)),), stabilizer, (), None)


def affine(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Epsilon for a per-channel scale and shift: a BatchNorm that no linear layer could absorb.

    R_in = x * scale * R / st(x * scale + shift); the shift absorbs its part.
    """
    return _rule("affine", (Share((Term(KEEP, KEEP, _bias(zero_params)),)),), stabilizer, (), zero_params)


def pass_() -> Pass:
    """Hand relevance down unchanged, for activations."""
    return Pass()


RULES: dict[str, Callable[..., Behaviour]] = {
    "epsilon": epsilon,
    "gamma": gamma,
    "z_plus": z_plus,
    "alpha_beta": alpha_beta,
    "z_box": z_box,
    "w_square": w_square,
    "flat": flat,
    "norm": norm,
    "affine": affine,
    "pass": Pass,
    "gradient": Gradient,
    "copy": Copy,
    "winner_take_all": WinnerTakeAll,
    "relu_deconvnet": ReluDeconvNet,
    "relu_guided_backprop": ReluGuidedBackprop,
    "relu_beta_smooth": ReluBetaSmooth,
}

# --- how the constructors read their parameters ---------------------------------------------------------


def _positive(zero_params: ZeroParams, weight: float = 1.0) -> Share:
    return Share((Term(POS, POS, _bias(zero_params, POS)), Term(NEG, NEG, ZERO)), weight=weight)


def _bias(zero_params: ZeroParams, otherwise: Mod = KEEP) -> Mod:
    names = {zero_params} if isinstance(zero_params, str) else set(zero_params or ())
    if names - {"bias"}:
        raise ValueError(f"zero_params may name 'bias' only, not {sorted(names)}")
    return ZERO if names else otherwise


def _bound(value: Bound) -> float | tuple[float, ...]:
    return tuple(float(v) for v in value) if isinstance(value, Sequence) else float(value)


def _values(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _at_least_zero(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, not {value}")


def _number(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_number, value)) + "]"
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


def _rule(
    name: str,
    shares: tuple[Share, ...],
    stabilizer: Epsilon,
    shown: tuple[object, ...],
    zero_params: ZeroParams,
    *options: str,
) -> Rule:
    st = Stabilizer.of(stabilizer)
    arguments = [_number(value) for value in shown]
    if name == "epsilon":
        arguments.append(str(st))
    elif st != Stabilizer():
        arguments.append(f"stabilizer={st}")
    arguments += ["zero_params='bias'"] if zero_params else []
    arguments += options
    return Rule(f"{name}({', '.join(arguments)})" if arguments else name, shares, st)
