"""Weights as they were saved: not the values alone, but the dtype and the strides of every tensor.

A module is built anew in the default dtype and in the layout of its constructor, and `load_state_dict` converts what it loads to
that: a float64 learner would come back rounded. Strides count too: `linalg.solve` leaves its answer column by column, and BLAS
adds up in another order for a matrix that lies row by row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

GAPS = 1024  # entries between those of a tensor, beyond as many as it has, that a layout may have


def strides_of(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """The strides of those tensors that lie otherwise than row by row; left out where entries share their place."""
    odd = {name: tensor for name, tensor in tensors.items() if tensor.stride() != row_by_row(tensor.shape)}
    return {name: list(tensor.stride()) for name, tensor in odd.items() if is_layout(tensor.shape, tensor.stride())}


def is_layout(shape: Sequence[int], strides: Sequence[Any]) -> bool:
    """Whether the strides give every entry a place of its own, without wide gaps."""
    most = 2 * math.prod(shape) + GAPS
    if len(strides) != len(shape) or not all(isinstance(one, int) and 0 <= one <= most for one in strides):
        return False
    end = 0  # the last place that is taken, by the axes so far
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride <= end:
            return False
        end += (size - 1) * stride
    return end < most


def row_by_row(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor that lies row by row."""
    return torch.empty(tuple(shape), device="meta").stride()


def laid_out(tensor: Tensor, strides: Sequence[int] | None) -> Tensor:
    """A copy that lies by these strides; None: row by row."""
    return torch.empty_strided(tensor.shape, strides or row_by_row(tensor.shape), dtype=tensor.dtype, device=tensor.device).copy_(
        tensor
    )


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], strides: Mapping[str, Sequence[int]] | None = None) -> None:
    """`module.load_state_dict(tensors)`, where the module takes on their dtypes; and the strides, where they are given.

    Raises:
        RuntimeError: names or shapes that do not fit.
    """
    for name, own in module.state_dict(keep_vars=True).items():
        if isinstance(own, Tensor) and name in tensors and own.shape == tensors[name].shape:
            _conform(own, tensors[name].dtype, None if strides is None else strides.get(name, row_by_row(own.shape)))
    module.load_state_dict(tensors)


def unlisted_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Buffers that no state dict has, and whether their module is quickstudy's: a fixed rate, the weights of a schedule."""
    for prefix, part in module.named_modules():
        for name in sorted(part._non_persistent_buffers_set):
            buffer = part._buffers[name]
            if buffer is not None:
                yield f"{prefix}.{name}" if prefix else name, buffer, type(part).__module__.startswith("quickstudy.")


def load_unlisted(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give buffers that no state dict has these values and dtypes.

    Raises:
        RuntimeError: names or shapes that do not fit.
    """
    found = {name: buffer for name, buffer, _ in unlisted_buffers(module)}
    wrong = [name for name, tensor in tensors.items() if name not in found or found[name].shape != tensor.shape]
    if wrong:
        raise RuntimeError(f"Buffers that are not there, or of another shape: {wrong}")
    for name, tensor in tensors.items():
        _conform(found[name], tensor.dtype, None)
        found[name].copy_(tensor)


def _conform(tensor: Tensor, dtype: torch.dtype, strides: Sequence[int] | None) -> None:
    """Give a parameter or buffer, in its place, another dtype and other strides; None: those that it has."""
    if tensor.dtype != dtype:
        tensor.data = tensor.data.to(dtype)
    if strides is not None and tensor.stride() != tuple(strides):
        tensor.data = laid_out(tensor.data, strides)
