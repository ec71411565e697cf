"""A learned image augmentation: which operation, how strong, how often."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quickstudy.arguments import Probability, checked
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.learners.bilevel.parts import logit
from quickstudy.random import Seed, stateless_normal, stateless_seed, stateless_uniform

# The magnitude of each operation at strength 1.
RANGES = {
    "translate_x": 0.5,  # of the width
    "translate_y": 0.5,  # of the height
    "rotate": math.pi / 2,
    "scale": 0.7,  # ln of the factor
    "shear": 0.7,
    "brightness": 0.5,
    "contrast": 1.0,  # ln of the factor
    "noise": 0.5,  # standard deviation
}
OPERATIONS = tuple(RANGES)


@checked
class AugmentationPolicy(nn.Module):
    """Apply to each image, in each of `stages`, an operation drawn from a learned distribution.

        w_i   =  softmax( (log-probabilities phi_w + G_i) / T )                  which: a relaxed one-hot        (1)
        b_ik  =  sigmoid( (logit p_k + L_ik) / T )                               how often: a relaxed 0 or 1     (2)
        m_ik  =  w_ik b_ik s_k R_k e_ik,     s_k = sigmoid(phi_s)                how strong                      (3)
        x~_i  =  noise(contrast(brightness(warp(x_i)))) of magnitudes m_i                                        (4)

    G is Gumbel, L logistic, e uniform in (-1, 1), all derived from the seed. As T -> 0 it applies one operation with probability
    p_k; (4) blends magnitudes and not pixels, so the image is plausible at every T. Everything is differentiable to any order.
    With `hard`, w and b are exactly 0 or 1 and take the derivative of the relaxed ones (straight through).

    Args:
        operations: any of translate_x, translate_y, rotate, scale, shear, brightness, contrast, noise.
        stages: number of operations in sequence.
        probability, strength: initial p and s, between 0 and 1.
        temperature: T.
        hard: whether w and b are exactly 0 or 1, straight through.

    Raises:
        ArgumentError: no operation, or one that does not exist; stages below 1; p, s or T out of range.
        ShapeError: x is not of shape (examples, channels, height, width).

    Source: Hataya et al., "Faster AutoAugment", ECCV 2020, eq. 2-6 (a stage: choice by softmax, probability by a relaxed
    Bernoulli, magnitude by gradient); Li et al., "DADA", ECCV 2020 (Gumbel-softmax). Here on the meta-validation loss.

    Examples:
        >>> from quickstudy.learners.bilevel import AugmentationPolicy
        >>> policy = AugmentationPolicy(["rotate", "brightness"], stages=2)
        >>> x = torch.rand(4, 1, 8, 8)
        >>> torch.equal(policy(x, seed=0), policy(x, seed=0)), torch.equal(policy(x, seed=0), policy(x, seed=1))
        (True, False)
        >>> list(policy.shares()[0])  # the operations of the first stage
        ['rotate', 'brightness']
        >>> student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))
        >>> learner = qs.LearnedTraining(student, augmentation=policy, steps=10)
    """

    def __init__(
        self,
        operations: tuple[str, ...] | list[str] = OPERATIONS,
        *,
        stages: int = 1,
        probability: Probability = 0.5,
        strength: Probability = 0.2,
        temperature: float = 0.3,
        hard: bool = False,
    ):
        super().__init__()
        unknown = [name for name in operations if name not in RANGES]
        if unknown or not operations:
            raise ArgumentError(
                "operations",
                expected=f"some of {list(RANGES)}",
                got=repr(unknown or list(operations)),
                do="Leave it out for all.",
            )
        if stages < 1:
            raise ArgumentError("stages", expected="1 or more", got=str(stages), do="Leave the augmentation out for none.")
        for name, value in (("probability", probability), ("strength", strength)):
            if not 0 < value < 1:
                raise ArgumentError(name, expected="between 0 and 1", got=str(value), do="Try 0.5 and 0.2.")
        if not temperature > 0:
            raise ArgumentError("temperature", expected="a number above 0", got=str(temperature), do="Try 0.3.")
        self.operations, self.stages, self.temperature, self.hard = tuple(operations), stages, temperature, hard
        self.probability, self.strength = probability, strength
        shape = (stages, len(self.operations))
        self.logits = nn.Parameter(torch.zeros(shape))
        self.logit_probability = nn.Parameter(logit(probability).expand(shape).clone())
        self.logit_strength = nn.Parameter(logit(strength).expand(shape).clone())

    def forward(self, x: Tensor, seed: Seed) -> Tensor:
        """Augment images (examples, channels, height, width). The same seed gives the same augmentation."""
        if not isinstance(x, Tensor) or x.ndim != 4:
            got = f"x of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(
                "AugmentationPolicy",
                expected="images (examples, channels, height, width)",
                got=got,
                do="Bring them to that shape, or leave the augmentation out.",
            )
        for stage in range(self.stages):
            stage_seed = stateless_seed(seed, 100 + stage)
            x = apply(x, self.magnitudes(len(x), stage_seed, stage, x), stage_seed)  # (4)
        return x

    def magnitudes(self, n: int, seed: Seed, stage: int, like: Tensor) -> dict[str, Tensor]:
        """(1) to (3): the magnitude of every operation for n images, (n,) each."""
        shape = (n, len(self.operations))
        options = {"dtype": self.logits.dtype, "device": like.device}
        u, v, e = (stateless_uniform(seed, shape, stream=stream, **options) for stream in range(3))  # type: ignore[arg-type]
        noisy = self.logits[stage].log_softmax(-1) - torch.log(-torch.log(u))
        often = self.logit_probability[stage] + torch.logit(v)
        w, b = torch.softmax(noisy / self.temperature, -1), torch.sigmoid(often / self.temperature)  # (1), (2)
        if self.hard:
            best = noisy.argmax(-1)[:, None] == torch.arange(shape[1], device=like.device)
            w, b = best.to(w.dtype) + (w - w.detach()), (often > 0).to(b.dtype) + (b - b.detach())
        R = self.logits.new_tensor([RANGES[name] for name in self.operations])
        m = w * b * self.logit_strength[stage].sigmoid() * R * (2 * e - 1)  # (3)
        return dict(zip(self.operations, m.to(like.dtype).unbind(1), strict=True))

    def shares(self) -> list[dict[str, tuple[float, float, float]]]:
        """For inspection: each stage's operations with their (share, probability, strength)."""
        parts = self.logits.softmax(-1), self.logit_probability.sigmoid(), self.logit_strength.sigmoid()
        rows = torch.stack([part.detach() for part in parts], -1).tolist()
        return [{name: tuple(row) for name, row in zip(self.operations, stage, strict=True)} for stage in rows]


