"""Rules print, parse and refuse."""

import re

import numpy as np
import pytest

from lrpc import rules
from lrpc.behaviours.support import Support
from lrpc.composites import beta_smooth, epsilon_gamma_box, epsilon_plus, tutorial
from lrpc.plan.facts import Facts
from lrpc.plan.simplify import simplify_rule
from lrpc.rules.algebra import Gate
from lrpc.rules.algebra import Test as Condition
from lrpc.rules.constructors import RULES
from lrpc.rules.sign import ANY, NON_NEGATIVE
from lrpc.rules.stabilizer import Stabilizer
from lrpc.rules.text import parse_rule, signature

PRINTED = {
    "epsilon(1e-06)": rules.epsilon(),
    "epsilon(0.1)": rules.epsilon(0.1),
    "epsilon('eps=0.25,floor=1e-09,scale=rms,unsigned')": rules.epsilon(
        Stabilizer(0.25, floor=1e-9, scale="rms", signed=False)
    ),
    "gamma(0.25)": rules.gamma(),
    "gamma(0.1, stabilizer=0.001, zero_params='bias')": rules.gamma(0.1, 1e-3, "bias"),
    "gamma(0.25, zero_params='bias', compat=True)": rules.gamma(zero_params="bias", compat=True),
    "epsilon(0)": rules.lrp_0(),
    "epsilon(1e-06, share_bias=True)": rules.epsilon(share_bias=True),
    "gamma_plain(0.25)": rules.gamma_plain(),
    "gamma_symmetric(0.5, zero_params='bias')": rules.gamma_symmetric(0.5, zero_params="bias"),
    "abs_split": rules.abs_split(),
    "body_only": rules.BodyOnly(),
    "uniform": rules.Uniform(),
    "gate": rules.gate(),
    "gate(signal=1)": rules.gate(1),
    "z_plus": rules.z_plus(),
    "alpha_beta(2, 1)": rules.alpha_beta(),
    "z_box(low=-2, high=[1, 2, 3.5])": rules.z_box(-2, [1, 2, 3.5]),
    "z_box(low=-2.11790393, high=0.3333333)": rules.z_box(-2.1179039301310043, 0.3333333),
    "gamma(0.1234567891)": rules.gamma(0.1234567891),
    "w_square": rules.w_square(),
    "flat": rules.flat(),
    "norm": rules.norm(),
    "norm(stabilizer='eps=0.001,clip')": rules.norm(Stabilizer(1e-3, clip=True)),
    "affine": rules.affine(),
    "pass": rules.pass_(),
    "gradient": rules.Gradient(),
    "copy": rules.Copy(),
    "winner_take_all": rules.WinnerTakeAll(),
    "relu_beta_smooth(5)": rules.ReluBetaSmooth(5.0),
    "relu_beta_smooth(1.23456789)": rules.ReluBetaSmooth(1.23456789),
    "gamma(1e+18)": rules.gamma(1e18),
    "epsilon('eps=1e-06,scale=rms,axes=1+3')": rules.epsilon(Stabilizer(scale="rms", axes=(1, 3))),
}

