"""Every small network's emitted graphs: valid, plain, and the same whether separate or fused."""

import numpy as np
import onnx
import pytest

import lrpc
from lrpc.reference.zennit_adapter import COMPOSITES
from tests.composites import PARAMETERS
from tests.nets import NETS, exported, inputs


@pytest.mark.parametrize("composite", [name for name in COMPOSITES if name not in ("tutorial", "epsilon")])
@pytest.mark.parametrize("name", NETS)
def test_graphs_are_valid_and_agree(name, composite, tmp_path):
    _, proto = exported(name)
    built = lrpc.composites.COMPOSITES[composite](**PARAMETERS.get(composite, {}))
    bundle = lrpc.compile(proto, composite=built).save(tmp_path / "net.lrp")
    for graph in ("forward", "relevance", "explain"):
        onnx.checker.check_model(bundle / f"{graph}.onnx", full_check=True)
        written = onnx.load(bundle / f"{graph}.onnx", load_external_data=False)
        assert {node.domain for node in written.graph.node} == {""}
        assert {entry.version for entry in written.opset_import} == {18}
    x = inputs(NETS[name], 5)
    fused, pair = lrpc.Explainer(bundle), lrpc.Explainer(bundle, fused=False)
    expected = fused(x, 1).relevance
    scale = np.linalg.norm(expected)
    assert scale > 0
    assert np.linalg.norm(pair(x, 1).relevance - expected) <= 1e-6 * scale
    assert np.linalg.norm(fused(x[:1], 1).relevance - expected[:1]) <= 1e-5 * np.linalg.norm(expected[:1])
