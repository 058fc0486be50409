"""Rules as formulas: golden text, as it is defined and as facts leave it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lrpc import rules
from lrpc.behaviours.support import Support
from lrpc.plan.facts import Facts
from lrpc.plan.simplify import simplify_rule
from lrpc.rules.formula import formula, maps
from lrpc.rules.sign import ANY, NON_NEGATIVE, ZEROS
from lrpc.rules.stabilizer import Stabilizer

POST_RELU, PRE_RELU = Facts(NON_NEGATIVE, ANY, ANY, Support.ANYWHERE), Facts(ANY, ANY, ANY, Support.POSITIVE)
INNER = Facts(NON_NEGATIVE, ANY, ANY, Support.POSITIVE)

# rule, what is known (None: the rule as it is defined), formula, linear maps
FORMULAS = [
    (rules.epsilon(), None, "x J_w[R / (z + sgn 1e-06)]", 2),
    (rules.epsilon(), PRE_RELU, "x J_w[R / (z + 1e-06)]", 2),
    (rules.lrp_0(), None, "x J_w[R / z]", 2),
    (
        rules.epsilon(0.1, zero_params="bias"), None,
        "x J_w[R / (f(x; w, 0) + sgn 0.1)]", 3,
    ),
    (rules.epsilon(0.1, share_bias=True), None, "x J_w[R / (z + sgn 0.1)] + what the bias earns, in equal parts", 2),
    (rules.epsilon(Stabilizer(0.25, 1e-9, scale="rms")), None, "x J_w[R / (z + sgn (0.25 rms(d) + 1e-09))]", 2),
    (rules.epsilon(Stabilizer(0.1, clip=True)), None, "x J_w[R / sgn max(|z|, 0.1)]", 2),
    (rules.epsilon(Stabilizer(0.1, clip=True)), PRE_RELU, "x J_w[R / max(z, 0.1)]", 2),
    (rules.epsilon(Stabilizer(0.1, signed=False)), None, "x J_w[R / (z + 0.1)]", 2),
    (
        rules.gamma(0.25), None,
        "(x+ J_{w + 0.25 w+} + x- J_{w + 0.25 w-})"
        "[[z > 0] R / (f(x+; w + 0.25 w+, b + 0.25 b+) + f(x-; w + 0.25 w-, 0) + sgn 1e-06)]"
        " + (x+ J_{w + 0.25 w-} + x- J_{w + 0.25 w+})"
        "[[z < 0] R / (f(x+; w + 0.25 w-, b + 0.25 b-) + f(x-; w + 0.25 w+, 0) + sgn 1e-06)]", 9,
    ),
    (rules.gamma(0.25), INNER, "x J_{w + 0.25 w+}[R / (f(x; w + 0.25 w+, b + 0.25 b+) + 1e-06)]", 3),
    (
        rules.gamma(0.25), POST_RELU,
        "(x J_w sgn(z) + x J_{0.111 |w|})[[z != 0] R / (|z| + f(x; 0.111 |w|, 0.111 |b|) + 8.89e-07)]", 4,
    ),
    (
        rules.gamma(0.25, zero_params="bias"), POST_RELU,
        "(x J_w sgn(f(x; w, 0)) + x J_{0.111 |w|})"
        "[[f(x; w, 0) != 0] R / (|f(x; w, 0)| + f(x; 0.111 |w|, 0) + 8.89e-07)]", 5,
    ),
    (
        rules.gamma(0.25, zero_params="bias"), Facts(NON_NEGATIVE, ANY, ZEROS, Support.ANYWHERE),
        "(x J_w sgn(z) + x J_{0.111 |w|})[[f(x; w, 0) != 0] R / (|z| + f(x; 0.111 |w|, 0) + 8.89e-07)]", 4,
    ),
    (rules.z_plus(), None, "(x+ J_{w+} + x- J_{w-})[R / (f(x+; w+, b+) + f(x-; w-, 0) + sgn 1e-06)]", 5),
    (rules.z_plus(), POST_RELU, "x J_{w+}[R / (f(x; w+, b+) + 1e-06)]", 3),
    (
        rules.alpha_beta(), POST_RELU,
        "2 x J_{w+}[R / (f(x; w+, b+) + 1e-06)] - x J_{w-}[R / (f(x; w-, b-) - 1e-06)]", 5,
    ),
    (
        rules.z_box(-2, [1, 2, 3]), None,
        "(x J_w - (-2) J_{w+} - [1, 2, 3] J_{w-})[R / (z - f(-2; w+, b+) - f([1, 2, 3]; w-, b-) + sgn 1e-06)]", 4,
    ),
    (rules.w_square(), POST_RELU, "J_{w^2}[R / (f(1; w^2, b^2) + 1e-06)]", 2),
    (rules.flat(), None, "J_{1}[R / (f(1; 1, 0) + sgn 1e-06)]", 2),
    (rules.Pass(), None, "pass", 1),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "known", "text", "count"), FORMULAS, ids=[f"{c[0]}, {c[1]}" for c in FORMULAS])
def test_a_rule_reads_as_a_formula(rule, known, text, count):
    left = rule if known is None else simplify_rule(rule, known)
    assert formula(left) == text
    assert maps(left, bias=known is None or known.b != ZEROS) == count


def test_a_layer_without_parameters_shows_none():
    assert formula(rules.norm(), parametric=False) == "x J[R / (z + sgn 1e-06)]"
    assert formula(rules.abs_split(), parametric=False) == "|x| J[R / (f(|x|) + sgn 1e-06)]"


def test_the_docs_show_formulas_as_they_are_printed():
    text = (Path(__file__).parents[1] / "docs/semantics.md").read_text(encoding="utf-8")
    section = text.split("## What `-O1` leaves of a rule")[1].split("\n## ")[0]
    rows = re.findall(r"`([^`]* J_[^`]*)` \| (\d) \|$", section.replace("\\|", "|"), re.MULTILINE)
    assert len(rows) == 6
    assert {(formula, int(count)) for formula, count in rows} <= {(case[2], case[3]) for case in FORMULAS}
