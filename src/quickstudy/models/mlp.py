"""A multilayer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked


@checked
class MLP(nn.Module):
    """Linear layers with ReLU between them: (examples, *feature) -> (examples, outputs).

    Args:
        inputs: features of an example, flattened.
        outputs: outputs of the head.
        hidden: width of each hidden layer.

    Examples:
        >>> qs.models.MLP(4, 3, hidden=(8,))(torch.randn(5, 2, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(self, inputs: PositiveInt, outputs: PositiveInt, hidden: Sequence[PositiveInt] = (40, 40)):
        super().__init__()
        self.inputs, self.outputs, self.hidden = inputs, outputs, tuple(hidden)
        sizes = [inputs, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, *feature) -> (examples, outputs)."""
        return self.head(self.body(x.flatten(1)))


@checked
def mlp(inputs: PositiveInt = 1, outputs: PositiveInt = 1, hidden: Sequence[PositiveInt] = (40, 40)) -> MLP:
    """A multilayer perceptron; the default is the sinusoid network of the MAML paper, 1-40-40-1."""
    return MLP(inputs, outputs, hidden)
