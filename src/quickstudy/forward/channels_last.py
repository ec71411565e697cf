"""Batch norm of channels-last images by batch statistics, for the layout that is fast on a CPU.

    c = x - mean(x)        r = (mean(c^2) + eps)^(-1/2)        y = c r weight + bias                            (1)

    dx = r weight (dy - mean(dy)) - c r^3 weight mean(dy c)        dweight = r sum(dy c)        dbias = sum(dy)  (2)

Convolutions and pooling on a CPU are fastest if the channels of a pixel are adjacent in memory, but torch 2.13's own batch norm
sums such float32 images naively: on drawn characters its gradient was off by 1 %. As a matrix (pixels, channels) the sums are
over rows, which torch adds accurately. The rows are processed in slabs that fit a core's cache, so that an image is read three
times and written once. With a graph, as in an inner step, (2) is plain torch on the whole matrix, so second derivatives are
exact: tests/exact/test_channels_last.py.

Source of (2): Ioffe & Szegedy, "Batch Normalization", ICML 2015, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

SLAB = 1 << 17  # values: half a megabyte of float32
LARGE = 1 << 20  # values above which slabs are worth their Python overhead
EXACT = (torch.float32, torch.float64)  # torch sums half precision in float32, accurately


def serves(x: Tensor) -> bool:
    """Whether x is a batch of channels-last images on a CPU."""
    return (
        x.ndim == 4
        and x.device.type == "cpu"
        and x.shape[1] > 1
        and x.dtype in EXACT
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """(1) over all but the channels of x (examples, channels, height, width)."""
    images = x.permute(0, 2, 3, 1)
    channels = x.shape[1]
    weight = x.new_ones(channels) if weight is None else weight
    bias = x.new_zeros(channels) if bias is None else bias
    rows = images.reshape(-1, channels)
    y = RowNorm.apply(rows, weight, bias, eps)[0] if x.numel() > LARGE else plain(rows, weight, bias, eps)
    return y.reshape(images.shape).permute(0, 3, 1, 2)


def plain(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(1) for x (rows, channels) in torch's own operations: faster if the images fit a cache."""
    c = x - x.mean(0)
    r = (c.square().mean(0) + eps).rsqrt()
    return torch.addcmul(bias, c, r * weight)


class RowNorm(torch.autograd.Function):
    """(1) for x (rows, channels) -> y, and its mean and r, (channels,) each, which are not differentiated."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        rows, y = len(x), torch.empty_like(x)
        mean = x.sum(0) / rows
        r = (sum(((x_i - mean).square().sum(0) for (x_i,) in slabs(x)), torch.zeros_like(mean)) / rows + eps).rsqrt()
        for x_i, y_i in slabs(x, y):
            torch.addcmul(bias, x_i - mean, r * weight, out=y_i)
        return y, mean, r

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, weight, _, eps = inputs
        _, mean, r = output
        ctx.mark_non_differentiable(mean, r)
        ctx.save_for_backward(x, weight, mean, r)
        ctx.eps = eps

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Any, ...]:
        x, weight, mean, r = ctx.saved_tensors
        return (*(with_graph(dy, x, weight, ctx.eps) if torch.is_grad_enabled() else in_slabs(dy, x, weight, mean, r)), None)


def with_graph(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(2) as a function of dy, x and weight that can be differentiated: mean and r are computed again from x."""
    rows = len(x)
    c = x - x.sum(0) / rows
    r = (c.square().sum(0) / rows + eps).rsqrt()
    dot, total = (dy * c).sum(0), dy.sum(0)
    return r * weight * (dy - total / rows) - c * (r**3 * weight * dot / rows), r * dot, total


def in_slabs(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(2) without a graph."""
    rows, dx = len(x), torch.empty_like(x)
    dot = sum(((x_i - mean).mul_(dy_i).sum(0) for x_i, dy_i in slabs(x, dy)), torch.zeros_like(mean))
    total = dy.sum(0)
    scale, pull = r * weight, -(r**3) * weight * dot / rows
    shift = -scale * total / rows
    for x_i, dy_i, dx_i in slabs(x, dy, dx):
        torch.addcmul(shift, dy_i, scale, out=dx_i).addcmul_(x_i - mean, pull)
    return dx, r * dot, total


def slabs(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The matrices' rows, a cacheful at a time."""
    return zip(*(matrix.split(max(SLAB // matrix.shape[1], 1)) for matrix in matrices), strict=True)
