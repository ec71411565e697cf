"""Norms under a policy.

Two facts of torch 2.13 shape this file (tests/exact/test_torch_faults.py shows them): under vmap the double backward of a fused
norm with affine weights is silently wrong, so weight and bias are applied outside; on a CPU the fused batch norm of channels-last
images sums float32 naively, so `channels_last.py` sums them accurately.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ShapeError, UnsupportedError
from quickstudy.forward import channels_last
from quickstudy.forward._torch import vmapped

if TYPE_CHECKING:
    from quickstudy.forward.mode import Forward


def batch_norm(
    forward: Forward,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """F.batch_norm with the statistics of `forward.source`; running averages are not updated."""
    name = getattr(eps, "module", None) or getattr(running_mean, "averages_of", None)
    key = forward.key(name)
    if forward.source == "running":
        return whiten(input, *_running(name, running_mean, running_var), eps, weight, bias)
    if forward.source == "replay":
        return whiten(input, *_replayed(forward, key), eps, weight, bias)
    _check_values(name, input, input.numel() // max(input.shape[1], 1), "value a channel")
    if forward.source == "record":
        _record(forward, key, input)
    if vmapped():
        y = torch.batch_norm(input, None, None, None, None, True, 0.0, eps, False)
        return _affine(y, weight, bias, _per_channel(input))
    if channels_last.serves(input):
        return channels_last.batch_norm(input, weight, bias, eps)
    return torch.batch_norm(input, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)


def instance_norm(
    forward: Forward,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """F.instance_norm: each instance has its own statistics, so every source but "running" is the same."""
    name = getattr(eps, "module", None)
    if forward.source == "running" and running_mean is not None:
        y = whiten(input, *_running(name, running_mean, running_var), eps)
    else:
        _check_values(name, input, input.numel() // max(input.shape[0] * input.shape[1], 1), "value a channel of an instance")
        y = torch.instance_norm(input, None, None, None, None, True, 0.0, eps, False)
    return _affine(y, weight, bias, _per_channel(input))


def layer_norm(
    forward: Forward,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """F.layer_norm."""
    shape = tuple(normalized_shape)
    if not vmapped():
        return torch.layer_norm(input, shape, weight, bias, eps)
    return _affine(torch.layer_norm(input, shape, None, None, eps, False), weight, bias, shape)


def whiten(
    x: Tensor, mean: Tensor, variance: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, as one scale and one shift for each channel."""
    scale = (variance + eps).rsqrt() if weight is None else (variance + eps).rsqrt() * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = _per_channel(x)
    return x * scale.reshape(shape) + shift.reshape(shape)


ANSWERS: dict[Any, Callable] = {F.batch_norm: batch_norm, F.instance_norm: instance_norm, F.layer_norm: layer_norm}


def _record(forward: Forward, key: str | None, x: Tensor) -> None:
    from quickstudy.forward.mode import Statistics

    if key is None or key.startswith("None#"):
        raise UnsupportedError(
            "normalisation",
            expected="norms whose statistics have a name to be kept under: modules with an `eps`, or with a `running_mean`",
            got="F.batch_norm called without either",
            do="Pass eps=self.eps, use nn.BatchNorm, or normalisation='transductive'.",
        )
    variance, mean = torch.var_mean(x, (0, *range(2, x.ndim)), correction=0)
    forward.statistics[key] = Statistics(mean, variance)
    forward.values[key] = x.numel() // x.shape[1]


def _replayed(forward: Forward, key: str | None) -> tuple[Tensor, Tensor]:
    found = forward.statistics.get(key) if key is not None else None
    if found is None:
        seen = ", ".join(f"`{one}`" for one in forward.statistics) or "no norm"
        raise UnsupportedError(
            "normalisation",
            expected=f"the norm `{key}`, which answers a query, to have seen the support under the policy 'support'",
            got=f"statistics of {seen}",
            do="Run the same network on the support in `learn`, or use normalisation='running'.",
        )
    return found[0], found[1]


def _check_values(name: str | None, x: Tensor, values: int, of: str) -> None:
    """Raise if a variance is over a single value: it would be 0, and the norm would divide by sqrt(eps)."""
    if values == 1:
        raise ShapeError(
            name or "F.batch_norm",
            expected=f"more than one {of} for a norm that takes statistics of its input",
            got=f"one, in an input of shape {tuple(x.shape)}",
            do="Give more examples, use nn.GroupNorm or nn.LayerNorm, or normalisation='frozen' with running averages.",
        )


def _running(name: str | None, mean: Tensor | None, variance: Tensor | None) -> tuple[Tensor, Tensor]:
    if mean is None or variance is None:
        raise UnsupportedError(
            "normalisation",
            expected="a network whose norms keep running averages (track_running_stats=True), as 'running' and 'frozen' need",
            got="a batch norm without them" + (f", `{name}`" if name else ""),
            do="Use normalisation='support'.",
        )
    return mean, variance


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _per_channel(x: Tensor) -> tuple[int, ...]:
    return (1, -1) + (1,) * (x.ndim - 2)
