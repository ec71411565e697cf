"""Read: picks one tensor from the output of a network that returns a tuple, a mapping or an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain, tensor_of


@checked
class Read(nn.Module):
    """Picks one part of a network's output: `Read(transformer, output="logits")`, `Read(two_headed, output=0)`.

    Args:
        network: any nn.Module.
        output: the key of a mapping, the name of an object's attribute, or the index in a tuple.

    Raises:
        UnsupportedError: the network is compiled or wrapped; at the call, the part is not a tensor.
        ArgumentError: at the call, the output has no such part.

    Examples:
        >>> gru = torch.nn.GRU(4, 8, batch_first=True)
        >>> qs.models.Read(gru, output=0)(torch.randn(2, 5, 4)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, network: nn.Module, output: str | int):
        super().__init__()
        self.network, self.output = plain("network", network), output

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The chosen part of the network's output."""
        whole = self.network(*args, **kwargs)
        try:
            part = whole[self.output] if isinstance(self.output, int) else _named(whole, self.output)
        except (KeyError, IndexError, AttributeError, TypeError):
            raise ArgumentError(
                "output",
                expected=f"a part of the output of {type(self.network).__name__}, a {type(whole).__name__}",
                got=repr(self.output),
                do="Name a key or attribute that it has, or give the place in a tuple.",
            ) from None
        return tensor_of(part, self.network)


def _named(whole: Any, name: str) -> Any:
    return whole[name] if isinstance(whole, Mapping) else getattr(whole, name)
