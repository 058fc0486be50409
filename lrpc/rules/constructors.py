"""Relevance rules by their names in the field, with zennit's parameters and defaults.

Each constructor returns a value of the algebra in `lrpc.rules.algebra`; a new rule is one function here and
one line of `RULES`. Behaviours that are no linear rules (`lrpc.rules.behaviours`) are called as they are.

Parameters that many share:
stabilizer (or epsilon): a `Stabilizer`, its epsilon (default 1e-6), or its text.
zero_params: "bias" sets the bias to zero, so that it takes no relevance (default: it is kept, and absorbs its part).
share_bias: what the bias earns is handed to the inputs in equal parts (default False).
"""

from __future__ import annotations

from collections.abc import Callable

from lrpc.rules.algebra import (
    ABS,
    KEEP,
    NEG,
    ONE,
    POS,
    SQUARE,
    ZERO,
    Boost,
    Fill,
    Gate,
    Share,
    Term,
    Test,
)
from lrpc.rules.arguments import Bound, Epsilon, ZeroParams, bias_mod, bound, linear_rule, values
from lrpc.rules.behaviours import PLAIN, Behaviour, Pass, Rule, SignalTakesAll
from lrpc.rules.values import at_least_zero, flag

__all__ = [
    "RULES",
    "Bound",
    "Epsilon",
    "ZeroParams",
    "abs_split",
    "affine",
    "alpha_beta",
    "epsilon",
    "flat",
    "gamma",
    "gamma_plain",
    "gamma_symmetric",
    "gate",
    "lrp_0",
    "norm",
    "pass_",
    "w_square",
    "z_box",
    "z_plus",
]


def epsilon(epsilon: Epsilon = 1e-6, zero_params: ZeroParams = None, share_bias: bool = False) -> Rule:
    """Share relevance by contribution; the bias absorbs its part. LRP-0 at epsilon 0.

    R_in = x * J_w^T[R / st(z)]

    Unbounded: |R_in| grows with 1/|z|.   Source: Bach et al. 2015.
    """
    return linear_rule("epsilon", _by_contribution(zero_params), epsilon, {}, zero_params, share_bias)


def lrp_0(zero_params: ZeroParams = None, share_bias: bool = False) -> Rule:
    """Epsilon with a stabilizer of 0: what is divided by 0 is lost.

    R_in = x * J_w^T[R / z]                                 Source: Bach et al. 2015.
    """
    return linear_rule("epsilon", _by_contribution(zero_params), 0.0, {}, zero_params, share_bias)


def gamma(
    gamma: float = 0.25,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    compat: bool = False,
    share_bias: bool = False,
) -> Rule:
    """Favour contributions that agree with the sign of z (the general Gamma rule).

    d+ = f(x+; w + g w+, b + g b+) + f(x-; w + g w-, 0)   takes the relevance where z > 0,
    d- = f(x+; w + g w-, b + g b-) + f(x-; w + g w+, 0)   where z < 0; at z = 0 it is dropped.

    With zero_params="bias" the gate tests the bias-free z, which keeps the bound (2 + g) / g;
    `compat` tests the biased z as zennit does, and then nothing bounds the rule.
    Source: Montavon et al. 2019; Andeol et al. 2021.
    """
    gamma = at_least_zero("gamma", gamma)
    shares = _gamma_shares(gamma, zero_params, Test.POSITIVE, compat)
    return linear_rule(
        "gamma", shares, stabilizer, {"gamma": gamma}, zero_params, share_bias, {"compat": flag("compat", compat)}
    )


def gamma_plain(
    gamma: float = 0.25, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None, share_bias: bool = False
) -> Rule:
    """Favour positive weights whatever the sign of z: the historic Gamma rule, for post-ReLU layers only.

    R_in = x * J_{w'}^T[R / st(f(x; w', b'))],  w' = w + g w+,  b' = b + g b+

    Unbounded where z < 0, because positive contributions then move the denominator towards 0: on residual networks
    relevance explodes. It is here to reproduce that; use `gamma`.
    Source: Montavon et al. 2019; zennit up to 0.4.7, Captum.
    """
    gamma = at_least_zero("gamma", gamma)
    up = Boost(gamma, POS)
    shares = (Share((Term(KEEP, up, bias_mod(zero_params, up)),)),)
    return linear_rule("gamma_plain", shares, stabilizer, {"gamma": gamma}, zero_params, share_bias)


