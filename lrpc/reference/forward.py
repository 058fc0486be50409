"""ONNX operators in torch, one function each, differentiable, in whatever dtype their input has.

Written from the ONNX operator documentation; canonized graphs carry their attributes explicitly, and
ONNX's defaults apply where they do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

Attributes = dict[str, Any]
Tensor = torch.Tensor
Forward = Callable[[list[Tensor], Attributes], Tensor]


def _conv(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, weight, *bias = inputs
    dims = x.ndim - 2
    pads = list(a.get("pads", [0] * 2 * dims))
    padded = F.pad(x, _torch_pads(pads))
    function = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    strides, dilations = a.get("strides", [1] * dims), a.get("dilations", [1] * dims)
    bias_or_none = bias[0] if bias else None
    result: Tensor = function(padded, weight, bias_or_none, list(strides), 0, list(dilations), a.get("group", 1))
    return result


def _conv_transpose(inputs: list[Tensor], a: Attributes) -> Tensor:
    """Scatter every input position's kernel, then cut the padding off the result."""
    x, weight, *bias = inputs
    dims = x.ndim - 2
    pads = list(a.get("pads", [0] * 2 * dims))
    extra = list(a.get("output_padding", [0] * dims))
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
    strides, dilations = a.get("strides", [1] * dims), a.get("dilations", [1] * dims)
    whole: Tensor = function(x, weight, None, list(strides), 0, 0, a.get("group", 1), list(dilations))
    whole = F.pad(whole, _torch_pads([0] * dims + extra))
    for axis in range(dims):
        size = whole.shape[2 + axis] - pads[axis] - pads[dims + axis]
        whole = whole.narrow(2 + axis, pads[axis], size)
    shift = bias[0].reshape(-1, *[1] * dims) if bias else torch.zeros((), dtype=x.dtype)
    result: Tensor = whole + shift
    return result


def _gemm(inputs: list[Tensor], a: Attributes) -> Tensor:
    left = inputs[0].T if a.get("transA", 0) else inputs[0]
    right = inputs[1].T if a.get("transB", 0) else inputs[1]
    product: Tensor = a.get("alpha", 1.0) * (left @ right)
    return product + a.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else product


