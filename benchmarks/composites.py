"""The composites that are compared, for a model's input."""

from __future__ import annotations

from lrpc import composites, rules
from lrpc.bundle.input_spec import InputSpec
from lrpc.composites.composite import Composite, Entry
from lrpc.rules.kinds import LINEAR

NAMES = ("epsilon_gamma_box", "epsilon_plus", "epsilon_alpha2_beta1", "epsilon")


def built(name: str, spec: InputSpec) -> Composite:
    """Return one of `NAMES`; `epsilon` is Epsilon on every layer with a weight, which the zennit adapter knows too."""
    if name == "epsilon":
        return Composite("epsilon", (Entry(rules.epsilon(), LINEAR), *composites.epsilon_plus().entries))
    if name == "epsilon_gamma_box":
        assert spec.low is not None
        assert spec.high is not None
        return composites.epsilon_gamma_box(spec.low, spec.high)
    return composites.COMPOSITES[name]()
