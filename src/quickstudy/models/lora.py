"""LoRA: a low-rank change of each weight matrix, as the part of a network that adapts.

    W'  =  W + (scale / r) B A,          W (out, in),  B (out, r),  A (r, in)                                    (1)

B starts at 0, so the wrapped network starts as the network itself. `Descent(LoRA(network), adapts="lora_*")` descends on A and B
alone, from a learned start; W is part of phi, but frozen in the inner loop. Any adapter of your own works the same way, by the
names of its parameters (adapts="adapter.*").

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain, with_tensors


@checked
class LoRA(nn.Module):
    """A network with (1) at each weight that matches `targets`. A starts at random, as torch draws a linear layer's weight.

    Args:
        network: any nn.Module, unmodified.
        rank: r.
        targets: one or more globs over the names of the network's parameters. Parameters with fewer than two axes are skipped;
            a convolution's kernel (out, in, height, width) counts as (out, in * height * width).
        scale: factor of the change.

    Raises:
        ArgumentError: `targets` matches no such parameter; `rank` is below 1.

    Examples:
        >>> network = qs.models.mlp(4, 3)
        >>> adapted = qs.models.LoRA(network, rank=2, targets="head.*")
        >>> x = torch.randn(5, 4)
        >>> torch.equal(adapted(x), network(x))
        True
        >>> [tuple(tensor.shape) for tensor in qs.Descent(adapted, adapts="lora_*").initial().values()]
        [(2, 40), (3, 2)]
    """

    def __init__(self, network: nn.Module, rank: int = 4, *, targets: str | Sequence[str] = "*", scale: float = 1.0):
        super().__init__()
        self.network, self.rank, self.targets, self.scale = plain("network", network), rank, targets, scale
        if rank < 1:
            raise ArgumentError("rank", expected="1 or more", got=str(rank), do="4 is common.")
        patterns = [targets] if isinstance(targets, str) else list(targets)
        matrices = {name: p for name, p in network.named_parameters() if p.ndim > 1}
        self.names = tuple(name for name in matrices if any(fnmatchcase(name, pattern) for pattern in patterns))
        if not self.names:
            raise ArgumentError(
                "targets", expected=f"a pattern that matches one of {list(matrices)}", got=repr(targets), do="'*' is all of them."
            )
        weights = [matrices[name].detach().flatten(1) for name in self.names]
        self.lora_a = nn.ParameterList(nn.Parameter(W.new_empty(rank, W.shape[1])) for W in weights)
        self.lora_b = nn.ParameterList(nn.Parameter(W.new_zeros(W.shape[0], rank)) for W in weights)
        for A in self.lora_a:
            nn.init.kaiming_uniform_(A, a=math.sqrt(5))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's answer with W' for W."""
        return with_tensors(self.network, self.changed(), lambda network: network(*args, **kwargs))

    def changed(self) -> dict[str, Tensor]:
        """W', by the names of the network's parameters."""
        W = dict(self.network.named_parameters())
        changes = zip(self.names, self.lora_a, self.lora_b, strict=True)
        return {name: W[name] + (self.scale / self.rank) * torch.reshape(B @ A, W[name].shape) for name, A, B in changes}  # (1)
