"""Replacements for kernels with a wrong or missing second derivative in torch 2.13."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import UnsupportedError
from quickstudy.forward import _torch

if TYPE_CHECKING:
    from quickstudy.forward.mode import Forward


def weight_norm(forward: Forward, v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """v g / ||v||: the double backward of torch's own is silently wrong on a CPU (gradgradcheck fails)."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


def embedding(
    forward: Forward,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """F.embedding without max_norm=, which writes to the weight."""
    if max_norm is not None:
        raise UnsupportedError(
            "network",
            expected="a network whose forward writes to none of its weights",
            got=f"nn.Embedding(max_norm={max_norm})",
            do="Leave max_norm out, or scale the rows in forward.",
        )
    # Sparse gradients have no second derivative, and a meta-gradient is dense.
    return F.embedding(input, weight, padding_idx, None, norm_type, scale_grad_by_freq, False)


ANSWERS: dict[Any, Callable] = {_torch.weight_norm: weight_norm, F.embedding: embedding}
