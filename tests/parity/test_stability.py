"""The failure of zennit's issue 148 on torchvision's networks, and its cure, at full size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import lrpc
from lrpc import composites, rules
from lrpc.composites.composite import Composite, Entry
from lrpc.export import export, load_torch
from lrpc.inspect.diagnose.doctor import HEALTHY, diagnose, rank_correlation
from lrpc.inspect.validate.traced import run_traced
from lrpc.inspect.validate.validation import relative_error
from lrpc.reference import run_oracle
from tests.nets import pictures

pytestmark = pytest.mark.slow

TARGET = np.array([1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def composite_of(kind, spec) -> Composite:
    if kind == "tutorial":
        return composites.tutorial(spec.low, spec.high)
    base = composites.epsilon_gamma_box(spec.low, spec.high)
    plain = [e if not e.rule.name.startswith("gamma") else Entry(rules.gamma_plain(), e.kinds) for e in base.entries]
    return Composite("epsilon_gamma_plain_box", tuple(plain))


def prepared(name, kind, folder):
    loaded = load_torch(f"torchvision:{name}")
    proto = onnx.load(export(loaded, folder / f"{name}.onnx"))
    return lrpc.plan_model(proto, composite=composite_of(kind, loaded.spec)), loaded.spec, proto


# model, composite, the least sum of |R| that it explodes to
ILL = [
    ("resnet18", "plain", 1e3), ("resnet50", "plain", 1e3), ("resnet101", "plain", 1e3), ("resnext50_32x4d", "plain", 1e3),
    ("resnet50", "tutorial", 1e25),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "size"), ILL, ids=lambda value: str(value))
def test_it_explodes_and_is_cured(name, kind, size, folder):
    plan, spec, proto = prepared(name, kind, folder)
    x, seed = pictures(spec)[:1], np.eye(1000, dtype=np.float32)[TARGET]
    found = diagnose(plan, x, TARGET)
    before, after = (float(trace.health.abs_sum[0]) for trace in (found.before, found.after))
    assert before > size
    with pytest.warns(lrpc.HealthWarning, match="explodes"):
        lrpc.Explainer(lrpc.compiler.compile_plan(plan))(x, TARGET)
    blamed = found.before.first_bad()
    assert blamed is not None
    assert found.cured
    assert HEALTHY[0] <= after <= HEALTHY[1]
    cured = lrpc.plan_model(proto, composite=found.composite(composite_of(kind, spec)))
    exact = run_oracle(cured.graph, cured.behaviours, x, seed)
    error = relative_error(run_traced(cured, x, seed).relevance, exact.relevance)
    usual = lrpc.plan_model(proto, composite=composites.epsilon_gamma_box(spec.low, spec.high))
    general = run_oracle(usual.graph, usual.behaviours, x, seed)
    agreement = float(rank_correlation(exact.relevance, general.relevance)[0])
    print(
        f"\n{name} {kind}: sum of |R| {before:.2g} to {after:.2g}, first bad {blamed.layer}, {len(found.changes)} of "
        f"{len(plan.rows)} layers changed, {found.traces} traces, float32 error {error:.1e}, rank {agreement:.3f}"
    )
    assert error < 1e-3
    assert agreement >= 0.9
    changed = {change.layer for change in found.changes}
    same = [(old, new) for old, new in zip(plan.rows, cured.rows, strict=True) if old.layer not in changed]
    assert all(old.rule == new.rule for old, new in same)
    if kind == "plain":
        assert {str(change.before) for change in found.changes} == {"gamma_plain(0.25)"}


@pytest.mark.parametrize("kind", ["plain", "general"])
def test_vgg16_is_left_as_it_is(kind, folder):
    plan, spec, proto = prepared("vgg16", "plain", folder)
    if kind == "general":
        plan = lrpc.plan_model(proto, composite=composites.epsilon_gamma_box(spec.low, spec.high))
    found = diagnose(plan, pictures(spec), np.array([1, 10, 100]))
    print(f"\nvgg16 {kind}: sum of |R| up to {found.before.health.abs_sum.max():.2g}, nothing changed")
    assert found.cured
    assert found.changes == ()
