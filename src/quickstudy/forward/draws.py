"""Random functions of torch, drawn statelessly: numbers are a hash of (seed, step, call, element) only.

torch tags operators that draw with `nondeterministic_seeded`. Those visible from Python but not answered here are refused by name
(`REFUSED`; tests/forward/test_draws.py compares the list with the tag).
"""

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

# ---- dropout ---------------------------------------------------------------------------------------------------------


def dropout(
    forward: Forward, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, features: bool = False
) -> Tensor:
    """Each unit, or each feature map, is 0 with probability p; the others are divided by 1 - p."""
    if not _drops(forward, p, training):
        return input
    return input * forward.keep(input, p, features) * (1 / (1 - p)) if p < 1 else input * 0


def feature_dropout(forward: Forward, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels."""
    return dropout(forward, input, p, training, features=True)


def alpha_dropout(
    forward: Forward, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, features: bool = False
) -> Tensor:
    """Dropped units take alpha', then mean and variance are restored.

    Source: Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017, section 3.
    """
    if not _drops(forward, p, training):
        return input
    alpha = -1.7580993408473766
    if p == 1:
        return input * 0
    keep = forward.keep(input, p, features)
    scale = ((1 - p) * (1 + p * alpha**2)) ** -0.5
    return scale * (input * keep + alpha * ~keep) - scale * alpha * p


def feature_alpha_dropout(
    forward: Forward, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Alpha dropout of whole channels."""
    return alpha_dropout(forward, input, p, training, features=True)


def rrelu(
    forward: Forward, input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """The slope below 0 is drawn in training; otherwise it is the mean."""
    if _drops(forward, 1.0, training):
        slope: Any = lower + (upper - lower) * forward.uniform(input.shape, input.dtype, input.device)
    else:
        slope = (lower + upper) / 2
    return torch.where(input >= 0, input, input * slope)


def _drops(forward: Forward, p: float, training: bool) -> bool:
    # Compiled code runs one copy of the network in training and after it, so the context decides.
    return training and p > 0 and (forward.context.training or not torch.compiler.is_compiling())


# ---- attention and recurrent networks: their dropout is drawn in native code -----------------------------------------


def attention(
    forward: Forward,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k' / sqrt d) v, in plain operations if there is dropout."""
    if not _drops(forward, dropout_p, True):
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
    return dropout(forward, scores.softmax(-1), dropout_p) @ value


def recurrent(function: Callable) -> Callable:
    """An LSTM, GRU or RNN with dropout: a layer at a time, with our dropout in between."""

    def layers(forward: Forward, x: Tensor, *args: Any) -> Any:
        packed = isinstance(args[0], Tensor) and args[0].dtype == torch.int64  # (x, batch_sizes, hx, weights, ...)
        sizes, (hx, weights, bias, n, p, training, both, *rest) = args[:packed], args[packed:]
        if not training or p == 0 or n == 1:
            return function(x, *sizes, hx, weights, bias, n, 0.0, training, both, *rest)
        per, ways = len(weights) // n, 1 + both
        finals: list[list[Tensor]] = []
        for i in range(n):
            layer = slice(i * ways, (i + 1) * ways)
            h = hx[layer] if isinstance(hx, Tensor) else tuple(one[layer] for one in hx)
            x, *final = function(x, *sizes, h, weights[i * per : (i + 1) * per], bias, 1, 0.0, training, both, *rest)
            finals.append(final)
            x = dropout(forward, x, p) if i < n - 1 else x
        return (x, *(torch.cat(each) for each in zip(*finals, strict=True)))

    return layers


def composite(function: Any) -> Callable:
    """A function of torch that calls random ones itself, run with the mode entered."""
    inner = _torch.entered(function)

    def run(forward: Forward, *args: Any, **kwargs: Any) -> Any:
        with forward:
            return inner(*args, **kwargs)

    return run


# ---- draws themselves ------------------------------------------------------------------------------------------------


def factory(draw: Callable) -> Callable:
    """torch.rand(2, 3) and its kin."""

    def made(
        forward: Forward,
        *args: Any,
        size: Any = None,
        dtype: torch.dtype | None = None,
        device: Any = None,
        requires_grad: bool = False,
        **_: Any,
    ) -> Tensor:
        if size is None:
            size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        new = draw(forward, size, dtype, device)
        return new.requires_grad_() if requires_grad else new

    return made


def like(draw: Callable) -> Callable:
    """torch.rand_like(x) and its kin."""

    def made(forward: Forward, x: Tensor, *, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Tensor:
        return draw(forward, x.shape, dtype or x.dtype, device or x.device)

    return made


def filled(draw: Callable) -> Callable:
    """x.normal_() and its kin."""

    def fill(forward: Forward, x: Tensor, *args: Any, generator: Any = None, **kwargs: Any) -> Tensor:
        with torch.no_grad():
            x.copy_(draw(forward, x, *args, **kwargs))
        return x

    return fill


def fresh(function: Callable) -> Callable:
    """torch.empty and its kin: under vmap one for each task, so that it can be filled with the task's own numbers."""

    def made(forward: Forward, *args: Any, **kwargs: Any) -> Tensor:
        new, seed = function(*args, **kwargs), forward.context.seed
        if isinstance(seed, Tensor) and _torch.vmapped() and new.is_floating_point():
            return new + torch.zeros_like(seed, dtype=new.dtype)
        return new

    return made


def randint(
    forward: Forward,
    *args: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    dtype: torch.dtype | None = None,
    device: Any = None,
    **_: Any,
) -> Tensor:
    """Integers from low to high - 1."""
    *bounds, size = args if size is None else (*args, size)
    if bounds:
        low, high = (low, bounds[0]) if len(bounds) == 1 else bounds
    assert high is not None
    return (low + forward.bits(size, device) % (high - low)).to(dtype or torch.int64)


def randint_like(forward: Forward, x: Tensor, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
    """Integers of the shape and dtype of x."""
    return randint(forward, *args, size=x.shape, dtype=dtype or x.dtype, device=x.device, **kwargs)


def randperm(forward: Forward, n: int, *, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Tensor:
    """A permutation of 0..n-1."""
    return forward.bits((n,), device).argsort().to(dtype or torch.int64)


def normal(
    forward: Forward,
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    dtype: torch.dtype | None = None,
    device: Any = None,
    **_: Any,
) -> Tensor:
    """N(mean, std^2)."""
    tensors = [one for one in (mean, std) if isinstance(one, Tensor)]
    if size is None:
        size = torch.broadcast_shapes(*(one.shape for one in tensors))
    if tensors:
        dtype, device = dtype or tensors[0].dtype, device or tensors[0].device
    return mean + std * forward.normal(size, dtype, device)


def bernoulli(forward: Forward, input: Tensor, p: Any = None, *, generator: Any = None, **_: Any) -> Tensor:
    """1 with the probability that the tensor holds, or p."""
    return (forward.uniform(input.shape, torch.float32, input.device) < (input if p is None else p)).to(input.dtype)


def multinomial(
    forward: Forward, input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None, **_: Any
) -> Tensor:
    """Gumbel's trick; without replacement the `num_samples` largest of one draw."""
    shape = (*input.shape[:-1], num_samples if replacement else 1, input.shape[-1])
    u = forward.uniform(shape, torch.float32, input.device)
    scores = input.log().unsqueeze(-2) - torch.log(-torch.log(u))
    return scores.argmax(-1) if replacement else scores.squeeze(-2).topk(num_samples, -1).indices


def _normal_(forward: Forward, x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return mean + std * forward.normal(x.shape, x.dtype, x.device)


def _uniform_(forward: Forward, x: Tensor, a: float = 0.0, b: float = 1.0, **to: float) -> Tensor:
    low, high = to.get("from", a), to.get("to", b)
    return low + (high - low) * forward.uniform(x.shape, x.dtype, x.device)


def _exponential_(forward: Forward, x: Tensor, lambd: float = 1.0) -> Tensor:
    return -torch.log(forward.uniform(x.shape, x.dtype, x.device)) / lambd


def _bernoulli_(forward: Forward, x: Tensor, p: Any = 0.5) -> Tensor:
    return bernoulli(forward, x, p)


def _uniform(forward: Forward, *args: Any) -> Tensor:
    return forward.uniform(*args)


def _normal(forward: Forward, *args: Any) -> Tensor:
    return forward.normal(*args)


ANSWERS: dict[Any, Callable] = {
    F.dropout: dropout,
    torch.dropout: dropout,
    **dict.fromkeys((F.dropout1d, F.dropout2d, F.dropout3d, torch.feature_dropout), feature_dropout),
    **dict.fromkeys((F.alpha_dropout, torch.alpha_dropout), alpha_dropout),
    **dict.fromkeys((F.feature_alpha_dropout, torch.feature_alpha_dropout), feature_alpha_dropout),
    **dict.fromkeys((F.rrelu, torch.rrelu), rrelu),
    F.scaled_dot_product_attention: attention,
    **{function: recurrent(function) for function in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)},
    **{
        function: composite(function)
        for function in (
            F.multi_head_attention_forward,
            F.gumbel_softmax,
            F.fractional_max_pool2d_with_indices,
            F.fractional_max_pool3d_with_indices,
        )
    },
    F.fractional_max_pool2d: composite(F._fractional_max_pool2d),  # type: ignore[attr-defined]
    F.fractional_max_pool3d: composite(F._fractional_max_pool3d),  # type: ignore[attr-defined]
    **{function: fresh(function) for function in (torch.empty, torch.zeros, torch.ones, torch.full)},
    torch.rand: factory(_uniform),
    torch.randn: factory(_normal),
    torch.rand_like: like(_uniform),
    torch.randn_like: like(_normal),
    torch.randint: randint,
    torch.randint_like: randint_like,
    torch.randperm: randperm,
    torch.normal: normal,
    **dict.fromkeys((torch.bernoulli, Tensor.bernoulli), bernoulli),
    **dict.fromkeys((torch.multinomial, Tensor.multinomial), multinomial),
    Tensor.bernoulli_: filled(_bernoulli_),
    Tensor.normal_: filled(_normal_),
    Tensor.uniform_: filled(_uniform_),
    Tensor.exponential_: filled(_exponential_),
}


# ---- refused ---------------------------------------------------------------------------------------------------------

REFUSED: tuple[str, ...] = (
    "_cudnn_init_dropout_state",
    "_cudnn_rnn",
    "_fill_mem_eff_dropout_mask_",
    "_flash_attention_forward_no_dropout_inplace",
    "_fused_dropout",
    "_lstm_mps",
    "_sample_dirichlet",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_standard_gamma",
    "_triton_scaled_dot_attention",
    "alpha_dropout_",
    "binomial",
    "cauchy_",
    "dropout_",
    "feature_alpha_dropout_",
    "feature_dropout_",
    "geometric_",
    "log_normal_",
    "miopen_rnn",
    "native_dropout",
    "poisson",
    "random_",
    "rrelu_",
)


def _refused(name: str) -> Callable:
    def answer(forward: Forward, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(
            "network",
            expected="random numbers that can be drawn from the seed of the episode, such as torch.rand, randn or dropout",
            got=f"`{name}`, which draws from the global generator in native code",
            do="Draw it from torch.rand or torch.randn, or with a generator outside of the network.",
        )

    return answer


for _name in REFUSED:
    for _place in (torch, Tensor, F):
        if callable(getattr(_place, _name, None)):
            ANSWERS.setdefault(getattr(_place, _name), _refused(_name))
