"""Which rule a layer gets: order, first layers, overrides, TOML, and every way to be refused."""

import onnx
import onnx.parser
import pytest

import lrpc
from lrpc import composites, rules
from lrpc.composites.composite import Composite, Entry, Place
from lrpc.composites.toml import composite_from_toml
from lrpc.ops import OPS
from lrpc.rules.kinds import Kind
from tests.graphs import model, small_resnet


def rules_of(plan):
    return {row.layer: str(row.rule) for row in plan.rows}


def test_the_first_match_wins_and_overrides_come_before_the_composite():
    overrides = [("block.conv1", rules.epsilon(0.5)), ("block.*", rules.gamma(0.1)), ("maxpool", rules.Gradient())]
    found = rules_of(lrpc.plan_model(small_resnet(), composite=composites.epsilon_plus(), rules=overrides))
    assert found["block.conv1"] == "epsilon(0.5)"
    assert found["block.conv2"] == "gamma(0.1)"
    assert found["block.add"] == "norm"
    assert found["block.relu"] == "pass"
    assert found["maxpool"] == "gradient"
    assert found["conv1"] == "z_plus"


def test_a_wildcard_means_the_layers_that_its_rule_fits():
    found = rules_of(lrpc.plan_model(small_resnet(), rules=[("*", rules.epsilon(0.5))]))
    assert {found[name] for name in ("conv1", "block.conv2", "fc")} == {"epsilon(0.5)"}
    assert (found["block.relu"], found["maxpool"]) == ("pass", "winner_take_all")


def test_a_place_means_its_layers_whether_the_rule_fits_or_not():
    everywhere = Composite("everywhere", (Entry(rules.epsilon(), index=(0, 99)),))
    with pytest.raises(lrpc.LrpcError, match="cannot be explained"):
        lrpc.plan_model(small_resnet(), composite=everywhere)


def test_every_row_says_why():
    plan = lrpc.plan_model(small_resnet(), composite=composites.epsilon_plus_flat(), rules=[("fc", rules.epsilon(1.0))])
    why = {row.layer: row.why for row in plan.rows}
    assert why["conv1"] == "first convolution or dense"
    assert why["block.conv1"] == "convolution"
    assert why["fc"] == "--rule fc=epsilon(1)"


def test_first_means_registration_order_where_the_file_tells_it():
    proto = small_resnet()
    order = {"conv1.weight": "5", "block.conv1.weight": "2", "block.conv2.weight": "3", "block.shortcut.weight": "4"}
    for node in proto.graph.node:
        for weight, index in order.items():
            if weight in node.input:
                node.metadata_props.add(key="lrpc.leaf_index", value=index)
    found = rules_of(lrpc.plan_model(proto, composite=composites.epsilon_gamma_box(-2, 2)))
    assert found["block.conv1"].startswith("z_box")
    assert found["conv1"] == "gamma(0.25)"


def test_the_default_composite_depends_on_what_the_file_tells():
    assert lrpc.plan_model(small_resnet()).composite == "epsilon_gamma_box"
    assert lrpc.plan_model(small_resnet(metadata=None)).composite == "epsilon_plus_flat"


def test_every_kind_has_a_rule_in_every_composite():
    for name, constructor in composites.COMPOSITES.items():
        composite = constructor(low=-1, high=1) if name in ("epsilon_gamma_box", "tutorial") else constructor()
        place = Place(index=0, leaf=3, first=False)
        for op in OPS.values():
            matched = [e for e in composite.entries if e.matches("layer", op.name, op.kind, place)]
            assert matched, f"{name} says nothing about a {op.kind}"


def test_a_composite_that_is_silent_about_a_layer_is_an_error():
    silent = composites.Composite("silent", (composites.Entry(rules.epsilon(), (Kind.DENSE,)),))
    with pytest.raises(lrpc.LrpcError, match="silent says nothing about a convolution") as error:
        lrpc.plan_model(small_resnet(), composite=silent)
    assert len(error.value.problems) == 11


def with_leaves(proto, leaves):
    for node in proto.graph.node:
        for name, index in leaves.items():
            if name in (*node.input, node.name):
                node.metadata_props.add(key="lrpc.leaf_index", value=str(index))
    return proto


LEAVES = {"conv1.weight": 0, "maxpool": 3, "block.conv1.weight": 4, "block.conv2.weight": 17, "block.shortcut.weight": 30,
          "avgpool": 32, "fc.weight": 31}  # fmt: skip


def test_the_tutorial_counts_torchs_leaves_where_the_file_tells_them():
    plan = lrpc.plan_model(with_leaves(small_resnet(), LEAVES), composite=composites.tutorial(-2, 2))
    found, why = rules_of(plan), {row.layer: row.why for row in plan.rows}
    assert found["conv1"] == "z_box(low=-2, high=2)"
    assert found["block.conv1"] == "gamma_plain(0.25)"
    heuristic = "epsilon('eps=0.25,floor=1e-09,scale=rms,unsigned')"
    assert (found["block.conv2"], found["block.shortcut"]) == (heuristic, heuristic)
    assert found["fc"] == "epsilon(0)"
    assert (found["block.add"], found["block.relu"], found["avgpool"]) == ("copy", "gradient", "gradient")
    assert why["block.conv1"] == "convolution or dense, leaf 1 to 16 of torch's leaf modules"
    assert why["fc"] == "convolution or dense, leaf 31 on of torch's leaf modules"


def test_without_metadata_the_tutorial_counts_linear_and_pooling_layers_and_says_so():
    plan = lrpc.plan_model(small_resnet(), composite=composites.tutorial(-2, 2))
    found, why = rules_of(plan), {row.layer: row.why for row in plan.rows}
    assert found["conv1"].startswith("z_box")
    assert found["fc"] == "gamma_plain(0.25)"
    assert why["fc"] == "convolution or dense, leaf 1 to 16 of the linear and pooling layers"


