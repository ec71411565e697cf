"""Rules: what a network's norms and dropouts do in one forward pass.

A norm must be told where its statistics come from, a dropout which mask it draws. Both are policies of the learner, so they
are decided here and not by `train()`/`eval()`. `Rules` is a `TorchFunctionMode`: it sees the calls of `F.batch_norm`,
`F.dropout` and their kin made by any module, subclass or plain function, and answers them itself. The user's module is
never patched, swapped or written to.

Three facts of torch 2.13 shape this file (tests/exact/test_torch_faults.py shows them):
* under vmap the double backward of a fused norm with affine weights is silently wrong, so weight and bias are applied outside;
* on a CPU the fused batch norm of channels-last images sums float32 naively: on images of constant ground its gradient was off
  by 1 %, and training suffered, so `channels_last.py` sums them with care;
* dropout's global random state is not the same in a loop, in threads and under vmap, so a mask here is a counted hash of
  (episode seed, inner step, call, element): every executor draws the same one, and a recomputed step draws it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from quickstudy import channels_last
from quickstudy.errors import ArgumentError, UnsupportedError

Normalisation = Literal["support", "running", "transductive", "frozen"]
NORMALISATIONS: tuple[Normalisation, ...] = ("support", "running", "transductive", "frozen")

Source = Literal["batch", "record", "replay", "running"]


class Statistics(NamedTuple):
    """Mean and biased variance of one batch-norm call, each (channels,), over `values` values a channel."""

    mean: Tensor
    variance: Tensor
    values: int


class Rules(TorchFunctionMode):
    """How norms and dropouts behave while this mode is entered; made anew for each forward pass.

    Args:
        source: where batch norm takes its statistics: "batch" (this input), "record" (this input, and keep them in `kept`),
            "replay" (those of `kept`, call by call), "running" (the module's own running averages).
        kept: the statistics to replay.
        seed: episode seed, an int64 scalar tensor; dropout is on where it is given. None: dropout is off.
        step: inner step, which dropout's mask depends on too.
        episode: these rules span a whole episode (training), not one forward pass.
    """

    def __init__(
        self,
        source: Source,
        *,
        kept: Sequence[Any] = (),
        seed: Tensor | None = None,
        step: int | Tensor = 0,
        episode: bool = False,
    ):
        super().__init__()
        self.norm, self.kept, self.episode = source, [Statistics(*one) for one in kept], episode
        self.seed, self.step = seed, step
        self.targets: list[Tensor | None] = []  # the running mean that each recorded call would have updated
        self.norms = self.dropouts = 0  # calls so far

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = ANSWERS.get(function)
        return function(*args, **(kwargs or {})) if answer is None else answer(self, *args, **(kwargs or {}))


def active() -> Rules | None:
    """The innermost Rules that are entered now, if any."""
    for mode in reversed(_get_current_function_mode_stack()):
        if isinstance(mode, Rules):
            return mode
    return None


def check_normalisation(normalisation: str) -> Normalisation:
    """The policy itself, or ArgumentError."""
    if normalisation not in NORMALISATIONS:
        raise ArgumentError(
            "normalisation",
            expected="one of " + ", ".join(repr(name) for name in NORMALISATIONS),
            got=repr(normalisation),
            do="'support' is the non-transductive default; 'transductive' is what the MAML paper's code does.",
        )
    return normalisation


# ---- norms -----------------------------------------------------------------------------------------------------------


def _batch_norm(
    rules: Rules,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if rules.norm in ("running", "replay"):
        if rules.norm == "running":
            mean, variance = _running(running_mean, running_var)
        else:
            mean, variance, _ = rules.kept[rules.norms]
            rules.norms += 1
        return _whiten(input, mean, variance, eps, weight, bias)
    if rules.norm == "record":
        # Of an episode's running averages only the values are used; statistics that are replayed are differentiated.
        rules.kept.append(_statistics(input.detach() if rules.episode else input))
        rules.targets.append(running_mean)
    if vmapped():
        y = torch.batch_norm(input, None, None, None, None, True, 0.0, eps, False)
        return _affine(y, weight, bias, _per_channel(input))
    if channels_last.serves(input):
        return channels_last.batch_norm(input, weight, bias, eps)
    return torch.batch_norm(input, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)


def _instance_norm(
    rules: Rules,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    # An instance's statistics are its own: no query sees another, so every policy but running averages is the same.
    if rules.norm == "running" and running_mean is not None:
        y = _whiten(input, *_running(running_mean, running_var), eps)
    else:
        y = torch.instance_norm(input, None, None, None, None, True, 0.0, eps, False)
    return _affine(y, weight, bias, _per_channel(input))


def _layer_norm(
    rules: Rules,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    shape = tuple(normalized_shape)
    if not vmapped():
        return torch.layer_norm(input, shape, weight, bias, eps)
    return _affine(torch.layer_norm(input, shape, None, None, eps, False), weight, bias, shape)


def _statistics(x: Tensor) -> Statistics:
    axes = (0, *range(2, x.ndim))
    variance, mean = torch.var_mean(x, axes, correction=0)
    return Statistics(mean, variance, x.numel() // x.shape[1])


def _whiten(
    x: Tensor, mean: Tensor, variance: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, as one scale and one shift for each channel."""
    scale = (variance + eps).rsqrt() if weight is None else (variance + eps).rsqrt() * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = _per_channel(x)
    return x * scale.reshape(shape) + shift.reshape(shape)


def vmapped() -> bool:
    """Whether this code runs inside vmap (or inside compile, which traces one)."""
    if torch.compiler.is_compiling():
        return True
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _per_channel(x: Tensor) -> tuple[int, ...]:
    return (1, -1) + (1,) * (x.ndim - 2)


def _running(mean: Tensor | None, variance: Tensor | None) -> tuple[Tensor, Tensor]:
    if mean is None or variance is None:
        raise UnsupportedError(
            "normalisation",
            expected="a network whose norms keep running averages (track_running_stats=True), as 'running' and 'frozen' need",
            got="a batch norm without them",
            do="Use normalisation='support'.",
        )
    return mean, variance


# ---- dropout ---------------------------------------------------------------------------------------------------------


def _dropout(rules: Rules, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    keep = _mask(rules, input, tuple(input.shape), p)
    return input if keep is None else input * keep / (1 - p)


def _feature_dropout(rules: Rules, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    shape = tuple(input.shape[:2]) + (1,) * (input.ndim - 2)
    keep = _mask(rules, input, shape, p)
    return input if keep is None else input * keep / (1 - p)


def _alpha_dropout(rules: Rules, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    keep = _mask(rules, input, tuple(input.shape), p)
    if keep is None:
        return input
    # Klambauer et al., "Self-Normalizing Neural Networks", 2017: dropped units take alpha', then mean and variance are restored.
    alpha = -1.7580993408473766
    scale = ((1 - p) * (1 + p * alpha**2)) ** -0.5
    return scale * (input * keep + alpha * (1 - keep)) - scale * alpha * p


def _attention(
    rules: Rules,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if rules.seed is None or dropout_p == 0:
        return F.scaled_dot_product_attention(query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa)
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        causal = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~causal, -torch.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return _dropout(rules, scores.softmax(-1), dropout_p) @ value


# A mode is off while it answers, so the dropouts and attention inside this composite function would not be seen. A copy of it
# that does not ask for modes first runs with the mode entered again.
_attend = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda tensors: False},
    "multi_head_attention_forward",
    F.multi_head_attention_forward.__defaults__,
)


def _multi_head_attention(rules: Rules, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    with rules:
        return _attend(*args, **kwargs)


def _mask(rules: Rules, like: Tensor, shape: tuple[int, ...], p: float) -> Tensor | None:
    """1 where a unit is kept and 0 where it is dropped; None where dropout is off."""
    if rules.seed is None or p == 0:
        return None
    rules.dropouts += 1
    size = 1
    for length in shape:
        size *= length
    element = torch.arange(size, device=like.device).reshape(shape)
    forward = _mix(
        rules.seed.to(like.device) + 7919 * _mix(torch.as_tensor(rules.step, device=like.device) + 104729 * rules.dropouts)
    )
    uniform = (_mix(_mix(element + 0x9E3779B9) + forward) & 0xFFFFFF).to(like.dtype) / (1 << 24)
    return (uniform >= p).to(like.dtype)


def _mix(h: Tensor) -> Tensor:
    """A 32-bit integer hash (multiply and xor-shift, as in splitmix), in int64."""
    h = h & 0xFFFFFFFF
    for shift, factor in ((16, 0x45D9F3B), (15, 0x2C1B3C6D), (16, 0x297A2D39)):
        h = ((h ^ (h >> shift)) * factor) & 0xFFFFFFFF
    return h ^ (h >> 15)


ANSWERS: dict[Callable, Callable] = {
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.layer_norm: _layer_norm,
    F.dropout: _dropout,
    F.dropout1d: _feature_dropout,
    F.dropout2d: _feature_dropout,
    F.dropout3d: _feature_dropout,
    F.alpha_dropout: _alpha_dropout,
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _multi_head_attention,
}
