"""The oracle against zennit's rules, against explicit matrices, and against what the rules promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import zennit.rules as zr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from zennit.core import Stabilizer as ZennitStabilizer

from lrpc import rules
from lrpc.reference.oracle import Layer, linear_rule, stabilized
from lrpc.rules.stabilizer import Stabilizer


def dense(inputs=5, outputs=4):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs).double(), (3, inputs)


def conv():
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3, stride=2, padding=1).double(), (2, 3, 6, 7)


def transposed():
    torch.manual_seed(0)
    return nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1).double(), (2, 3, 4, 5)


MODULES = {"Gemm": dense, "Conv": conv, "ConvTranspose": transposed}
ATTRIBUTES = {
    "Gemm": {"transB": 1},
    "Conv": {"strides": [2, 2], "pads": [1] * 4},
    "ConvTranspose": {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]},
}
RULES = {
    "epsilon": (rules.epsilon(1e-3), zr.Epsilon(1e-3)),
    "epsilon, no bias": (rules.epsilon(1e-3, "bias"), zr.Epsilon(1e-3, zero_params=["bias"])),
    "gamma": (rules.gamma(0.3), zr.Gamma(0.3)),
    "gamma, no bias, zennit's gate": (
        rules.gamma(0.3, zero_params="bias", compat=True),
        zr.Gamma(0.3, zero_params=["bias"]),
    ),
    "z_plus": (rules.z_plus(), zr.ZPlus()),
    "z_plus, no bias": (rules.z_plus(zero_params="bias"), zr.ZPlus(zero_params=["bias"])),
    "alpha_beta": (rules.alpha_beta(), zr.AlphaBeta()),
    "z_box": (rules.z_box(-3, 2.5), zr.ZBox(-3.0, 2.5)),
    "w_square": (rules.w_square(), zr.WSquare()),
    "flat": (rules.flat(), zr.Flat()),
    "clip": (
        rules.z_plus(Stabilizer(0.5, clip=True)),
        zr.ZPlus(ZennitStabilizer(0.5, clip=True)),
    ),
}


@pytest.mark.parametrize(("ours", "zennit"), RULES.values(), ids=RULES)
@pytest.mark.parametrize("op", MODULES)
def test_a_linear_rule_equals_zennits(op, ours, zennit):
    module, shape = MODULES[op]()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    handle = zennit.copy().register(module)
    z = module(x)
    relevance = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(z, x, relevance)
    handle.remove()
    layer = Layer(op, ATTRIBUTES[op], [module.weight.detach(), module.bias.detach()])
    (actual,) = linear_rule(layer, ours, [x.detach()], relevance)
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)


STABILIZERS = {
    "plain": (Stabilizer(0.1), ZennitStabilizer(0.1)),
    "clip": (Stabilizer(0.1, clip=True), ZennitStabilizer(0.1, clip=True)),
    "rms": (Stabilizer(0.1, scale="rms"), ZennitStabilizer(0.1, norm_scale=True)),
    "rms over one axis, clipped": (
        Stabilizer(0.1, scale="rms", axes=(1,), clip=True),
        ZennitStabilizer(0.1, norm_scale=True, dim=(1,), clip=True),
    ),
}


@pytest.mark.parametrize(("ours", "zennit"), STABILIZERS.values(), ids=STABILIZERS)
def test_a_stabilizer_equals_zennits(ours, zennit):
    d = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    d[0, 0, 0] = 0.0
    torch.testing.assert_close(stabilized(d, ours), zennit(d), rtol=1e-14, atol=0)


def matrix_rule(name, x, w, b, relevance):
    """Relevance by an explicit matrix of contributions a[i, j] = x_i w_ij, written with loops."""
    result = np.zeros_like(x)
    for j in range(w.shape[0]):
        a = x * w[j]
        positive, negative = np.clip(a, 0, None), np.clip(a, None, 0)
        if name == "epsilon":
            total = a.sum() + b[j]
            result += a * relevance[j] / (total + 1e-6 * (1 if total >= 0 else -1))
        elif name == "z_plus":
            result += positive * relevance[j] / (positive.sum() + max(b[j], 0) + 1e-6)
        elif name == "gamma":
            z, g = a.sum() + b[j], 0.25
            part, bias = (positive, max(b[j], 0)) if z > 0 else (negative, min(b[j], 0))
            boosted = a + g * part
            d = boosted.sum() + b[j] + g * bias
            result += boosted * relevance[j] / (d + 1e-6 * (1 if d >= 0 else -1))
        elif name == "gamma_plain":
            boosted = a + 0.25 * x * np.clip(w[j], 0, None)
            d = boosted.sum() + b[j] + 0.25 * max(b[j], 0)
            result += boosted * relevance[j] / (d + 1e-6 * (1 if d >= 0 else -1))
        elif name == "gamma_symmetric":
            p, n = positive.sum() + max(b[j], 0), negative.sum() + min(b[j], 0)
            g_p, g_n = (1.25, 1.0) if p >= -n else (1.0, 1.25)
            d = g_p * p + g_n * n
            result += (g_p * positive + g_n * negative) * relevance[j] / (d + 1e-6 * (1 if d >= 0 else -1))
        elif name == "abs_split":
            result += np.abs(a) * relevance[j] / (np.abs(a).sum() + abs(b[j]) + 1e-6)
        else:
            up = positive / (positive.sum() + max(b[j], 0) + 1e-6)
            down = negative / (negative.sum() + min(b[j], 0) - 1e-6)
            result += (2 * up - down) * relevance[j]
    return result


@pytest.mark.parametrize(
    "name", ["epsilon", "z_plus", "gamma", "gamma_plain", "gamma_symmetric", "abs_split", "alpha_beta"]
)
def test_a_rule_equals_its_explicit_matrix(name):
    rng = np.random.default_rng(2)
    x, w, b, relevance = (rng.standard_normal(s) for s in (6, (5, 6), 5, 5))
    layer = Layer("Gemm", {"transB": 1}, [torch.from_numpy(w), torch.from_numpy(b)])
    tensors = [torch.from_numpy(x[None])], torch.from_numpy(relevance[None])
    (actual,) = linear_rule(layer, rules.RULES[name](), *tensors)
    np.testing.assert_allclose(actual[0].numpy(), matrix_rule(name, x, w, b, relevance), rtol=1e-10, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    gamma=st.floats(0, 5, width=32, allow_subnormal=False),
    zero_params=st.sampled_from([None, "bias"]),
)
def test_symmetric_gamma_is_general_gamma_wherever_z_is_not_zero(seed, gamma, zero_params):
    rng = np.random.default_rng(seed)
    x, w, b, relevance = (torch.from_numpy(rng.standard_normal(s)) for s in ((2, 6), (4, 6), 4, (2, 4)))
    layer = Layer("Gemm", {"transB": 1}, [w, b])
    (general,) = linear_rule(layer, rules.gamma(gamma, 0.0, zero_params), [x], relevance)
    (symmetric,) = linear_rule(layer, rules.gamma_symmetric(gamma, 0.0, zero_params), [x], relevance)
    torch.testing.assert_close(symmetric, general, rtol=1e-12, atol=1e-12)


def test_at_z_0_symmetric_gamma_counts_as_positive_and_general_gamma_drops_the_relevance():
    layer = Layer("Gemm", {"transB": 1}, [torch.tensor([[1.0, -1.0]], dtype=torch.float64)])
    x, relevance = torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    (general,) = linear_rule(layer, rules.gamma(0.25, 0.0), [x], relevance)
    (symmetric,) = linear_rule(layer, rules.gamma_symmetric(0.25, 0.0), [x], relevance)
    torch.testing.assert_close(general, torch.zeros_like(x))
    torch.testing.assert_close(symmetric, torch.tensor([[5.0, -4.0]], dtype=torch.float64))


SHARING = [
    rules.epsilon(0.0, share_bias=True),
    rules.gamma(0.25, 0.0, share_bias=True),
    rules.gamma_plain(0.25, 0.0, share_bias=True),
    rules.abs_split(0.0, share_bias=True),
]


@pytest.mark.parametrize("rule", SHARING, ids=str)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_bias_that_is_shared_out_conserves_relevance(rule, seed):
    rng = np.random.default_rng(seed)
    x, w, b, relevance = (
        torch.from_numpy(rng.standard_normal(s)) for s in ((1, 2, 5, 5), (3, 2, 3, 3), 3, (1, 3, 5, 5))
    )
    (actual,) = linear_rule(Layer("Conv", {"pads": [1] * 4}, [w, b]), rule, [x], relevance)
    torch.testing.assert_close(actual.sum(), relevance.sum(), rtol=1e-6, atol=1e-8)


BOUNDS = {
    "z_plus": (rules.z_plus(0.0), 1.0),
    "alpha_beta": (rules.alpha_beta(2, 1, 0.0), 3.0),
    "gamma 0.25": (rules.gamma(0.25, 0.0), 9.0),
    "gamma 1": (rules.gamma(1.0, 0.0), 3.0),
    "gamma, bias zeroed, bias-free gate": (rules.gamma(0.25, 0.0, "bias"), 9.0),
    "flat": (rules.flat(0.0), 1.0),
    "w_square": (rules.w_square(0.0), 1.0),
}


@pytest.mark.parametrize(("rule", "bound"), BOUNDS.values(), ids=BOUNDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(1, 8), outputs=st.integers(1, 6))
def test_a_bounded_rule_keeps_its_bound(rule, bound, seed, inputs, outputs):
    rng = np.random.default_rng(seed)
    x, w, b, relevance = (rng.standard_normal(s) for s in ((1, inputs), (outputs, inputs), outputs, (1, outputs)))
    layer = Layer("Gemm", {"transB": 1}, [torch.from_numpy(w), torch.from_numpy(b)])
    (actual,) = linear_rule(layer, rule, [torch.from_numpy(x)], torch.from_numpy(relevance))
    assert float(actual.abs().sum()) <= bound * np.abs(relevance).sum() * (1 + 1e-9)


@pytest.mark.parametrize("rule", [rules.epsilon(0.0), rules.z_plus(0.0), rules.gamma(0.25, 0.0)], ids=str)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_without_bias_relevance_is_conserved(rule, seed):
    rng = np.random.default_rng(seed)
    x, w, relevance = (torch.from_numpy(rng.standard_normal(s)) for s in ((1, 12), (3, 12), (1, 3)))
    assume(bool(((x * w) > 0).any(dim=1).all()))  # z_plus drops what no input speaks for
    (actual,) = linear_rule(Layer("Gemm", {"transB": 1}, [w]), rule, [x], relevance)
    torch.testing.assert_close(actual.sum(), relevance.sum(), rtol=1e-6, atol=1e-9)
