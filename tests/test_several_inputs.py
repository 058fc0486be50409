"""Models of several inputs: relevance goes to the chosen one, as the formulas have it, and the others stay inputs."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest

import lrpc
from lrpc.bundle.side_inputs import Other, drawn
from lrpc.emit.targets import TARGETS
from lrpc.inspect.diagnose.doctor import diagnose
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.lower import explain_graph, relevance_graph
from lrpc.lower.tunable import tunables
from lrpc.plan.certificate import certify
from lrpc.plan.facts import signs
from lrpc.plan.simplify import simplify
from lrpc.reference import run_oracle
from lrpc.rules.sign import ANY, NON_NEGATIVE
from lrpc.runtime.health import HealthWarning
from passes.errors import LrpcError
from passes.graph import depending
from passes.loading.check import problems
from passes.loading.load import load
from passes.loading.select import select
from tests.graphs import model, saved, small_resnet
from tests.targets import DISTINCT
from tests.two_inputs import NETS, dense, node, normal

CHOICES = {f"{name}, {entry}": (net, entry) for name, net in NETS.items() for entry in net.inputs}
WITH_ROWS = {name: (net, entry) for name, (net, entry) in CHOICES.items() if net.inputs[entry][0] is None}
"""Those whose chosen input has a row for each sample, which an explainer splits."""
COMPOSITES = {
    "epsilon-plus": lrpc.composites.epsilon_plus(),
    "epsilon-plus-flat": lrpc.composites.epsilon_plus_flat(),
    "epsilon-gamma-box": lrpc.composites.epsilon_gamma_box(low=-9.0, high=9.0),
    "bounded": lrpc.composites.bounded(),
}
SEED = np.eye(3, dtype=np.float32)[[0, 2, 1, 0, 2]]


def split(feeds: dict[str, np.ndarray], entry: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return feeds[entry], {name: value for name, value in feeds.items() if name != entry}


@pytest.mark.parametrize("composite", COMPOSITES.values(), ids=COMPOSITES)
@pytest.mark.parametrize(("net", "entry"), CHOICES.values(), ids=CHOICES)
def test_relevance_is_what_the_oracle_says_and_separate_graphs_agree(net, entry, composite):
    plan = lrpc.plan_model(net.proto(), input=entry, composite=composite)
    assert [tensor.name for tensor in plan.graph.inputs] == [entry, *(name for name in net.inputs if name != entry)]
    x, others = split(net.feeds(len(SEED)), entry)
    exact, rounded = (
        run_oracle(plan.graph, plan.behaviours, x, SEED, dtype, others) for dtype in ("float64", "float32")
    )
    assert np.abs(exact.relevance).sum() > 1e-3
    yardstick = relative_error(rounded.relevance, exact.relevance)
    for target in (None, *DISTINCT):
        ours = run_traced(plan, x, SEED, target, others)
        assert relative_error(ours.output, exact.output) < 1e-5
        assert relative_error(ours.relevance, exact.relevance) < max(1e-6, 4 * yardstick), target
        assert set(ours.arriving) == plan.reached
        for layer in plan.reached:
            own = relative_error(rounded.arriving[layer], exact.arriving[layer])
            assert relative_error(ours.arriving[layer], exact.arriving[layer]) < max(1e-6, 4 * own), layer


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("optimize", [0, 1])
def test_what_goes_to_all_inputs_together_is_the_seed(net, optimize):
    """There are no biases, and the epsilon is small: nothing is lost on the way, and nothing is counted twice."""
    composite = lrpc.composites.epsilon_plus(epsilon=1e-9, stabilizer=1e-9)
    feeds = {name: np.abs(value) for name, value in net.feeds(len(SEED)).items()}
    proto = net.proto()
    for weight in proto.graph.initializer:  # positive contributions only, so that no denominator is small
        values = np.abs(onnx.numpy_helper.to_array(weight))
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    total = np.zeros(len(SEED))
    for entry in net.inputs:
        x, others = split(feeds, entry)
        compiled = lrpc.compile(proto, input=entry, composite=composite, optimize=optimize)
        if len(x) == len(SEED):
            relevance = lrpc.Explainer(compiled)(x, SEED.argmax(axis=1), others=others).relevance
            total += relevance.reshape(len(SEED), -1).sum(axis=1)
        else:  # one row for all samples: it gets what all of them send it
            relevance = run_traced(compiled.plan, x, SEED, compiled.target, others).relevance
            assert relevance.sum() == pytest.approx(len(SEED) / 2, rel=1e-5)
            total += 0.5
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)


@pytest.mark.parametrize(("net", "entry"), CHOICES.values(), ids=CHOICES)
def test_nothing_is_emitted_for_the_others(net, entry):
    plan = lrpc.plan_model(net.proto(), input=entry, composite=COMPOSITES["epsilon-plus"])
    for target in (None, TARGETS["cpu"]):
        simplified = plan if target is None else simplify(plan)
        relevance, taps = relevance_graph(simplified, target=target)
        assert [value.name for value in relevance.graph.input] == [*taps, "seed"]
        explain, where = explain_graph(simplified, target=target)
        traced = {name for entry in where for names in (entry.arriving, *entry.handed, *entry.divisions)
                  for name in names}  # fmt: skip
        assert {entry.layer for entry in where} == plan.reached
        for proto, kept in ((relevance, set()), (explain, traced)):
            read = {name for each in proto.graph.node for name in each.input} | {v.name for v in proto.graph.output}
            dead = [each.name for each in proto.graph.node if not read & set(each.output) | kept & set(each.output)]
            assert dead == []
            rules = {p.value for each in proto.graph.node for p in each.metadata_props if p.key == "lrpc.rule"}
            layers = {p.value for each in proto.graph.node if any(q.key == "lrpc.rule" for q in each.metadata_props)
                      for p in each.metadata_props if p.key == "lrpc.layer"}  # fmt: skip
            assert rules
            assert layers <= plan.reached
        assert {value.name for value in relevance.graph.input} - {"seed"} <= {
            name for each in relevance.graph.node for name in each.input
        }


# A bundle's options, and how it is run
WAYS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "in parts": ({}, {"max_batch": 2}),
    "the separate graphs": ({}, {"fused": False}),
    "the separate graphs in parts": ({}, {"fused": False, "max_batch": 3}),
    "a single file": ({"single_file": True}, {}),
    "a seed": ({"seed_input": True}, {"max_batch": 2}),
    "tunable": ({"tunable": True}, {"max_batch": 4}),
}


@pytest.mark.parametrize(("options", "settings"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("net", "entry"), WITH_ROWS.values(), ids=WITH_ROWS)
def test_every_way_to_run_it_gives_one_result(net, entry, options, settings, tmp_path):
    x, others = split(net.feeds(5), entry)
    compiled = lrpc.compile(net.proto(), input=entry)
    whole = lrpc.Explainer(compiled)(x, [0, 2, 1, 0, 2], others=others)
    explainer = lrpc.Explainer(saved(compiled, tmp_path / "a.onnx", **options), **settings)
    tuned = dict(list(explainer.tunables.items())[:1])
    for _ in range(2):  # the second run is on the buffers of the first
        part = explainer(x, [0, 2, 1, 0, 2], tuned, others)
        np.testing.assert_allclose(part.output, whole.output, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(part.relevance, whole.relevance, rtol=1e-4, atol=1e-5)
    changed = {name: value + 1 for name, value in others.items()}
    assert not np.allclose(explainer(x, 0, tuned, changed).output, whole.output)
    np.testing.assert_allclose(explainer.forward(x, others), whole.output, rtol=1e-5, atol=1e-6)


def test_a_float_seed_and_an_empty_batch_take_them_too():
    net = NETS["a sum of two branches"]
    explainer = lrpc.Explainer(lrpc.compile(net.proto(), input="z"))
    x, others = split(net.feeds(5), "z")
    by_class = explainer(x, SEED.argmax(axis=1), others=others)
    np.testing.assert_allclose(explainer(x, SEED, others=others).relevance, by_class.relevance, rtol=1e-5, atol=1e-6)
    nothing = explainer(x[:0], others={"x": others["x"][:0]})
    assert nothing.relevance.shape == (0, 7)


def test_the_forward_pass_runs_in_float16_with_them(tmp_path):
    net = NETS["two branches joined"]
    x, others = split(net.feeds(3), "x")
    compiled = lrpc.compile(net.proto(), input="x", composite=COMPOSITES["bounded"])
    exact = lrpc.Explainer(compiled)(x, 0, others=others)
    half = lrpc.Explainer(compiled.variant(half_forward=True).save(tmp_path / "a.lrp"))(x, 0, others=others)
    assert 0 < relative_error(half.output, exact.output) < 5e-3
    assert relative_error(half.relevance, exact.relevance) < 5e-2


def test_the_manifest_tells_of_them_and_of_none_without(tmp_path):
    proto = NETS["the other multiplies all samples"].proto()
    explainer = lrpc.Explainer(lrpc.compile(proto, input="x").save(tmp_path / "a.lrp"))
    assert explainer.manifest.input.name == "x"
    assert explainer.manifest.others == (Other("z", "float32", (1, 6)),)
    assert explainer.others == (Other("z", "float32", (1, 6)),)
    names = {file: [v.name for v in onnx.load(tmp_path / "a.lrp" / file).graph.input]
             for file in ("forward.onnx", "explain.onnx")}  # fmt: skip
    assert names == {"forward.onnx": ["x", "z"], "explain.onnx": ["x", "z", "target"]}
    alone = lrpc.compile(small_resnet()).save(tmp_path / "b.lrp")
    assert json.loads((alone / "manifest.json").read_text())["others"] == []
    assert lrpc.Explainer(alone).others == ()


Z = normal(5, 7)

# What is given for z (float32 (n, 7)) of a batch of 5, and what is said
BAD: dict[str, tuple[Callable[[], dict[str, object]], str]] = {
    "nothing": (lambda: {}, r"takes z float32 \(n, 7\) too, and nothing is given"),
    "another name": (lambda: {"z": Z, "y": Z}, r"no other input y: beside it the model takes z float32 \(n, 7\)"),
    "the chosen input": (lambda: {"z": Z, "x": Z}, "no other input x"),
    "one row": (lambda: {"z": Z[:1]}, r"z has shape \(1, 7\); the model takes z float32 \(n, 7\), with n = 5"),
    "no batch axis": (lambda: {"z": Z[0]}, r"z has shape \(7,\)"),
    "another size": (lambda: {"z": Z[:, :6]}, r"z has shape \(5, 6\)"),
    "complex numbers": (lambda: {"z": Z + 1j}, "z is complex64; the model takes z float32"),
    "text": (lambda: {"z": Z.astype(str)}, r"z is <U\d+"),
    "objects": (lambda: {"z": Z.astype(object)}, "z is object"),
    "ragged rows": (lambda: {"z": [[1.0], [1.0, 2.0]]}, "z is no array of numbers"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("tool", [lrpc.Explainer, lrpc.Tracer])
def test_what_does_not_fit_is_told_with_what_is_wanted(given, message, tool):
    runs = tool(lrpc.compile(NETS["a sum of two branches"].proto(), input="x"))
    with pytest.raises(LrpcError, match=message):
        runs(normal(5, 4), 0, others=given())


def test_values_of_other_number_types_are_taken_as_those_of_the_input_are():
    net = NETS["a sum of two branches"]
    explainer = lrpc.Explainer(lrpc.compile(net.proto(), input="x"))
    x, whole = normal(5, 4), np.arange(35).reshape(5, 7) % 3
    results = [explainer(x, 0, others={"z": whole.astype(kind)}) for kind in ("float32", "float64", "int64", "bool")]
    np.testing.assert_array_equal(results[0].relevance, results[1].relevance)
    np.testing.assert_array_equal(results[0].relevance, results[2].relevance)
    assert not np.array_equal(results[0].relevance, results[3].relevance)


def test_a_model_of_one_input_takes_no_others():
    with pytest.raises(LrpcError, match="no other input z: relevance goes to its only input"):
        lrpc.Explainer(lrpc.compile(small_resnet()))(np.zeros((1, 3, 8, 8), np.float32), 0, others={"z": Z})


@pytest.mark.parametrize("entry", ["x", "z"])
def test_a_gate_from_elsewhere_gets_half_unless_the_signal_is_named(entry):
    net = NETS["a gate by the other"]
    plan = lrpc.plan_model(net.proto(), input=entry, composite=COMPOSITES["epsilon-plus"])
    assert str(plan.behaviours["mul"]) == "uniform"
    named = lrpc.plan_model(
        net.proto(), input=entry, composite=COMPOSITES["epsilon-plus"], rules=[("mul", lrpc.rules.SignalTakesAll(0))]
    )
    x, others = split(net.feeds(5), entry)
    half, whole = (run_traced(each, x, SEED, others=others).relevance for each in (plan, named))
    np.testing.assert_allclose(whole, 2 * half if entry == "x" else 0 * half, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entry", ["x", "z"])
def test_the_first_layer_is_that_of_the_chosen_input(entry):
    plan = lrpc.plan_model(NETS["two pictures"].proto(), input=entry, composite=COMPOSITES["epsilon-gamma-box"])
    boxes = [row.layer for row in plan.rows if row.rule.name == "z_box"]
    assert boxes == [{"x": "left", "z": "right"}[entry]]


def test_nothing_is_assumed_of_the_sign_of_others():
    """A box that reaches to one side of 0 tells the sign of the chosen input alone."""
    composite = lrpc.composites.epsilon_gamma_box(low=0.0, high=9.0)
    net = NETS["two pictures"]
    plan = lrpc.plan_model(net.proto(), input="x", composite=composite)
    x, others = split({name: np.clip(v, -9, 9) for name, v in net.feeds(5).items()}, "x")
    x = np.abs(x)
    assert (others["z"] < 0).any()
    exact = run_oracle(plan.graph, plan.behaviours, x, SEED, others=others)
    assert relative_error(run_traced(plan, x, SEED, others=others).relevance, exact.relevance) < 1e-5


def test_layers_of_others_carry_no_bound_and_no_numbers_to_tune():
    nodes = [dense("x", "left", "l"), dense("z", "right", "r"), node("Add", ["l", "r"], ["y"], name="add")]
    proto = model(
        nodes, {"left.w": normal(3, 4), "right.w": normal(3, 7)}, {"x": ["n", 4], "z": ["n", 7]}, {"y": ["n", 3]}
    )
    rules = [("left", lrpc.rules.z_plus()), ("right", lrpc.rules.gamma(0.5)), ("add", lrpc.rules.abs_split())]
    plan = lrpc.plan_model(proto, input="x", rules=rules)
    found = certify(plan)
    assert {layer: str(bound) for layer, bound in found.layers.items()}["right"] == "no relevance"
    assert found.unbounded == []
    assert [tunable.name for tunable in tunables(plan)] == ["z_plus.epsilon", "abs_split.epsilon"]
    assert plan.destination == (
        "relevance goes to the input x; what flows to z is left out of `relevance` and `health`"
    )
    assert lrpc.plan_model(small_resnet()).destination == ""


def test_the_doctor_leaves_layers_of_others_alone():
    net = NETS["two branches joined"]
    x, others = split(net.feeds(3), "x")
    plan = lrpc.plan_model(
        net.proto(), input="x", rules=[("*t", lrpc.rules.epsilon())], composite=COMPOSITES["epsilon-plus"]
    )
    assert str(plan.behaviours["right"]) == str(plan.behaviours["left"])
    found = diagnose(plan, x, 1, others=others)
    changed = {change.layer for change in found.changes}
    assert "left" in changed
    assert changed <= plan.reached


def test_a_trace_shows_the_layers_on_the_way_to_the_chosen_input():
    net = NETS["two branches joined"]
    x, others = split(net.feeds(5), "z")
    compiled = lrpc.compile(net.proto(), input="z", composite=COMPOSITES["bounded"])
    trace = lrpc.Tracer(compiled, layers=["join"])(x, 0, others)
    assert {row.layer for row in trace.samples[0]} == compiled.plan.reached
    assert trace.worst("left") == 0.0
    result = lrpc.Explainer(compiled)(x, 0, others=others)
    np.testing.assert_allclose(trace.relevance, result.relevance, rtol=1e-5, atol=1e-7)
    outside = run_traced(compiled.plan, x, np.eye(3, dtype=np.float32)[[0] * 5], others=others)
    np.testing.assert_allclose(trace.hidden["join"], outside.arriving["join"], rtol=1e-5, atol=1e-7)
    join = next(row for row in trace.samples[0] if row.layer == "join")
    handed = np.abs(outside.arriving["join"][0, 6:]).sum()  # what goes to x's half is none of it
    assert join.handed == pytest.approx(handed, rel=1e-5)


def test_a_trace_in_parts_gives_each_part_its_rows(monkeypatch):
    net = NETS["the other multiplies all samples"]
    x, others = split(net.feeds(5), "x")
    compiled = lrpc.compile(net.proto(), input="x")
    whole = lrpc.Tracer(compiled)(x, 0, others)
    monkeypatch.setattr("lrpc.inspect.diagnose.trace._MOST_VALUES", 8)
    np.testing.assert_allclose(lrpc.Tracer(compiled)(x, 0, others).relevance, whole.relevance, rtol=1e-5)


def typed(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, kind, shape)


# Nodes behind x (n, 4), another input z of a type and shape, and what is said of which layer
UNSUPPORTED: dict[str, tuple[list[onnx.NodeProto], int, list[int | str], str]] = {
    "an index": (
        [node("Gather", ["w", "z"], ["e"], name="embed"), node("Add", ["x", "e"], ["y"], name="add")],
        onnx.TensorProto.INT64, ["n"], "embed",
    ),
    "a switch": ([node("Dropout", ["x", "", "z"], ["y"], name="dropout")], onnx.TensorProto.BOOL, [], "dropout"),
    "a mask": (
        [node("Where", ["z", "x", "x"], ["y"], name="where")], onnx.TensorProto.BOOL, ["n", 4], "where"
    ),
    "a weight": ([node("Gemm", ["x", "z"], ["y"], name="gemm")], onnx.TensorProto.FLOAT, [4, 4], "gemm"),
    "a bias": ([node("Gemm", ["x", "w", "z"], ["y"], name="gemm")], onnx.TensorProto.FLOAT, [4], "gemm"),
    "a slope": ([node("PRelu", ["x", "z"], ["y"], name="prelu")], onnx.TensorProto.FLOAT, [4], "prelu"),
    "half precision": (
        [node("Cast", ["z"], ["c"], name="cast", to=1), node("Add", ["x", "c"], ["y"], name="add")],
        onnx.TensorProto.FLOAT16, ["n", 4], "cast",
    ),
    "a bias that broadcasts": (
        [node("Add", ["x", "z"], ["y"], name="add")], onnx.TensorProto.FLOAT, [1, 4], "add"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "kind", "shape", "layer"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_has_no_rule_is_refused_layer_by_layer(nodes, kind, shape, layer):
    inputs = [typed("x", onnx.TensorProto.FLOAT, ["n", 4]), typed("z", kind, shape)]
    outputs = [typed("y", onnx.TensorProto.FLOAT, ["n", 4])]
    weights = [onnx.numpy_helper.from_array(normal(4, 4), "w")]
    graph = onnx.helper.make_graph(nodes, "model", inputs, outputs, weights)
    proto = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 18)])
    with pytest.raises(LrpcError) as caught:
        lrpc.plan_model(proto, input="x")
    assert [problem.layer for problem in caught.value.problems] == [layer]


def test_the_chosen_input_is_float32_and_the_others_need_not_be():
    inputs = [typed("x", onnx.TensorProto.FLOAT, ["n", 4]), typed("z", onnx.TensorProto.INT64, ["n", 4])]
    nodes = [node("Cast", ["z"], ["c"], name="cast", to=1), node("Add", ["x", "c"], ["y"], name="add")]
    graph = onnx.helper.make_graph(nodes, "model", inputs, [typed("y", onnx.TensorProto.FLOAT, ["n", 4])])
    proto = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 18)])
    assert problems(select(load(proto), "x")) == []
    assert "needs a float32 input" in problems(select(load(proto), "z"))[0].reason


def test_what_depends_on_the_first_input_is_known():
    graph = select(load(NETS["the other twice"].proto()), "x")
    assert depending(graph) == {"x", "l", "lr", "s", "i", "j", "y"}


def test_drawn_values_are_the_same_for_every_sample_and_every_time():
    wanted = (Other("z", "float32", (None, 7)), Other("v", "float32", (1, 6)), Other("k", "int64", (None,)))
    one, five = drawn(wanted, 1), drawn(wanted, 5)
    assert {name: value.shape for name, value in five.items()} == {"z": (5, 7), "v": (1, 6), "k": (5,)}
    assert all((five[name] == value).all() for name, value in one.items())
    assert five["k"].dtype == np.int64
    with pytest.raises(LrpcError, match=r"The input z float32 \(n, \?\) has an unknown size"):
        drawn((Other("z", "float32", (None, None)),), 1)


def test_explanations_that_are_not_to_be_trusted_still_warn():
    net = NETS["a sum of two branches"]
    explainer = lrpc.Explainer(lrpc.compile(net.proto(), input="x"))
    with pytest.warns(HealthWarning):
        explainer(normal(1, 4), 0, others={"z": np.full((1, 7), np.nan)})


TYPES = {np.float32: ANY, np.float64: ANY, np.int64: ANY, np.int8: ANY, np.uint8: NON_NEGATIVE, np.uint64: NON_NEGATIVE,
         np.bool_: NON_NEGATIVE}  # fmt: skip


@pytest.mark.parametrize(("dtype", "sign"), TYPES.items(), ids=[dtype.__name__ for dtype in TYPES])
def test_of_another_input_nothing_is_assumed_but_what_its_type_tells(dtype, sign):
    graph = load(NETS["a sum of two branches"].proto())
    graph.inputs[1].dtype = np.dtype(dtype)
    assert signs(graph_of(graph), NON_NEGATIVE)["z"] == sign


def test_of_an_input_of_no_numpy_type_nothing_is_assumed():
    graph = load(NETS["a sum of two branches"].proto())
    graph.inputs[1].dtype = onnx.TensorProto.BFLOAT16
    assert signs(graph_of(graph), NON_NEGATIVE)["z"] == ANY


def graph_of(graph):
    """A graph of two inputs whose nodes are left out."""
    graph.body.nodes = []
    return graph
