"""search_cell: a search space small enough to train every architecture in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.models.mixed import Mixed


class Zero(nn.Module):
    """No edge: x -> 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the shape of x."""
        return torch.zeros_like(x)


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: Zero(),
    "skip": lambda width: nn.Identity(),
    "relu": lambda width: nn.Sequential(nn.Linear(width, width), nn.ReLU()),
    "tanh": lambda width: nn.Sequential(nn.Linear(width, width), nn.Tanh()),
}
CONVOLUTIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: Zero(),
    "skip": lambda width: nn.Identity(),
    "3x3": lambda width: nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(1, width), nn.ReLU()),
    "1x1": lambda width: nn.Sequential(nn.Conv2d(width, width, 1), nn.GroupNorm(1, width), nn.ReLU()),
    "pool": lambda width: nn.AvgPool2d(3, stride=1, padding=1),
}


@checked
class SearchCell(nn.Module):
    """A directed acyclic graph of operations.

        h_0 = x,      h_j = sum_{i < j} o_{ij}(h_i),      j = 1, ..., nodes                                        (1)

    with each o_ij chosen from the same n operations, and h_nodes the output: n^(nodes (nodes + 1) / 2) architectures.

    Args:
        width: features, or channels, of every node.
        nodes: number of nodes after the input.
        operations: by name, functions that make an operation of a width.

    Source: Liu et al., "DARTS", 2019, eq. 1.

    Examples:
        >>> cell = qs.models.SearchCell(width=8, nodes=2)
        >>> cell(torch.randn(5, 8)).shape
        torch.Size([5, 8])
        >>> list(cell.edges)
        ['01', '02', '12']
    """

    def __init__(
        self, width: PositiveInt, nodes: PositiveInt = 2, operations: Mapping[str, Callable[[int], nn.Module]] = OPERATIONS
    ):
        super().__init__()
        self.nodes = nodes
        self.edges = nn.ModuleDict(
            {f"{i}{j}": Mixed([made(width) for made in operations.values()]) for j in range(1, nodes + 1) for i in range(j)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """(1)"""
        h = [x]
        for j in range(1, self.nodes + 1):
            h.append(torch.stack([self.edges[f"{i}{j}"](h[i]) for i in range(j)]).sum(0))
        return h[-1]


@checked
def search_cell(features: PositiveInt, ways: int, width: PositiveInt = 16, nodes: PositiveInt = 2) -> nn.Sequential:
    """A classifier of vectors with a cell in the middle: 64 architectures with two nodes."""
    return nn.Sequential(nn.Linear(features, width), SearchCell(width, nodes), nn.ReLU(), nn.Linear(width, ways))


@checked
def search_conv(
    ways: PositiveInt, in_channels: PositiveInt = 1, width: PositiveInt = 16, nodes: PositiveInt = 2, size: PositiveInt = 28
) -> nn.Sequential:
    """A classifier of images: stem, a cell of convolutions, a cell at half the size, a linear head."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
        nn.GroupNorm(1, width),
        nn.ReLU(),
        SearchCell(width, nodes, CONVOLUTIONS),
        nn.MaxPool2d(2),
        SearchCell(width, nodes, CONVOLUTIONS),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * ((size // 2 + size % 2) // 4) ** 2, ways),
    )