def _batch_norm(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, *parameters = inputs
    return _scale_and_shift([x, *_batch_norm_parameters(parameters, a)], a)


def _batch_norm_parameters(parameters: list[Tensor], a: Attributes) -> list[Tensor]:
    weight, bias, mean, var = parameters
    scale = weight / torch.sqrt(var + a.get("epsilon", 1e-5))
    return [scale, bias - mean * scale]


def _scale_and_shift(inputs: list[Tensor], a: Attributes) -> Tensor:
    """x * scale + shift, by channel."""
    x, scale, shift = inputs
    shape = (1, -1, *[1] * (x.ndim - 2))
    return x * scale.reshape(shape) + shift.reshape(shape)


def _max_pool(inputs: list[Tensor], a: Attributes) -> Tensor:
    """Pad with -inf as far as the last window reaches, then pool without padding."""
    x = inputs[0]
    dims = x.ndim - 2
    geometry = [_windows(x.shape[2 + i], i, a) for i in range(dims)]
    pads = [begin for begin, _, _ in geometry] + [end for _, end, _ in geometry]
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
    padded = F.pad(x, _torch_pads(pads), value=-math.inf)
    strides, dilations = list(a.get("strides", [1] * dims)), list(a.get("dilations", [1] * dims))
    pooled: Tensor = function(padded, list(a["kernel_shape"]), strides, 0, dilations)
    return _cut(pooled, [count for _, _, count in geometry])


def _average_pool(inputs: list[Tensor], a: Attributes) -> Tensor:
    """Sum each window, then divide by how many of its positions count."""
    x = inputs[0]
    dims = x.ndim - 2
    kernel, strides = list(a["kernel_shape"]), list(a.get("strides", [1] * dims))
    geometry = [_windows(x.shape[2 + i], i, a) for i in range(dims)]
    given = list(a.get("pads", [0] * 2 * dims))
    inside = torch.ones_like(x[:1, :1])
    if a.get("count_include_pad", 0):
        inside = F.pad(inside, _torch_pads(given), value=1.0)
        rest = [max(end - given[dims + i], 0) for i, (_, end, _) in enumerate(geometry)]
        inside = F.pad(inside, _torch_pads([0] * dims + rest))
    else:
        inside = F.pad(inside, _torch_pads([b for b, _, _ in geometry] + [e for _, e, _ in geometry]))
    values = F.pad(x, _torch_pads([b for b, _, _ in geometry] + [e for _, e, _ in geometry]))
    counts, steps = [count for _, _, count in geometry], (kernel, strides, list(a.get("dilations", [1] * dims)))
    return _cut(_window_sum(values, *steps), counts) / _cut(_window_sum(inside, *steps), counts)


def _window_sum(x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> Tensor:
    for axis, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        x = x.unfold(2 + axis, dilation * (size - 1) + 1, stride)[..., ::dilation].sum(dim=-1)
    return x


def _windows(n: int, axis: int, a: Attributes) -> tuple[int, int, int]:
    """Return begin padding, end padding as far as the last window reaches, and the number of windows."""
    dims = len(a["kernel_shape"])
    kernel, stride = a["kernel_shape"][axis], a.get("strides", [1] * dims)[axis]
    dilation, pads = a.get("dilations", [1] * dims)[axis], a.get("pads", [0] * 2 * dims)
    begin, end = pads[axis], pads[dims + axis]
    reach = dilation * (kernel - 1) + 1
    free = (n + begin + end - reach) / stride
    count = (math.ceil(free) if a.get("ceil_mode", 0) else math.floor(free)) + 1
    if a.get("ceil_mode", 0) and (count - 1) * stride >= n + begin:
        count -= 1  # a window may not start in the padding at the end
    return begin, max(end, (count - 1) * stride + reach - n - begin), count


def _cut(x: Tensor, sizes: Sequence[int]) -> Tensor:
    for axis, size in enumerate(sizes):
        x = x.narrow(2 + axis, 0, size)
    return x


def _torch_pads(pads: Sequence[int]) -> list[int]:
    """Turn ONNX's (begins..., ends...) into torch's pairs from the last axis on."""
    dims = len(pads) // 2
    return [pads[i + side * dims] for i in reversed(range(dims)) for side in (0, 1)]


def _clip(inputs: list[Tensor], a: Attributes) -> Tensor:
    low = inputs[1] if len(inputs) > 1 and inputs[1].numel() else None
    high = inputs[2] if len(inputs) > 2 and inputs[2].numel() else None
    return F.hardtanh(
        inputs[0],
        float(low) if low is not None else -math.inf,
        float(high) if high is not None else math.inf,
    )


def _prelu(inputs: list[Tensor], a: Attributes) -> Tensor:
    return torch.where(inputs[0] > 0, inputs[0], inputs[0] * inputs[1])


def _hard_sigmoid(inputs: list[Tensor], a: Attributes) -> Tensor:
    return F.hardtanh(a.get("alpha", 0.2) * inputs[0] + a.get("beta", 0.5), 0.0, 1.0)


def _gelu(inputs: list[Tensor], a: Attributes) -> Tensor:
    return F.gelu(inputs[0], approximate=a.get("approximate", "none"))


def _selu(inputs: list[Tensor], a: Attributes) -> Tensor:
    alpha, gamma = a.get("alpha", 1.67326319217681884765625), a.get("gamma", 1.05070102214813232421875)
    result: Tensor = gamma * F.elu(inputs[0], alpha)
    return result


def _reshape(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, wanted = inputs[0], [int(size) for size in inputs[1]]
    sizes = [x.shape[i] if size == 0 and not a.get("allowzero", 0) else size for i, size in enumerate(wanted)]
    return x.reshape(sizes)


def _flatten(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, axis = inputs[0], a.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _squeeze(inputs: list[Tensor], a: Attributes) -> Tensor:
    x = inputs[0]
    axes = [int(i) % x.ndim for i in inputs[1]] if len(inputs) > 1 else [i for i, n in enumerate(x.shape) if n == 1]
    return x.reshape([n for i, n in enumerate(x.shape) if i not in axes])


def _unsqueeze(inputs: list[Tensor], a: Attributes) -> Tensor:
    x = inputs[0]
    rank = x.ndim + len(inputs[1])
    for axis in sorted(int(i) % rank for i in inputs[1]):
        x = x.unsqueeze(axis)
    return x


def _transpose(inputs: list[Tensor], a: Attributes) -> Tensor:
    return inputs[0].permute(list(a.get("perm", range(inputs[0].ndim)[::-1])))


def _layer_norm(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, scale, *shift = inputs
    axes = tuple(range(a.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(dim=axes, keepdim=True)
    normal = centred / torch.sqrt((centred**2).mean(dim=axes, keepdim=True) + a.get("epsilon", 1e-5))
    return normal * scale + shift[0] if shift and shift[0].numel() else normal * scale


def _lrn(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, size = inputs[0], a["size"]
    around = F.pad(x**2, (0, 0, 0, 0, (size - 1) // 2, size // 2))
    squares = around.unfold(1, size, 1).sum(dim=-1)
    result: Tensor = x / (a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * squares) ** a.get("beta", 0.75)
    return result


def _resize(inputs: list[Tensor], a: Attributes) -> Tensor:
    """One axis after the other: pick the nearest value, or blend the two around."""
    x, scales, sizes = inputs[0], *(*inputs[2:], None, None)[:2]
    given = sizes if scales is None or not scales.numel() else scales
    assert given is not None
    pairs = list(zip(a.get("axes", range(x.ndim)), given.tolist(), strict=True))
    counts = [int(number) if given is sizes else math.floor(x.shape[axis] * number) for axis, number in pairs]
    if all(count == x.shape[axis] for (axis, _), count in zip(pairs, counts, strict=True)):
        return x  # runtimes copy, whatever the scales
    for (axis, number), count in zip(pairs, counts, strict=True):
        size = x.shape[axis]
        if axis % x.ndim == 0 or (count == size and number in (1, size)):
            continue
        x = _resized(x, axis, count, count / size if given is sizes else number, a)
    return x


def _resized(x: Tensor, axis: int, count: int, scale: float, a: Attributes) -> Tensor:
    nearest = a.get("mode", "nearest") == "nearest"
    # Runtimes find places in float32, and at a half, or at a whole number, rounding decides which input is read.
    size, index = x.shape[axis], torch.arange(count, dtype=torch.float32 if nearest else x.dtype)
    where = a.get("coordinate_transformation_mode", "half_pixel")
    place = {
        "align_corners": index * (size - 1) / max(count - 1, 1),
        "asymmetric": index / scale,
        "pytorch_half_pixel": (index + 0.5) / scale - 0.5 if count > 1 else index * 0,
    }.get(where, (index + 0.5) / scale - 0.5)
    if nearest:
        rounding = {"floor": torch.floor, "ceil": torch.ceil, "round_prefer_ceil": lambda v: torch.floor(v + 0.5)}
        found = rounding.get(a.get("nearest_mode", ""), lambda v: torch.ceil(v - 0.5))(place)
        return x.index_select(axis, found.long().clamp(0, size - 1))
    place = place.clamp(0, size - 1)
    low = place.floor().long()
    part = (place - low).to(x).reshape(-1, *[1] * (x.ndim - 1 - axis % x.ndim))
    high = (low + 1).clamp(max=size - 1)
    return x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part


def _reduced(inputs: list[Tensor], a: Attributes) -> Tensor:
    """Add up over axes, one after the other from the last on."""
    x, axes = inputs[0], [int(axis) % inputs[0].ndim for axis in inputs[1]]
    for axis in sorted(axes, reverse=True):
        x = x.sum(dim=axis, keepdim=bool(a.get("keepdims", 1)))
    return x


def _reduced_mean(inputs: list[Tensor], a: Attributes) -> Tensor:
    total = _reduced(inputs, a)
    return total * (total.numel() / inputs[0].numel())


def _slice(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, *bounds = inputs
    for start, end, axis, step in zip(*(bound.tolist() for bound in bounds), strict=True):
        x = x.index_select(axis, torch.arange(start, min(end, x.shape[axis]), step))
    return x


def _pad(inputs: list[Tensor], a: Attributes) -> Tensor:
    value = float(inputs[2]) if len(inputs) > 2 and inputs[2].numel() else 0.0
    return F.pad(inputs[0], _torch_pads([int(p) for p in inputs[1]]), value=value)


FORWARD: dict[str, Forward] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "Mul": lambda inputs, a: inputs[0] * inputs[1],
    "Sum": lambda inputs, a: sum(inputs[1:], inputs[0]),
    "ReduceSum": _reduced,
    "ReduceMean": _reduced_mean,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda inputs, a: inputs[0].mean(dim=tuple(range(2, inputs[0].ndim)), keepdim=True),
    "Relu": lambda inputs, a: F.relu(inputs[0]),
    "LeakyRelu": lambda inputs, a: F.leaky_relu(inputs[0], a.get("alpha", 0.01)),
    "PRelu": _prelu,
    "Elu": lambda inputs, a: F.elu(inputs[0], a.get("alpha", 1.0)),
    "Celu": lambda inputs, a: F.celu(inputs[0], a.get("alpha", 1.0)),
    "Selu": _selu,
    "Gelu": _gelu,
    "Swish": lambda inputs, a: inputs[0] * torch.sigmoid(inputs[0]),
    "Mish": lambda inputs, a: F.mish(inputs[0]),
    "HardSwish": lambda inputs, a: F.hardswish(inputs[0]),
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": lambda inputs, a: torch.sigmoid(inputs[0]),
    "Tanh": lambda inputs, a: torch.tanh(inputs[0]),
    "Softplus": lambda inputs, a: torch.logaddexp(inputs[0], torch.zeros_like(inputs[0])),
    "Softsign": lambda inputs, a: F.softsign(inputs[0]),
    "Clip": _clip,
    "Identity": lambda inputs, a: inputs[0],
    "Dropout": lambda inputs, a: inputs[0],
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": lambda inputs, a: torch.cat(inputs, dim=a["axis"]),
    "LayerNormalization": _layer_norm,
    "LRN": _lrn,
    "Resize": _resize,
    "Slice": _slice,
    "Pad": _pad,
}

MULTIPLE = {"Sum", "Concat", "Mul"}
"""Ops all of whose inputs carry relevance; of every other op it is the first."""

UNWEIGHTED = {"Resize", "ReduceSum", "ReduceMean"}
"""Linear ops whose further inputs are sizes, or axes: no modifier changes these."""

WEIGHTED_AS: dict[str, tuple[Forward, Callable[[list[Tensor], Attributes], list[Tensor]]]] = {
    "BatchNormalization": (_scale_and_shift, _batch_norm_parameters),
}
"""Linear ops whose inputs are not weight and bias: a form that takes these, and what makes them of the parameters."""
