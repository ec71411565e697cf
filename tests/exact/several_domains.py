"""Three small domains in float64, and a network that plain autograd runs by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import quickstudy as qs

DOMAINS, CLASSES, EACH, FEATURES, UNITS = 3, 2, 4, 3, 5
Weights = list[Tensor]


def pool(seed: int = 0) -> qs.Examples:
    """EACH examples of every domain, domain by domain; each domain has its own shift."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(DOMAINS, EACH, FEATURES, generator=generator, dtype=torch.float64)
    x = x + torch.randn(DOMAINS, 1, FEATURES, generator=generator, dtype=torch.float64)
    y = torch.arange(EACH).remainder(CLASSES).expand(DOMAINS, EACH)
    return qs.Examples(x.flatten(0, 1), y.flatten(), CLASSES)


def part(examples: qs.Examples, domain: int) -> tuple[Tensor, Tensor]:
    """x and y of one domain, cut out by hand."""
    rows = slice(domain * EACH, (domain + 1) * EACH)
    return examples.x[rows], examples.y[rows]


def embedding(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(FEATURES, UNITS), nn.Tanh()).double()


def head(outputs: int = CLASSES, seed: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(UNITS, outputs).double()


def network() -> nn.Module:
    return nn.Sequential(*embedding(), head())


def leaves(module: nn.Module) -> Weights:
    """Its parameters as fresh leaves, in order."""
    return [one.detach().clone().requires_grad_() for one in module.parameters()]


def embed(w: Weights, x: Tensor) -> Tensor:
    return torch.tanh(x @ w[0].T + w[1])


def linear(w: Weights, z: Tensor) -> Tensor:
    return z @ w[0].T + w[1]


def loss(w: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Of the whole network: two weights of the embedding, two of the head."""
    return F.cross_entropy(linear(w[2:], embed(w[:2], x)), y)


def episode(support: bool = True) -> qs.Episode:
    """Support and query of all domains; without a support none of it."""
    both = pool(0), pool(10)
    return qs.Episode(both[0] if support else both[0].map(lambda leaf: leaf[:0]), both[1])


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Every gradient to 1e-10, by name."""
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-11, msg=lambda said: f"{name}: {said}")  # noqa: B023


def differs(found: dict[str, Tensor], other: dict[str, Tensor], by: float = 1e-3) -> bool:
    """Whether some gradient differs by more than `by` of its size: what a control must show."""
    return any(float((found[name] - other[name]).norm()) > by * float(found[name].norm()) for name in found)