def gamma_symmetric(
    gamma: float = 0.25, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None, share_bias: bool = False
) -> Rule:
    """Boost whichever contributions outweigh the others.

    With P and N the sums of positive and negative contributions: where P >= |N| the denominator is
    (1 + g) P + N, else P + (1 + g) N. That is `gamma`, with z = 0 counted as positive; with
    zero_params="bias" P and N, and so the gate, leave the bias out.

    Bounded: sum |R_in| <= (2 + g) / g * sum |R_out|.       Source: M. Dreyer in zennit issue 148.
    """
    gamma = at_least_zero("gamma", gamma)
    shares = _gamma_shares(gamma, zero_params, Test.NON_NEGATIVE, compat=False)
    return linear_rule("gamma_symmetric", shares, stabilizer, {"gamma": gamma}, zero_params, share_bias)


def z_plus(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None, share_bias: bool = False) -> Rule:
    """Keep only positive contributions; for convolutions in lower layers.

    R_in = (x+ * J_{w+}^T + x- * J_{w-}^T) [R / st(f(x+; w+, b+) + f(x-; w-, 0))]

    Bounded: sum |R_in| <= sum |R_out|.   Source: Bach et al. 2015; Montavon et al. 2017.
    """
    return linear_rule("z_plus", (_positive(zero_params),), stabilizer, {}, zero_params, share_bias)


def alpha_beta(
    alpha: float = 2.0,
    beta: float = 1.0,
    stabilizer: Epsilon = 1e-6,
    zero_params: ZeroParams = None,
    share_bias: bool = False,
) -> Rule:
    """Weigh positive contributions by alpha and negative ones by beta.

    alpha times the share of z_plus, minus beta times the one with
    d = f(x+; w-, b-) + f(x-; w+, 0);   alpha - beta = 1, both at least 0 (else ValueError).

    Bounded: sum |R_in| <= (alpha + beta) * sum |R_out|.   Source: Bach et al. 2015.
    """
    alpha, beta = at_least_zero("alpha", alpha), at_least_zero("beta", beta)
    if alpha - beta != 1.0:
        raise ValueError(f"alpha - beta must be 1, not {alpha:g} - {beta:g}")
    negative = Share((Term(POS, NEG, bias_mod(zero_params, NEG)), Term(NEG, POS, ZERO)), weight=-beta)
    shares = (_positive(zero_params, alpha), negative)
    return linear_rule("alpha_beta", shares, stabilizer, {"alpha": alpha, "beta": beta}, zero_params, share_bias)


