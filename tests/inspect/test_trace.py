"""The trace: in-graph numbers against numpy on the same relevance, and the layer to blame."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import lrpc
from lrpc import composites, rules
from lrpc.inspect.diagnose.trace import Row, Tracer, _mark
from lrpc.inspect.validate.traced import run_traced
from lrpc.reference import run_oracle
from tests.graphs import picture, small_resnet

COMPOSITES = {
    "gamma": composites.epsilon_gamma_box(-2, 2),
    "plus": composites.epsilon_plus(),
    "alpha_beta": composites.epsilon_alpha2_beta1(),
    "bounded": composites.bounded(),
    "tutorial": composites.tutorial(-2, 2),
    "guided": composites.guided_backprop(),
}
TARGETS = [1, 3]


@pytest.mark.parametrize("composite", COMPOSITES.values(), ids=COMPOSITES)
def test_the_graphs_numbers_are_numpys(composite):
    """Of the relevance arriving at each layer, to 1e-5 of its sum of magnitudes."""
    compiled = lrpc.compile(small_resnet(), composite=composite)
    trace = Tracer(compiled)(picture(), TARGETS)
    seed = np.eye(5, dtype=np.float32)[TARGETS]
    outside = run_traced(compiled.plan, picture(), seed)
    for sample, rows in enumerate(trace.samples):
        assert [row.layer for row in rows] == [row.layer for row in reversed(compiled.plan.rows)]
        for row in rows:
            values = outside.arriving[row.layer][sample].astype(np.float64)
            size = np.abs(values).sum()
            assert abs(row.sum - values.sum()) <= 1e-5 * size
            assert abs(row.abs_sum - size) <= 1e-5 * size
            assert abs(row.range - np.ptp(values)) <= 1e-5 * size
            assert row.nonfinite == 0
            assert row.index == [r.layer for r in compiled.plan.rows].index(row.layer)
    flat = trace.relevance.reshape(2, -1).astype(np.float64)
    size = np.abs(flat).sum(axis=1)
    for actual, expected in (
        (trace.health.sum, flat.sum(axis=1)),
        (trace.health.abs_sum, size),
        (trace.health.range, np.ptp(flat, axis=1)),
    ):
        assert (np.abs(actual - expected) <= 1e-5 * size).all()


def test_amplification_is_what_a_layer_hands_down_over_what_arrived():
    compiled = lrpc.compile(small_resnet(), composite=composites.epsilon_plus())
    trace = Tracer(compiled)(picture(1), 2)
    exact = run_oracle(compiled.plan.graph, compiled.plan.behaviours, picture(1), np.eye(5, dtype=np.float32)[[2]])
    rows = {row.layer: row for row in trace.samples[0]}
    one_reader = {
        "conv1": exact.relevance,
        "block.conv2": exact.arriving["block.relu"],
        "fc": exact.arriving["flatten"],
    }
    for layer, handed in one_reader.items():
        expected = np.abs(handed).sum() / np.abs(exact.arriving[layer]).sum()
        assert rows[layer].amplification == pytest.approx(expected, rel=1e-4)
    assert rows["block.add"].handed == pytest.approx(
        sum(np.abs(exact.arriving[layer]).sum() for layer in ("block.conv2", "block.shortcut")), rel=1e-4
    )


def test_the_smallest_denominator_is_that_of_a_quotient_that_counts():
    compiled = lrpc.compile(small_resnet(), composite=composites.epsilon_plus(epsilon=0.5))
    trace = Tracer(compiled)(picture(1), 2)
    z = run_traced(compiled.plan, picture(1), np.eye(5, dtype=np.float32)[[2]]).output[0, 2]
    rows = {row.layer: row for row in trace.samples[0]}
    assert rows["fc"].denominator == pytest.approx(abs(z) + 0.5, rel=1e-5)
    assert rows["block.relu"].denominator is None


@pytest.mark.parametrize("layer", ["conv1", "block.conv1", "fc"])
def test_a_denominator_behind_a_closed_gate_does_not_count(layer):
    """Relative to the rms, Gamma keeps a share for each sign of z at -O1 too; only one of them hands anything down."""
    rule = (layer, rules.gamma(0.5, "eps=0.1,scale=rms"))
    defined, simplified = (
        Tracer(lrpc.compile(small_resnet(), rules=[rule], optimize=level))(picture(), TARGETS).samples
        for level in (0, 1)
    )
    for ours, theirs in zip(simplified, defined, strict=True):
        found, expected = ({row.layer: row.denominator for row in rows}[layer] for rows in (ours, theirs))
        assert found == pytest.approx(expected, rel=1e-4)


def test_hidden_relevance_is_what_arrives_there():
    compiled = lrpc.compile(small_resnet())
    trace = Tracer(compiled, layers=["block.add", "fc"])(picture(), TARGETS)
    outside = run_traced(compiled.plan, picture(), np.eye(5, dtype=np.float32)[TARGETS])
    for layer in ("block.add", "fc"):
        np.testing.assert_allclose(trace.hidden[layer], outside.arriving[layer], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("single_file", [False, True])
@pytest.mark.parametrize("options", [{}, {"seed_input": True}, {"tunable": True}], ids=lambda o: " ".join(o) or "plain")
def test_any_bundle_can_be_traced(tmp_path, options, single_file):
    expected = Tracer(lrpc.compile(small_resnet()))(picture(), TARGETS)
    path = lrpc.compile(small_resnet(), **options).save(tmp_path / "b", single_file=single_file)
    actual = Tracer(path, layers=["fc"])(picture(), TARGETS)
    for ours, theirs in zip(actual.samples[1], expected.samples[1], strict=True):
        assert ours.abs_sum == pytest.approx(theirs.abs_sum, rel=1e-4)


def test_the_traced_graph_is_standard_and_runs_on_its_own(tmp_path):
    bundle = lrpc.compile(small_resnet()).save(tmp_path / "b.lrp")
    proto = Tracer(bundle).graph()
    (bundle / "trace.onnx").write_bytes(proto.SerializeToString())
    onnx.checker.check_model(str(bundle / "trace.onnx"), full_check=True)
    session = ort.InferenceSession(str(bundle / "trace.onnx"), providers=["CPUExecutionProvider"])
    (table,) = session.run(["trace"], {"x": picture(), "target": np.array(TARGETS)})
    rows = Tracer(bundle)(picture(), TARGETS).samples[0]
    assert table.shape == (2, len(rows), 6)
    np.testing.assert_allclose(table[0, :, 2], [row.abs_sum for row in rows], rtol=1e-4)


def test_a_layer_that_there_is_not_is_refused():
    with pytest.raises(lrpc.LrpcError, match=r"has no layer layer9"):
        Tracer(lrpc.compile(small_resnet()), layers=["layer9"])


def test_a_bundle_of_an_older_version_is_refused(tmp_path):
    path = lrpc.compile(small_resnet()).save(tmp_path / "b.lrp")
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["trace"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(lrpc.LrpcError, match="older lrpc wrote it"):
        Tracer(path)


def test_a_trace_is_json():
    trace = Tracer(lrpc.compile(small_resnet()))(picture(), TARGETS)
    table = json.loads(trace.to_json(1))
    assert table["layers"][0]["layer"] == "fc"
    assert table["input"]["abs_sum"] == pytest.approx(float(trace.health.abs_sum[1]))


def row(layer, arriving, handed, nonfinite=0):
    return Row(0, layer, "", "", 0.0, 0.0, arriving, handed / arriving, None, handed, nonfinite)


BLAME = {
    "healthy": ([row("a", 1, 1), row("b", 1, 0.8)], 0.8, None),
    "healthy at the end": ([row("a", 1, 30), row("b", 30, 2)], 2.0, None),
    "explodes": ([row("a", 1, 1), row("b", 1, 50), row("c", 50, 60)], 60.0, "b"),
    "grew, shrank, explodes": ([row("a", 1, 30), row("b", 30, 2), row("c", 2, 100), row("d", 100, 90)], 90.0, "c"),
    "added up": ([row("a", 1, 8), row("b", 8, 8), row("sum", 14, 14)], 14.0, "a"),
    "vanishes": ([row("a", 1, 0.5), row("b", 0.5, 0.001), row("c", 0.001, 0.001)], 0.001, "b"),
    "not finite": ([row("a", 1, 1), row("b", 1, float("nan")), row("c", 1, 1, nonfinite=3)], 1.0, "b"),
}


@pytest.mark.parametrize(("rows", "end", "blamed"), BLAME.values(), ids=BLAME)
def test_the_layer_to_blame(rows, end, blamed):
    marked = [r.layer for r in _mark(rows, end, 0.01, 10) if r.first_bad]
    assert marked == ([blamed] if blamed else [])


def test_a_copying_sum_is_seen_to_double_relevance():
    compiled = lrpc.compile(small_resnet(), rules=[("block.add", rules.Copy())])
    assert Tracer(compiled)(picture(), 1).worst("block.add") == pytest.approx(2.0)
