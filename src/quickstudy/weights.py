"""Weights as they were saved: not only the values, but the dtype and strides of every tensor.

A constructor builds its module in the default dtype and layout, and `load_state_dict` converts to those: a float64 learner would
come back rounded. Strides count too: `linalg.solve` returns its answer column by column, and BLAS sums in another order for a
row-major matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

GAPS = 1024  # a layout may span twice as many places as the tensor has entries, and this many more


def strides_of(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """The strides of the tensors that are not row-major; left out if entries overlap or lie far apart."""
    odd = {name: tensor for name, tensor in tensors.items() if tensor.stride() != row_by_row(tensor.shape)}
    return {name: list(tensor.stride()) for name, tensor in odd.items() if is_layout(tensor.shape, tensor.stride())}


def is_layout(shape: Sequence[int], strides: Sequence[Any]) -> bool:
    """Whether the strides give every entry a place of its own, without wide gaps."""
    most = 2 * math.prod(shape) + GAPS
    if len(strides) != len(shape) or not all(isinstance(one, int) and 0 <= one <= most for one in strides):
        return False
    end = 0  # the last place taken by the axes so far
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride <= end:
            return False
        end += (size - 1) * stride
    return end < most


def row_by_row(shape: Sequence[int]) -> tuple[int, ...]:
    """The row-major strides of a shape."""
    return torch.empty(tuple(shape), device="meta").stride()


def laid_out(tensor: Tensor, strides: Sequence[int] | None) -> Tensor:
    """A copy with these strides; None: row-major."""
    return torch.empty_strided(tensor.shape, strides or row_by_row(tensor.shape), dtype=tensor.dtype, device=tensor.device).copy_(
        tensor
    )


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], strides: Mapping[str, Sequence[int]] | None = None) -> None:
    """`module.load_state_dict(tensors)`, but the module takes on their dtypes, and `strides` if given.

    Raises:
        RuntimeError: names or shapes do not fit.
    """
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and name in tensors and tensor.shape == tensors[name].shape:
            _conform(tensor, tensors[name].dtype, None if strides is None else strides.get(name, row_by_row(tensor.shape)))
    module.load_state_dict(tensors)


def unlisted_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Buffers outside the state dict (a fixed rate, the weights of a schedule), and whether their module is quickstudy's."""
    for prefix, part in module.named_modules():
        for name in sorted(part._non_persistent_buffers_set):
            buffer = part._buffers[name]
            if buffer is not None:
                yield f"{prefix}.{name}" if prefix else name, buffer, type(part).__module__.startswith("quickstudy.")


def load_unlisted(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load these values and dtypes into buffers outside the state dict.

    Raises:
        RuntimeError: names or shapes do not fit.
    """
    found = {name: buffer for name, buffer, _ in unlisted_buffers(module)}
    wrong = [name for name, tensor in tensors.items() if name not in found or found[name].shape != tensor.shape]
    if wrong:
        raise RuntimeError(f"Buffers that are not there, or of another shape: {wrong}")
    for name, tensor in tensors.items():
        _conform(found[name], tensor.dtype, None)
        found[name].copy_(tensor)


def _conform(tensor: Tensor, dtype: torch.dtype, strides: Sequence[int] | None) -> None:
    """Change the dtype and strides of a parameter or buffer in place; None keeps its strides."""
    if tensor.dtype != dtype:
        tensor.data = tensor.data.to(dtype)
    if strides is not None and tensor.stride() != tuple(strides):
        tensor.data = laid_out(tensor.data, strides)