def z_box(low: Bound, high: Bound, stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """For the first layer of a network whose input lies in [low, high].

    d    = z - f(low; w+, b+) - f(high; w-, b-)
    R_in = (x * J_w^T - low * J_{w+}^T - high * J_{w-}^T)[R / st(d)]

    low, high: a number, or one per channel, in the model's input space (after normalisation);
    low <= 0 <= high, else ValueError.
    Bounded: sum |R_in| <= sum |R_out| for inputs within [low, high].   Source: Montavon et al. 2017.
    """
    below, above = bound("low", low), bound("high", high)
    if max(values(below)) > 0 or min(values(above)) < 0:
        raise ValueError(f"z_box needs low <= 0 <= high in every channel, not low={low}, high={high}")
    terms = (
        Term(KEEP, KEEP, bias_mod(zero_params)),
        Term(Fill(below), POS, bias_mod(zero_params, POS), sign=-1),
        Term(Fill(above), NEG, bias_mod(zero_params, NEG), sign=-1),
    )
    return linear_rule("z_box", (Share(terms),), stabilizer, {"low": below, "high": above}, zero_params)


def w_square(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Share relevance by squared weight, whatever the input; for first layers without bounds.

    R_in = J_{w^2}^T[R / st(f(1; w^2, b^2))]

    Bounded: sum |R_in| <= sum |R_out|.                     Source: Montavon et al. 2017.
    """
    term = Term(ONE, SQUARE, bias_mod(zero_params, SQUARE))
    return linear_rule("w_square", (Share((term,)),), stabilizer, {}, zero_params)


def flat(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Share relevance evenly over a receptive field; the bias takes none.

    R_in = J_1^T[R / st(f(1; 1, 0))]

    Bounded: sum |R_in| <= sum |R_out|.                     Source: Lapuschkin et al. 2019.
    """
    bias_mod(zero_params)
    return linear_rule("flat", (Share((Term(ONE, ONE, ZERO),)),), stabilizer)


def norm(stabilizer: Epsilon = 1e-6) -> Rule:
    """Epsilon for a layer without parameters: a residual sum or an average pool.

    R_i = x_i * R / st(z)          Unbounded where branches cancel.          Source: zennit `Norm`.
    """
    return linear_rule("norm", (Share((Term(KEEP, KEEP, ZERO),)),), stabilizer)


def abs_split(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None, share_bias: bool = False) -> Rule:
    """Share relevance by the magnitude of each contribution; for residual sums, average pools and heads.

    R_in = |x| * J_{|w|}^T[R / st(f(|x|; |w|, |b|))], in a sum R_i = |x_i| * R / st(sum_j |x_j|)

    Bounded: sum |R_in| <= sum |R_out|. What speaks against the output counts as much as what speaks for it.
    """
    shares = (Share((Term(ABS, ABS, bias_mod(zero_params, ABS)),)),)
    return linear_rule("abs_split", shares, stabilizer, {}, zero_params, share_bias)


def affine(stabilizer: Epsilon = 1e-6, zero_params: ZeroParams = None) -> Rule:
    """Epsilon for a per-channel scale and shift: a BatchNorm that no linear layer could absorb.

    R_in = x * scale * R / st(x * scale + shift); the shift absorbs its part.
    """
    return linear_rule("affine", _by_contribution(zero_params), stabilizer, {}, zero_params)


def pass_() -> Pass:
    """Hand relevance down unchanged, for activations."""
    return Pass()


def gate(signal: int | None = None) -> SignalTakesAll:
    """Hand a product's relevance to its signal, the operand 0 or 1; the gate on it gets none.

    R_signal = R, R_gate = 0.   Without `signal` it is the operand that the other one is a gate of
    (`passes.graph.gates`).
    Source: Arras et al. 2017 for LSTMs; Achtibat et al. 2024.
    """
    return SignalTakesAll(signal)


RULES: dict[str, Callable[..., Behaviour]] = {
    "epsilon": epsilon,
    "lrp_0": lrp_0,
    "gamma": gamma,
    "gamma_plain": gamma_plain,
    "gamma_symmetric": gamma_symmetric,
    "z_plus": z_plus,
    "alpha_beta": alpha_beta,
    "z_box": z_box,
    "w_square": w_square,
    "flat": flat,
    "norm": norm,
    "abs_split": abs_split,
    "affine": affine,
    **PLAIN,
}

# --- shares that several rules are made of ------------------------------------------------------------


def _by_contribution(zero_params: ZeroParams) -> tuple[Share, ...]:
    return (Share((Term(KEEP, KEEP, bias_mod(zero_params)),)),)


def _positive(zero_params: ZeroParams, weight: float = 1.0) -> Share:
    return Share((Term(POS, POS, bias_mod(zero_params, POS)), Term(NEG, NEG, ZERO)), weight=weight)


def _gamma_shares(gamma: float, zero_params: ZeroParams, upper: Test, compat: bool) -> tuple[Share, ...]:
    """Return the share that takes relevance where z is positive (`upper`), and the one where it is negative."""
    up, down = Boost(gamma, POS), Boost(gamma, NEG)
    biased = compat or bias_mod(zero_params) != ZERO
    return (
        Share((Term(POS, up, bias_mod(zero_params, up)), Term(NEG, down, ZERO)), gate=Gate(upper, biased)),
        Share((Term(POS, down, bias_mod(zero_params, down)), Term(NEG, up, ZERO)), gate=Gate(Test.NEGATIVE, biased)),
    )
