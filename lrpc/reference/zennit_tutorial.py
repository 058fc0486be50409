"""The composite of zennit's issue 148 in zennit itself: rules by name, for leaves counted in registration order.

zennit, 0.5.1 and 1.0.0, has no plain Gamma rule any more, and takes any callable as a stabilizer, so both are spelled
here with its own building blocks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lrpc.rules.constructors import Epsilon
from lrpc.rules.stabilizer import Stabilizer

_RULED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.Linear, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
)
_HEURISTIC = Stabilizer(0.25, floor=1e-9, scale="rms", signed=False)


def tutorial_composite(
    model: nn.Module,
    canonizers: list[Any],
    low: Any,
    high: Any,
    epsilon: Epsilon = _HEURISTIC,
    gamma: float = 0.25,
    stabilizer: Epsilon = 1e-6,
) -> Any:
    """Build it for a model: leaf 0 ZBox, 1 to 16 plain Gamma, 17 to 30 the heuristic, from 31 on Epsilon(0).

    Nothing is made of a residual `+`: the gradient copies relevance to both branches.
    """
    from zennit.composites import NameMapComposite
    from zennit.rules import Epsilon as ZennitEpsilon
    from zennit.rules import ZBox

    leaves = [(name, child) for name, child in model.named_modules() if not any(child.children())]
    shift = Stabilizer.of(stabilizer).epsilon
    rules = []
    for index, (name, child) in enumerate(leaves):
        if not isinstance(child, _RULED):
            continue
        if index == 0:
            rule = ZBox(low, high, stabilizer=shift)
        elif index <= 16:
            rule = _plain_gamma(gamma, shift)
        elif index <= 30:
            rule = ZennitEpsilon(epsilon=lambda d: _heuristic(d, Stabilizer.of(epsilon)))
        else:
            rule = ZennitEpsilon(epsilon=0.0)
        rules.append(([name], rule))
    return NameMapComposite(rules, canonizers=canonizers)


def _plain_gamma(gamma: float, epsilon: float) -> Any:
    """The Gamma rule of zennit up to 0.4.7: one share, whatever the sign of the output."""
    from zennit.core import BasicHook, stabilize
    from zennit.rules import GammaMod

    return BasicHook(
        input_modifiers=[lambda x: x],
        param_modifiers=[GammaMod(gamma, min=0.0)],
        output_modifiers=[lambda output: output],
        gradient_mapper=lambda out_grad, outputs: out_grad / stabilize(outputs[0], epsilon),
        reducer=lambda inputs, gradients: inputs[0] * gradients[0],
    )


def _heuristic(d: torch.Tensor, stabilizer: Stabilizer) -> torch.Tensor:
    """d + 0.25 rms(d) + 1e-9, with the rms of each sample."""
    rms = d.pow(2).mean(dim=tuple(range(1, d.ndim)), keepdim=True).sqrt()
    return d + stabilizer.epsilon * rms + stabilizer.floor
