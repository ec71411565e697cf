"""The quadratic task, whose every derivative is known, and finite differences for what is not.

A linear network t (d weights, no bias) on support rows X with targets X c, and query rows Z with targets Z d, under the loss
1/2 sum of squares:

    support loss  1/2 ||X t - X c||^2 = 1/2 (t - c)' A (t - c),  A = X'X          query loss  1/2 (t - d)' B (t - d),  B = Z'Z

so a step of size a is  t - c  ->  (I - aA)(t - c),  and after k of them  t_k = c + M(phi - c)  with  M = (I - aA)^k.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import quickstudy as qs

SIZE = 4


def half_squares(prediction: Tensor, y: Tensor) -> Tensor:
    """1/2 sum of squares."""
    return ((prediction - y) ** 2).sum() / 2


class Quadratic:
    """One quadratic task and a start phi; A has the eigenvalues 0.5 to 2."""

    def __init__(self, seed: int = 0, size: int = SIZE):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
        Q, P = torch.linalg.qr(draw(size, size))[0], torch.linalg.qr(draw(size + 2, size))[0]
        X = P @ torch.diag(torch.linspace(0.5, 2.0, size, dtype=torch.float64).sqrt()) @ Q.T
        Z = draw(size + 1, size)
        self.c, self.d = draw(size), draw(size)
        self.A, self.B, self.I = X.T @ X, Z.T @ Z, torch.eye(size, dtype=torch.float64)
        support = qs.Examples(X, (X @ self.c)[:, None])
        query = qs.Examples(Z, (Z @ self.d)[:, None])
        self.episode = qs.Episode(support, query)

    def M(self, a: float, k: int) -> Tensor:
        """(I - aA)^k"""
        return torch.linalg.matrix_power(self.I - a * self.A, k)

    def theta(self, phi: Tensor, a: float, k: int) -> Tensor:
        """t_k = c + M(phi - c)"""
        return self.c + self.M(a, k) @ (phi - self.c)

    def query_loss(self, t: Tensor) -> Tensor:
        """1/2 (t - d)' B (t - d)"""
        return (t - self.d) @ self.B @ (t - self.d) / 2

    def query_gradient(self, t: Tensor) -> Tensor:
        """B(t - d)"""
        return self.B @ (t - self.d)


def line(seed: int = 7, size: int = SIZE) -> nn.Linear:
    """The linear network; its weights are phi."""
    network = nn.Linear(size, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.randn(1, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return network


def start(network: nn.Linear) -> Tensor:
    """phi as a vector."""
    return network.weight.detach()[0].clone()


def far(a: Tensor, b: Tensor, margin: float = 0.1) -> bool:
    """Whether a and b differ by more than `margin` of a's length: what a control must show."""
    return float((a - b).norm()) > margin * float(a.norm())


def finite_differences(learner: qs.Learner, episodes: list, step: float = 1e-5, **options) -> dict[str, tuple[float, float]]:
    """By parameter name: the slope of the mean loss along a random direction, by the meta-gradient and by central differences."""
    _, gradient = qs.meta_gradient(learner, episodes, **options)
    generator = torch.Generator().manual_seed(3)
    slopes = {}
    for name, parameter in learner.named_parameters():
        if not parameter.requires_grad:
            continue
        direction = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        here, losses = parameter.detach().clone(), []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.copy_(here + sign * step * direction)
            losses.append(float(qs.meta_gradient(learner, episodes, **options)[0]))
        with torch.no_grad():
            parameter.copy_(here)
        slopes[name] = float((gradient[name] * direction).sum()), (losses[0] - losses[1]) / (2 * step)
    return slopes


def assert_slopes_agree(slopes: dict[str, tuple[float, float]], tolerance: float = 1e-6) -> None:
    """Every parameter's slope agrees with its finite difference, and none of them is 0 (which would agree by accident)."""
    for name, (ours, differences) in slopes.items():
        assert abs(ours - differences) <= tolerance * max(1.0, abs(differences)), f"{name}: {ours} against {differences}"
        assert abs(differences) > 1e-4, f"{name} does not matter here, so this shows nothing"


def forward_slopes(function, module: nn.Module, step: float = 1e-5) -> tuple[float, float]:
    """The slope of function() -> scalar along a random direction of the module's parameters, by autograd and by differences."""
    flat = parameters_to_vector(module.parameters()).detach().clone()
    direction = torch.randn(flat.shape, generator=torch.Generator().manual_seed(4), dtype=flat.dtype)
    gradients = torch.autograd.grad(function(), list(module.parameters()), allow_unused=True)
    flat_gradient = torch.cat(
        [torch.zeros(p.numel()) if g is None else g.reshape(-1) for p, g in zip(module.parameters(), gradients, strict=True)]
    )
    losses = []
    for sign in (1, -1):
        vector_to_parameters(flat + sign * step * direction, module.parameters())
        losses.append(float(function().detach()))
    vector_to_parameters(flat, module.parameters())
    return float(flat_gradient @ direction), (losses[0] - losses[1]) / (2 * step)


def nodes(value: Tensor) -> int:
    """How many nodes autograd's graph of `value` has: what a hypergradient keeps."""
    seen, todo = set(), [value.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [after for after, _ in node.next_functions]
    return len(seen)
