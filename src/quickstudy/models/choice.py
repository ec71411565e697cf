"""Choice: a discrete decision with a distribution, as a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.random import Seed, stateless_uniform

Use = Literal["mixed", "sampled", "gumbel", "best"]
USES = ("mixed", "sampled", "gumbel", "best")


@checked
class Choice(nn.Module):
    """One of n, by learned logits. `choice()` gives weights (n,) over the options, which sum to 1.

        mixed     softmax(logits / temperature)                          differentiable: DARTS
        sampled   one-hot(k),  k ~ softmax(logits)                       its gradient by `ScoreFunction`
        gumbel    one-hot(argmax(logits + G)), whose derivative is that of softmax((logits + G) / temperature)
        best      one-hot(argmax logits)

    In meta-training each episode draws one sample and shares it among all calls; everywhere else "sampled" and "gumbel" mean
    "best".

    Args:
        n: number of options.
        use: one of the four above.
        temperature: temperature of the softmax.

    Raises:
        ArgumentError: `n` below 1; an unknown `use`; a temperature that is not above 0.

    Source: Liu et al., "DARTS", 2019, eq. 2; Williams, "REINFORCE", 1992; Jang et al., "Categorical Reparameterization with
    Gumbel-Softmax", ICLR 2017, eq. 1-2 (straight-through).

    Examples:
        >>> qs.models.Choice(4)().tolist()
        [0.25, 0.25, 0.25, 0.25]
        >>> qs.models.Choice(3, use="sampled")().tolist()
        [1.0, 0.0, 0.0]
    """

    is_copy = False  # a part of a private copy, made for one call

    def __init__(self, n: int, use: Use = "mixed", temperature: float = 1.0):
        super().__init__()
        if n < 1:
            raise ArgumentError("n", expected="1 option or more", got=str(n), do="An empty space has nothing to search.")
        if use not in USES:
            raise ArgumentError("use", expected=f"one of {list(USES)}", got=repr(use), do="'mixed' is differentiable.")
        if not temperature > 0:
            raise ArgumentError("temperature", expected="a number above 0", got=str(temperature), do="1 is the softmax itself.")
        self.n, self.use, self.temperature = n, use, temperature
        self.logits = nn.Parameter(torch.zeros(n))
        self.weights: Tensor | None = None  # set while an episode of meta-training uses its draw
        self.log_probability: Tensor | None = None  # of that draw

    def forward(self) -> Tensor:
        """Weights over the options (n,)."""
        if self.use == "mixed":
            return torch.softmax(self.logits / self.temperature, -1)
        return self._one_hot(self.logits.argmax(-1)) if self.weights is None else self.weights

    def draw(self, seed: Seed, stream: int) -> None:
        """Draw a sample by the Gumbel-max trick, G = -ln(-ln u)."""
        u = stateless_uniform(seed, (self.n,), stream=stream, dtype=self.logits.dtype, device=self.logits.device)
        noisy = self.logits - torch.log(-torch.log(u))
        drawn = self._one_hot(noisy.argmax(-1))
        if self.use == "gumbel":
            soft = torch.softmax(noisy / self.temperature, -1)
            self.weights = drawn + (soft - soft.detach())
        else:
            self.weights = drawn
            self.log_probability = (F.log_softmax(self.logits, -1) * drawn).sum()

    def clear(self) -> None:
        """Forget the draw."""
        self.weights = self.log_probability = None

    @property
    def best(self) -> int:
        """The option with the largest logit."""
        return int(self.logits.argmax())

    def _one_hot(self, index: Tensor) -> Tensor:
        return (torch.arange(self.n, device=index.device) == index).to(self.logits.dtype)

    def extra_repr(self) -> str:
        return f"{self.n}, use={self.use!r}"


def choices(module: nn.Module) -> list[Choice]:
    """The "sampled" and "gumbel" choices of a module, in order."""
    return [part for part in module.modules() if isinstance(part, Choice) and part.use in ("sampled", "gumbel")]


@contextmanager
def drawn(module: nn.Module, seed: Seed | None) -> Iterator[list[Choice]]:
    """Draw every choice of the module from the seed inside this block.

    A private copy keeps its draws, for a backward pass that recomputes; compiled code has one copy for all tasks.
    """
    found = choices(module) if seed is not None else []
    for stream, choice in enumerate(found):
        choice.draw(seed, 7001 + stream)  # type: ignore[arg-type]
    try:
        yield found
    finally:
        for choice in found:
            if torch.compiler.is_compiling() or not choice.is_copy:
                choice.clear()