REFUSED = {
    "gama(0.25)": "did you mean 'gamma'",
    "gamma(": "cannot read the rule",
    "gamma(1, 2, None, False, False, 6)": "too many positional arguments",
    "gamma(gamma=-1)": "gamma must be at least 0",
    "alpha_beta(3, 1)": "alpha - beta must be 1",
    "z_box(low=0.5, high=2)": "low <= 0 <= high",
    "z_box(low=[-1, 0.1], high=2)": "low <= 0 <= high",
    "z_box(low=-1)": "missing a required argument: 'high'",
    "epsilon(-1)": "at least 0",
    "gamma(zero_params='bias', share_bias=True)": "either zeroed",
    "epsilon('eps=1,shape=big')": "unknown stabilizer option 'shape'",
    "epsilon(zero_params='weight')": "zero_params may name 'bias' only",
    "gate(2)": "a product has the operands 0 and 1, signal cannot be 2",
    "gate(True)": "a product has the operands 0 and 1, signal cannot be True",
    "__import__('os')": "there is no rule",
    "": "there is no rule ''",
    "gamma)": "there is no rule",
    "x" * 1000: "there is no rule",
    **dict.fromkeys(("gamma(**{'gamma': 3})", "gamma(*[3])", "gamma(0.25, **{})", "gamma(0.25)(1)", "gamma(0.25) + 1", "gamma(0.25) # 1", "gamma(0.25);", "gamma(x)", "gamma(x=y)", "gamma(1 + 2)", "gamma(f'1')", "gamma(x for x in [1])", "gamma(lambda: 1)", "gamma((x := 1))", "gamma(0.25", "gamma(0.25))", "gamma(1 2)", "gamma(gamma=1, gamma=2)", "gamma(gamma=1, 2)", "gamma({[]: 1})", "gamma(\x00)", "gamma(0.25) if rule() else rule()", "gamma" + "(" * 500, "gamma(" + "-" * 100000 + "1)", "gamma(" + "9" * 10000 + ")", "gamma(...)" + ".real"), "cannot read the rule"),
    **{f"gamma({value})": "gamma must be " for value in (
        "1e400", "-1e400", "-1", "-0.001", "1e19", "1e-39", "True", "None", "'3'", "[3]", "(3,)", "{}", "b'3'", "3j", "...", "9" * 400,
        "0.1 + 1j",
    )},
    **{f"epsilon({value})": "epsilon must be " for value in ("1e400", "-1e400", "1e19", "1e-46", "9" * 400)},
    **{f"epsilon({value})": "is not a stabilizer" for value in ("True", "None", "[1]", "(1,)", "b'1'", "1j", "{'eps': 1}")},
    "alpha_beta(1e400, 1e400)": "alpha must be finite",
    "alpha_beta(2, beta=1e400)": "beta must be finite",
    "alpha_beta(True, 0)": "alpha must be a number",
    "z_box(low=-1e400, high=1)": "low must be finite",
    "z_box(low=-1, high=[1, 1e400])": "high must be finite",
    "z_box(low=[], high=1)": "low must be a number, or one for each channel",
    "z_box(low='-1', high=1)": "low must be a number",
    "z_box(low=[[-1]], high=1)": "low must be a number",
    "z_box(low=-1, high=None)": "high must be a number",
    "z_plus(stabilizer=1e400)": "epsilon must be finite",
    "norm('nan')": "epsilon must be finite",
    "norm('eps=1e-6,floor=inf')": "floor must be finite",
    "norm(-1)": "epsilon must be at least 0",
    "gamma(compat=1)": "compat must be True or False",
    "gamma(share_bias='no')": "share_bias must be True or False",
    "gamma(zero_params=3)": "zero_params may name 'bias' only",
    "gamma(zero_params=['bias', 'weight'])": "zero_params may name 'bias' only",
    "gamma(zero_params={'bias': 1})": "zero_params may name 'bias' only",
    "gate(signal=2)": "signal cannot be 2",
    "gate(signal=True)": "signal cannot be True",
    "gate(signal=1.0)": "signal cannot be 1.0",
    "gate(signal='1')": "signal cannot be '1'",
    "relu_beta_smooth(1e400)": "beta must be finite",
    "relu_beta_smooth(-1)": "beta must be at least 0",
    "relu_beta_smooth('steep')": "beta must be a number",
    "pass(1)": "too many positional arguments",
    "gradient(beta=1)": "unexpected keyword argument",
}  # fmt: skip


