"""Emit the modifiers of the rule algebra, for parameters and for inputs."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.emitter import Emitter, zeros_like
from lrpc.rules.algebra import Abs, Boost, Fill, Keep, Mod, Neg, Pos, Scaled, Square, Zero
from lrpc.rules.stabilizer import shortest
from passes.graph import rank_of


def modify_parameter(emit: Emitter, value: gs.Tensor | None, mod: Mod) -> gs.Tensor | None:
    """Emit mod(weight or bias), once per parameter and modifier; None stands for a zero bias."""
    if value is None or isinstance(mod, Zero):
        return None
    if isinstance(mod, Keep):
        return value
    return emit.share(f"{value.name}/{_slug(mod, emit.group)}", lambda name: _modify(emit, value, mod, name))


def modify_input(emit: Emitter, value: gs.Tensor, mod: Mod, name: str) -> gs.Tensor:
    """Emit mod(x) in x's shape."""
    return value if isinstance(mod, Keep) else _modify(emit, value, mod, name)


def _modify(emit: Emitter, value: gs.Tensor, mod: Mod, name: str) -> gs.Tensor:
    match mod:
        case Keep():
            return value
        case Pos():
            return emit.op("Relu", [value], name)
        case Neg():
            return emit.op("Min", [value, emit.constant(0.0, f"{name}/zero")], name)
        case Abs():
            return emit.op("Abs", [value], name)
        case Square():
            return emit.op("Mul", [value, value], name)
        case Boost(gamma, part):
            clamped = _modify(emit, value, part, f"{name}/part")
            scaled = emit.op("Mul", [clamped, emit.parameter(gamma, "gamma", f"{name}/gamma")], f"{name}/scaled")
            return emit.op("Add", [value, scaled], name)
        case Fill(number):
            filling = emit.constant(per_channel(number, rank_of(value)), f"{name}/value")
            return emit.op("Expand", [filling, emit.op("Shape", [value], f"{name}/shape")], name)
        case Scaled(factor, part):
            inner = _modify(emit, value, part, f"{name}/part")
            return emit.op("Mul", [inner, emit.constant(factor, f"{name}/factor")], name)
        case Zero():
            return zeros_like(emit, value, name)
        case _:
            assert_never(mod)


def per_channel(number: float | tuple[float, ...], rank: int) -> np.ndarray:
    """Shape one number per channel so that it broadcasts along axis 1."""
    values = np.asarray(number, np.float32)
    return values if values.ndim == 0 else values.reshape(1, -1, *[1] * (rank - 2))


def _slug(mod: Mod, group: str | None = None) -> str:
    """Name a modifier; with a tunable gamma it is one of its rule's group."""
    match mod:
        case Boost(gamma, part):
            return f"boost_{_slug(part)}_{group or shortest(gamma)}"
        case Fill(number):
            return f"fill_{number}"
        case Scaled(factor, part):
            return f"{shortest(factor)}_{_slug(part, group)}"
        case _:
            return type(mod).__name__.lower()