def test_sums_may_have_a_stabilizer_of_their_own():
    composite = composites.epsilon_plus(stabilizer=1e-3, sum_stabilizer="eps=0.1,scale=rms,clip")
    found = rules_of(lrpc.plan_model(small_resnet(), composite=composite))
    assert found["block.add"] == "norm(stabilizer='eps=0.1,scale=rms,clip')"
    assert found["avgpool"] == "norm(stabilizer=0.001)"


TOML = """
name = "mine"
base = "epsilon-plus"
parameters = { epsilon = 0.1 }

[[rule]]
first = true
kind = "convolution"
rule = "z_box(low=-2.1, high=2.6)"

[[rule]]
index = [4, 5]
kind = ["convolution", "dense"]
rule = "flat"
"""


def test_a_composite_from_toml(tmp_path):
    (tmp_path / "mine.toml").write_text(TOML)
    plan = lrpc.plan_model(small_resnet(), composite=composite_from_toml(tmp_path / "mine.toml"))
    found = rules_of(plan)
    assert plan.composite == "mine"
    assert found["conv1"] == "z_box(low=-2.1, high=2.6)"
    assert found["fc"] == "epsilon(0.1)"
    assert [row.layer for i, row in enumerate(plan.rows) if row.rule.name == "flat"] == [
        row.layer for i, row in enumerate(plan.rows) if i in (4, 5) and row.kind in ("convolution", "dense")
    ]


BAD_TOML = {
    "syntax": ("name = ", "is not a composite"),
    "empty": ("", "neither [[rule]] entries nor a base"),
    "unknown base": ('base = "epsilon-minus"', "no composite 'epsilon-minus'"),
    "base without its range": ('base = "epsilon-gamma-box"', "low"),
    "unknown key": ('[[rule]]\nrool = "pass"', "unknown keys rool"),
    "no rule": ('[[rule]]\nkind = "dense"', "rule 1 has no key 'rule'"),
    "unknown kind": ('[[rule]]\nkind = "dance"\nrule = "pass"', "no kind 'dance'"),
    "bad rule": ('[[rule]]\nrule = "gama"', "did you mean 'gamma'"),
    "bad index": ('[[rule]]\nindex = 3\nrule = "pass"', "index is [first, last]"),
    "bad leaf": ('[[rule]]\nleaf = ["a", 3]\nrule = "pass"', "leaf is [first, last]"),
    "first of nothing": ('[[rule]]\nfirst = true\nrule = "pass"', "needs a kind"),
}


@pytest.mark.parametrize(("text", "message"), BAD_TOML.values(), ids=BAD_TOML)
def test_a_wrong_composite_file_is_refused(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(lrpc.LrpcError) as error:
        composite_from_toml(tmp_path / "bad.toml")
    assert message in str(error.value)
    assert "bad.toml" in str(error.value)


def test_a_residual_is_split_and_named():
    plan = lrpc.plan_model(small_resnet())
    assert [row.layer for row in plan.rows if row.kind is Kind.SUM] == ["block.add"]
    assert not any(row.op in ("Add", "BatchNormalization") for row in plan.rows)


def test_names_of_a_bundle_are_not_taken_from_the_model():
    from onnx import helper

    proto = model([helper.make_node("Relu", ["x"], ["seed"])], {}, {"x": ["batch", 3]}, {"seed": ["batch", 3]})
    with pytest.raises(lrpc.LrpcError, match="tensors called seed"):
        lrpc.plan_model(proto)


def test_several_inputs_are_refused_by_name():
    from onnx import helper

    shape = ["batch", 3]
    proto = model([helper.make_node("Add", ["a", "b"], ["y"])], {}, {"a": shape, "b": shape}, {"y": shape})
    with pytest.raises(lrpc.LrpcError, match=r"2 inputs \(a, b\)"):
        lrpc.plan_model(proto)


def test_the_printed_plan_lines_up():
    text = str(lrpc.plan_model(small_resnet(), composite=composites.epsilon_plus_flat()))
    head, *lines = text.splitlines()
    columns = [head.index(word) for word in ("layer", "op", "kind", "rule", "why")]
    assert all(line[column - 1] == " " and line[column] != " " for line in lines for column in columns)


def test_what_cannot_be_resolved_of_a_window_is_refused():
    from onnx import helper

    node = helper.make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[2], auto_pad="SAME_UPPER")
    proto = model([node], {}, {"x": ["batch", 3, "length"]}, {"y": ["batch", 3, "length"]})
    with pytest.raises(lrpc.LrpcError, match="pool") as error:
        lrpc.plan_model(proto)
    assert "explicit pads" in str(error.value) or "dynamic" in str(error.value)


HEADLINES = {
    "an input and a layer": (
        "g (double[b,2] x) => (double[b,2] y) <double[2,2] w = {1,2,3,4}> { y = MatMul(x, w) }",
        "1 of 1 layers of g cannot be explained.",
    ),
    "an input alone": ("g (bfloat16[b,2] x) => (bfloat16[b,2] y) { y = Relu(x) }", "g cannot be explained."),
    "a layer": (
        "g (float[b,2] x) => (float[b,2] y) { a = Relu(x) y = Erf(a) }", "1 of 2 layers of g cannot be explained.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "headline"), HEADLINES.values(), ids=HEADLINES)
def test_inputs_and_outputs_do_not_count_as_layers(text, headline):
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    with pytest.raises(lrpc.LrpcError) as error:
        lrpc.plan_model(proto)
    assert error.value.headline == headline
