"""A rule as a formula in plain text, and how many linear maps it takes.

    x J_{w+}[R / (f(x; w+, b+) + 1e-06)]

J_{w'} stands for the transposed Jacobian of f(.; w', 0), z for the layer's own output, v+ and v- for max(v, 0) and
min(v, 0), sgn for the sign of the denominator d (+1 at 0). A test in brackets is 1 where it holds, else 0.
"""

from __future__ import annotations

from typing import assert_never

from lrpc.rules.algebra import (
    KEEP,
    ONE,
    ZERO,
    Abs,
    Boost,
    Fill,
    Gate,
    Keep,
    Mod,
    Neg,
    Pos,
    Rule,
    Scaled,
    Share,
    Side,
    Square,
    Term,
    Test,
    Zero,
)
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.stabilizer import Stabilizer


def formula(rule: Behaviour, parametric: bool = True) -> str:
    """Return what a rule computes; a behaviour that is no linear rule has no formula but its name.

    parametric: whether its layer has parameters; where not, none are shown.
    """
    if not isinstance(rule, Rule):
        return str(rule)
    parts = [_share(share, rule.stabilizer, parametric) for share in rule.shares]
    signs = ["- " if share.weight < 0 else "+ " for share in rule.shares]
    text = " ".join(sign + part for sign, part in zip(signs, parts, strict=True)).removeprefix("+ ")
    return text + (" + what the bias earns, in equal parts" if rule.share_bias else "")


def maps(rule: Behaviour, bias: bool = True) -> int:
    """Return how many times a rule applies its layer or a transpose of it, the model's own forward pass included.

    That pass computes the layer's own output; a term whose input is a constant is computed when the graph is compiled.
    A gate takes one map more where it tests an output without the layer's bias that no term computes.
    bias: whether the layer has one that is not 0.
    """
    if not isinstance(rule, Rule):
        return 1
    terms = [term for share in rule.shares for term in share.terms]
    forward = [t for t in terms if not (isinstance(t.x, Fill) or _is_own(t, bias))]
    bias_free = any(share.gate.test is not Test.ALWAYS and not share.gate.bias for share in rule.shares)
    gate = bias and bias_free and not any((t.x, t.w, t.b) == (KEEP, KEEP, ZERO) for t in terms)
    return 1 + len(forward) + len(terms) + int(gate)


def _is_own(term: Term, bias: bool) -> bool:
    return (term.x, term.w) == (KEEP, KEEP) and (term.b == KEEP or not bias)


def _share(share: Share, stabilizer: Stabilizer, parametric: bool) -> str:
    weight = "" if abs(share.weight) == 1 else f"{abs(share.weight):g} "
    backward = [_backward(term, parametric) for term in share.terms]
    numerator = backward[0] if len(backward) == 1 else f"({_sum(share.terms, backward)})"
    gate = "" if share.gate.test is Test.ALWAYS else f"{_gate(share.gate, parametric)} "
    return f"{weight}{numerator}[{gate}R / {_denominator(share, stabilizer, parametric)}]"


def _sum(terms: tuple[Term, ...], texts: list[str]) -> str:
    pairs = zip(terms, texts, strict=True)
    return " ".join(("+ " if term.sign > 0 else "- ") + text for term, text in pairs).removeprefix("+ ")


def _backward(term: Term, parametric: bool) -> str:
    x = mod_text("x", term.x)
    factor = "" if term.x == ONE else f"({x}) " if x.startswith("-") else f"{x} "
    jacobian = f"J_{_group(mod_text('w', term.w))}" if parametric else "J"
    return f"{factor}{jacobian}" + (f" sgn({_output(term, parametric)})" if term.follows else "")


def _denominator(share: Share, stabilizer: Stabilizer, parametric: bool) -> str:
    outputs = [_output(term, parametric) for term in share.terms]
    sizes = [f"|{z}|" if term.follows else z for term, z in zip(share.terms, outputs, strict=True)]
    return _stabilize(_sum(share.terms, sizes), len(sizes) > 1, stabilizer, share.side)


def _output(term: Term, parametric: bool) -> str:
    if (term.x, term.w) == (KEEP, KEEP) and (term.b == KEEP or not parametric):
        return "z"
    if not parametric:
        return f"f({mod_text('x', term.x)})"
    return f"f({mod_text('x', term.x)}; {mod_text('w', term.w)}, {mod_text('b', term.b)})"


def _stabilize(d: str, several: bool, stabilizer: Stabilizer, side: Side) -> str:
    margin = _margin(stabilizer)
    sign = "" if side is Side.POSITIVE or not stabilizer.signed else "-" if side is Side.NEGATIVE else "sgn "
    if margin == "0":
        return f"({d})" if several else d
    if stabilizer.clip:
        name = "min" if sign == "-" else "max"
        negated = f"-({margin})" if sign == "-" and " " in margin else f"{sign}{margin}"
        return f"sgn max(|{d}|, {margin})" if sign == "sgn " else f"{name}({d}, {negated})"
    grouped = f"({margin})" if sign and " " in margin else margin
    return f"({d} - {grouped})" if sign == "-" else f"({d} + {sign}{grouped})"


def _margin(stabilizer: Stabilizer) -> str:
    if stabilizer.scale == "none":
        return f"{stabilizer.epsilon + stabilizer.floor:.3g}"
    scaled = [f"{stabilizer.epsilon:.3g} rms(d)"] if stabilizer.epsilon else []
    return " + ".join([*scaled, *([f"{stabilizer.floor:.3g}"] if stabilizer.floor else [])]) or "0"


def _gate(gate: Gate, parametric: bool) -> str:
    return f"[{'z' if gate.bias or not parametric else 'f(x; w, 0)'} {gate.test.value}]"


def mod_text(name: str, mod: Mod) -> str:
    """Return mod(v) of the value called `name`."""
    match mod:
        case Keep():
            return name
        case Pos():
            return f"{name}+"
        case Neg():
            return f"{name}-"
        case Abs():
            return f"|{name}|"
        case Zero():
            return "0"
        case Square():
            return f"{name}^2"
        case Boost(gamma, part):
            return f"{name} + {gamma:.3g} {mod_text(name, part)}"
        case Scaled(factor, part):
            inner = mod_text(name, part)
            return f"{factor:.3g} ({inner})" if " " in inner else f"{factor:.3g} {inner}"
        case Fill(value):
            return "[" + ", ".join(f"{v:.3g}" for v in value) + "]" if isinstance(value, tuple) else f"{value:.3g}"
        case _:
            assert_never(mod)


def _group(text: str) -> str:
    return text if text == "w" else "{" + text + "}"
