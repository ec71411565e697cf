"""Chain: one network behind another."""

from __future__ import annotations

from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.forward.call import plain


@checked
class Chain(nn.Module):
    """A network on what another makes of x.

        f(x)  =  then(first(x))

    Unlike `nn.Sequential` it is quickstudy's own: a learner of it is loaded without handing anything in.

    Raises:
        UnsupportedError: a network that is compiled or wrapped.

    Examples:
        >>> from quickstudy.domains.audio.encoders import LogMel, TCResNet
        >>> qs.models.Chain(LogMel(), TCResNet(ways=5))(torch.randn(2, 16000)).shape
        torch.Size([2, 5])
    """

    def __init__(self, first: nn.Module, then: nn.Module):
        super().__init__()
        self.first, self.then = plain("first", first), plain("then", then)

    def forward(self, x: Tensor) -> Tensor:
        """What `then` gives."""
        return self.then(self.first(x))
