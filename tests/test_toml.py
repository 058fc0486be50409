"""Composites as TOML files: what is written is read as the same, and what no composite can be is refused."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrpc
from lrpc.composites.composite import LAST, Composite, Entry
from lrpc.composites.toml import composite_from_toml, composite_to_toml
from lrpc.rules.kinds import Kind
from tests.random_rules import LINEAR, WHOLE, stabilizer, z_box

TEXT = st.text()
"""Every character but halves of pairs of surrogates, which no file in UTF-8 can hold."""
RANGE = st.none() | st.tuples(st.integers(0, LAST), st.integers(0, LAST)).map(lambda ends: (min(ends), max(ends)))


@st.composite
def any_rule(draw):
    def pick(values):
        return draw(st.sampled_from(values))

    if draw(st.booleans()):
        return pick([rule for rules in WHOLE.values() for rule in rules])
    return pick([*LINEAR, lambda *a: z_box(*a, 3)])(pick, stabilizer(pick))


@st.composite
def any_entry(draw):
    kinds = tuple(draw(st.lists(st.sampled_from(Kind), unique=True)))
    first = bool(kinds) and draw(st.booleans())
    pattern, ops = draw(st.just("*") | TEXT), tuple(draw(st.lists(TEXT, max_size=3)))
    return Entry(draw(any_rule()), kinds, ops, pattern, first, draw(RANGE), draw(RANGE))


COMPOSITES = st.builds(Composite, TEXT, st.lists(any_entry(), min_size=1, max_size=4).map(tuple))


def read(text, folder):
    (folder / "c.toml").write_text(text, encoding="utf-8", newline="")
    return composite_from_toml(folder / "c.toml")


@given(composite=COMPOSITES)
def test_what_is_written_is_read_as_the_same(composite, tmp_path_factory):
    assert read(composite_to_toml(composite), tmp_path_factory.getbasetemp()) == composite


HARD = {
    "beyond U+FFFF": "\U0001f600 \U0010ffff",
    "quotes and backslashes": "\"'\\\"\"\" ''' \\u0041 \\",
    "ends of lines": "a\nb\r\nc\rd\u2028\u2029\x85",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "what TOML means something by": "#[]{}=.,\t",
    "the last before and the first after surrogates": "\ud7ff\ue000\ufeff\uffff",
    "nothing": "",
}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_names_patterns_and_ops_hold_any_character(text, tmp_path):
    entry = Entry(lrpc.rules.pass_(), ops=(text, "Relu"), pattern=text)
    assert read(composite_to_toml(Composite(text, (entry,))), tmp_path) == Composite(text, (entry,))
    assert tomllib.loads(composite_to_toml(Composite(text, (entry,))))["name"] == text


@pytest.mark.parametrize("field", ["name", "pattern", "ops"])
@pytest.mark.parametrize("half", ["a\ud83d", "\ude00\ud83d"], ids=ascii)
def test_half_a_pair_of_surrogates_is_refused(field, half):
    composite = Composite("c", (Entry(lrpc.rules.pass_()),))
    changes = {field: (half,) if field == "ops" else half}
    composite = replace(composite, **changes) if field == "name" else replace(
        composite, entries=(replace(composite.entries[0], **changes),)
    )  # fmt: skip
    with pytest.raises(lrpc.LrpcError, match="half a pair of surrogates"):
        composite_to_toml(composite)


def test_a_file_whose_name_is_no_text_names_its_composite_by_what_is_text(tmp_path):
    path = tmp_path / "caf\udce9.toml"
    path.write_text('[[rule]]\nrule = "pass"')
    assert composite_from_toml(path).name == "caf?"


BAD = {
    "a name that is a number": ("name = 3", "name is a text, not 3"),
    "a base that is a number": ("base = 3", "base is the name of a composite, not 3"),
    "parameters without a base": ('parameters = { gamma = 1 }\n[[rule]]\nrule = "pass"', "no base that takes them"),
    "parameters that are none": ('base = "bounded"\nparameters = 3', "parameters is a table"),
    "a parameter that is none": ('base = "bounded"\nparameters = { gamma = 1 }', "composite bounded:"),
    "an infinite parameter": ('base = "bounded"\nparameters = { stabilizer = inf }', "epsilon must be finite"),
    "a date for a parameter": ('base = "bounded"\nparameters = { stabilizer = 2020-01-01 }', "is not a stabilizer"),
    "one rule": ('[rule]\nrule = "pass"', "rule is a list of tables"),
    "rules that are texts": ('rule = ["pass"]', "rule is a list of tables"),
    "a rule that is a number": ("[[rule]]\nrule = 3", "rule 1: rule is a rule in quotes"),
    "an infinite rule": ('[[rule]]\nrule = "gamma(1e400)"', "rule 1: gamma must be finite"),
    "a kind that is a number": ('[[rule]]\nrule = "pass"\nkind = 3', "kind is a kind in quotes, or a list of them, not 3"),
    "kinds that are numbers": ('[[rule]]\nrule = "pass"\nkind = [3]', "kind is a kind in quotes, or a list of them"),
    "an op that is a table": ('[[rule]]\nrule = "pass"\nop = {}', "op is an op in quotes"),
    "a layer that is a list": ('[[rule]]\nrule = "pass"\nlayer = ["a"]', "layer is a pattern in quotes"),
    "first as a text": ('[[rule]]\nrule = "pass"\nkind = "dense"\nfirst = "false"', "first is true or false"),
    "an index of flags": ('[[rule]]\nrule = "pass"\nindex = [true, true]', "index is [first, last]"),
    "an index of fractions": ('[[rule]]\nrule = "pass"\nindex = [0.0, 1.0]', "index is [first, last]"),
    "an index of three": ('[[rule]]\nrule = "pass"\nindex = [0, 1, 2]', "index is [first, last]"),
    "an index that ends before it begins": ('[[rule]]\nrule = "pass"\nindex = [5, 2]', "counted from 0, not [5, 2]"),
    "a leaf before the first": ('[[rule]]\nrule = "pass"\nleaf = [-1, 2]', "counted from 0, not [-1, 2]"),
    "the second rule": ('[[rule]]\nrule = "pass"\n[[rule]]\nrule = "pass"\nlayer = 1', "rule 2: layer"),
    "nested without an end": ("a = " + "[" * 20_000, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_what_no_composite_can_be_is_refused_by_its_place(text, reason, tmp_path):
    with pytest.raises(lrpc.LrpcError) as error:
        read(text, tmp_path)
    assert reason in str(error.value)
    assert "c.toml" in str(error.value)
    assert len(str(error.value)) < 700


def test_bytes_that_are_no_text_folders_and_devices_are_refused(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b'name = "\xff"')
    (tmp_path / "folder.toml").mkdir()
    for path, reason in (
        ("bytes.toml", "is not a composite"),
        ("folder.toml", "it is no file"),
        ("no.toml", "no such file"),
    ):
        with pytest.raises(lrpc.LrpcError, match=reason):
            composite_from_toml(tmp_path / path)
    with pytest.raises(lrpc.LrpcError, match="it is no file"):
        composite_from_toml("/dev/zero")