@pytest.mark.parametrize(("text", "rule"), PRINTED.items(), ids=str)
def test_a_rule_prints_as_text_that_parses_to_it(text, rule):
    assert str(rule) == text
    assert parse_rule(text) == rule


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=lambda text: ascii(text[:40]))
def test_a_wrong_rule_is_refused_with_its_reason(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as error:
        parse_rule(text)
    assert len(str(error.value)) < 500


def test_hyphens_stand_for_underscores():
    assert parse_rule("alpha-beta(1, 0)") == rules.alpha_beta(1, 0)


def test_every_rule_has_a_printed_case_and_a_signature():
    printed = {rule.name for rule in PRINTED.values()}
    assert set(RULES) - printed == {"lrp_0", "relu_deconvnet", "relu_guided_backprop"}
    assert signature("gamma").startswith("gamma(gamma=0.25, stabilizer=1e-06")


def test_a_rule_is_known_by_its_name_and_arguments():
    calls = [rule.call for rule in PRINTED.values()]
    assert len(set(calls)) == len(calls)
    assert [str(call) for call in calls] == list(PRINTED)
    assert rules.gamma() == rules.gamma(0.25, "eps=1e-6")
    assert rules.norm() != rules.epsilon(zero_params="bias")  # one algebra, two names
    assert dict(rules.gamma(0.5, 1e-3, "bias", compat=True).call.arguments) == {
        "gamma": 0.5, "stabilizer": Stabilizer(1e-3), "zero_params": "bias", "compat": True,
    }  # fmt: skip


def test_a_simplified_rule_is_called_as_before():
    rule = rules.gamma(0.5)
    simple = simplify_rule(rule, Facts(NON_NEGATIVE, ANY, ANY, Support.POSITIVE))
    assert simple.shares != rule.shares
    assert (simple.call, str(simple)) == (rule.call, "gamma(0.5)")


def test_lrp_0_is_epsilon_0():
    assert parse_rule("lrp_0") == rules.epsilon(0.0)


def test_z_plus_is_the_positive_share_of_alpha_beta():
    assert rules.alpha_beta(1, 0).shares[0] == rules.z_plus().shares[0]


def test_a_zeroed_bias_moves_the_gate_of_gamma_unless_compat():
    gates = {share.gate for share in rules.gamma(zero_params="bias").shares}
    assert gates == {Gate(Condition.POSITIVE, bias=False), Gate(Condition.NEGATIVE, bias=False)}
    compat = {share.gate for share in rules.gamma(zero_params="bias", compat=True).shares}
    assert compat == {share.gate for share in rules.gamma().shares}


STABILIZERS = {
    "1e-6": Stabilizer(),
    "eps=1e-3": Stabilizer(1e-3),
    "eps=1e-6,floor=1e-9,scale=rms,clip": Stabilizer(1e-6, 1e-9, True, "rms"),
    "eps=.25,scale=rms,axes=1+2,unsigned": Stabilizer(0.25, scale="rms", axes=(1, 2), signed=False),
}


@pytest.mark.parametrize(("text", "stabilizer"), STABILIZERS.items(), ids=str)
def test_a_stabilizer_reads_from_text(text, stabilizer):
    assert Stabilizer.of(text) == stabilizer


BAD_STABILIZERS = {
    "": "cannot read ''",
    "small": "cannot read 'small'",
    "1e-6,": "cannot read ''",
    "eps=": "cannot read 'eps='",
    "eps=small": "cannot read 'eps=small'",
    "eps=nan": "epsilon must be finite",
    "eps=1e400": "epsilon must be finite",
    "-inf": "epsilon must be finite",
    "eps=-1": "epsilon must be at least 0",
    "1e30": "epsilon must be at most 1e+18",
    "1e-45": "epsilon must be 0 or at least 1.2e-38",
    "1e-6,floor=nan": "floor must be finite",
    "floor=-1e-9": "floor must be at least 0",
    "eps=1,eps=2": "gives epsilon twice",
    "1e-6,1e-3": "gives epsilon twice",
    "1e-6,epsilon=1e-3": "gives epsilon twice",
    "clip,clip": "gives clip twice",
    "clip=1": "unknown stabilizer option 'clip'",
    "scale=": "scale must be 'none' or 'rms'",
    "scale=max": "scale must be 'none' or 'rms'",
    "axes": "cannot read 'axes'",
    "axes=": "cannot read 'axes='",
    "axes=1+": "cannot read 'axes=1+'",
    "axes=1.5": "cannot read 'axes=1.5'",
    "axes=0": "axes must be different whole numbers from 1 on",
    "axes=-1": "axes must be different whole numbers from 1 on",
    "axes=1+1": "axes must be different whole numbers from 1 on",
    "colour=red": "unknown stabilizer option 'colour'",
    "=1": "unknown stabilizer option ''",
    "eps==1": "cannot read 'eps==1'",
}


@pytest.mark.parametrize(("text", "reason"), BAD_STABILIZERS.items())
def test_a_wrong_stabilizer_is_refused_with_its_reason(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        Stabilizer.of(text)
    with pytest.raises(ValueError, match=re.escape(reason)):
        rules.norm(text)
    with pytest.raises(ValueError, match=re.escape(reason)):
        epsilon_plus(sum_stabilizer=text)


BAD_FIELDS = [
    {"epsilon": "1"}, {"epsilon": None}, {"epsilon": True}, {"floor": float("inf")}, {"clip": 1}, {"signed": "no"},
    {"scale": None}, {"axes": [1]}, {"axes": ()}, {"axes": (1.0,)}, {"axes": (True,)}, {"axes": 1},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=str)
def test_a_stabilizer_has_fields_that_make_sense(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Stabilizer(**fields)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(2)], ids=repr)
def test_numbers_of_numpy_are_numbers(number):
    assert rules.gamma(number, number) == rules.gamma(float(number), float(number))
    assert rules.z_box(-number, [number] * 2) == rules.z_box(-float(number), [float(number)] * 2)
    assert parse_rule(str(rules.gamma(number, number))) == rules.gamma(number, number)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 1e30, 1e-40, "much", None, True], ids=repr)
def test_composites_refuse_what_their_rules_refuse(bad):
    builds = [
        lambda: epsilon_gamma_box(-1, 1, gamma=bad), lambda: epsilon_plus(epsilon=bad), lambda: epsilon_plus(stabilizer=bad),
        lambda: beta_smooth(bad), lambda: tutorial(-1, 1, gamma=bad), lambda: epsilon_gamma_box(-1, bad),
    ]  # fmt: skip
    for build in builds:
        with pytest.raises(ValueError, match=r"must be|is not a stabilizer|cannot read|low <= 0 <= high"):
            build()


@pytest.mark.parametrize(
    ("stabilizer", "vanishes"),
    [
        (Stabilizer(), False),
        (Stabilizer(0.0), True),
        (Stabilizer(0.0, floor=1e-9), False),
        (Stabilizer(scale="rms"), True),
        (Stabilizer(signed=False), True),
    ],
    ids=str,
)
def test_which_stabilized_denominators_can_be_zero(stabilizer, vanishes):
    assert stabilizer.can_vanish is vanishes
