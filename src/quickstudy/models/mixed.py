"""Mixed: an edge of a network with several operations to choose from."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.models.choice import Choice, Use


@checked
class Mixed(nn.Module):
    """An edge with several operations to choose from.

        o(x)  =  sum_k a_k o_k(x),      a = choice()                                                             (1)

    Any network may contain several. Inside a `Descent` their logits are meta-parameters like any other; exclude them from the
    inner loop with `adapts` to learn an architecture across tasks together with its initial weights.

    Args:
        options: o_1, ..., o_n, with outputs of one shape.
        use: how to choose, see `Choice`: "mixed", "sampled", "gumbel" or "best".

    Raises:
        ArgumentError: no options.

    Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, eq. 2.

    Examples:
        >>> edge = qs.models.Mixed([torch.nn.Identity(), torch.nn.ReLU()])
        >>> edge(torch.tensor([[-2.0, 2.0]])).tolist()
        [[-1.0, 2.0]]
    """

    def __init__(self, options: Sequence[nn.Module], use: Use = "mixed"):
        super().__init__()
        if not options:
            raise ArgumentError("options", expected="one operation or more", got="none", do="An empty space has no network.")
        self.options = nn.ModuleList(options)
        self.choice = Choice(len(options), use)

    def forward(self, x: Tensor) -> Tensor:
        """The weighted sum of the options' outputs."""
        return sum(a * option(x) for a, option in zip(self.choice(), self.options, strict=True))  # (1)