def apply(x: Tensor, m: dict[str, Tensor], seed: Seed) -> Tensor:
    """(4): images (n, channels, height, width) under magnitudes (n,) each; a missing magnitude is 0."""
    zero = x.new_zeros(len(x))
    of = lambda name: m.get(name, zero)[:, None, None, None]  # noqa: E731
    if any(name in m for name in ("translate_x", "translate_y", "rotate", "scale", "shear")):  # `isdisjoint` does not compile
        x = warp(x, affine({name: m.get(name, zero) for name in ("translate_x", "translate_y", "rotate", "scale", "shear")}))
    if "brightness" in m:
        x = x + of("brightness")
    if "contrast" in m:
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * of("contrast").exp()
    if "noise" in m:
        x = x + of("noise") * stateless_normal(seed, tuple(x.shape), stream=3, dtype=x.dtype, device=x.device)
    return x


def affine(m: dict[str, Tensor]) -> Tensor:
    """Where each image is read: (n, 2, 3) from output to input coordinates, both in [-1, 1] across the image.

    A = e^-scale R(-rotate) [[1, -shear], [0, 1]], and a shift that moves the origin by `translate`.
    """
    cos, sin, shrink = m["rotate"].cos(), m["rotate"].sin(), (-m["scale"]).exp()
    A = torch.stack([torch.stack([cos, sin - m["shear"] * cos], -1), torch.stack([-sin, cos + m["shear"] * sin], -1)], -2)
    A = A * shrink[:, None, None]
    shift = 2 * torch.stack([m["translate_x"], m["translate_y"]], -1)
    return torch.cat([A, -(A @ shift[..., None])], -1)


def warp(x: Tensor, A: Tensor) -> Tensor:
    """Each image sampled at A (u, v, 1), bilinearly, 0 outside: (n, channels, height, width).

    Written in plain operations, which have every derivative: torch's grid_sample lacks the forward one that `ForwardMode` needs.
    """
    n, channels, height, width = x.shape
    axis = lambda size: (2 * torch.arange(size, device=x.device, dtype=x.dtype) + 1) / size - 1  # noqa: E731
    v, u = torch.meshgrid(axis(height), axis(width), indexing="ij")
    points = torch.stack([u, v, torch.ones_like(u)]).reshape(3, -1)
    at = A @ points  # (n, 2, height * width)
    column, row = ((at[:, 0] + 1) * width - 1) / 2, ((at[:, 1] + 1) * height - 1) / 2
    left, top = column.detach().floor(), row.detach().floor()
    flat, total = x.reshape(n, channels, height * width), torch.zeros_like(x).reshape(n, channels, -1)
    for dy in (0, 1):
        for dx in (0, 1):
            i, j = top + dy, left + dx
            share = (1 - (row - i).abs()) * (1 - (column - j).abs())
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            index = i.clamp(0, height - 1).long() * width + j.clamp(0, width - 1).long()
            pixel = flat.gather(2, index[:, None].expand(n, channels, height * width))
            total = total + pixel * (share * inside.to(x.dtype))[:, None]
    return total.reshape(x.shape)
