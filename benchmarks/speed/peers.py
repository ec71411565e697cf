"""A meta-step as the peers document it: a plain loop over tasks, then one step of outer Adam.

Each function returns step() -> (mean loss, gradients or None), on the device where its network and data lie.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.speed.meta_step import Step

Loss = Callable[[Tensor, Tensor], Tensor]


def higher_loop(net: nn.Module, batch: qs.Episode, criterion: Loss, lr: float, steps: int) -> Step:
    """`higher`: an inner-loop context for each task."""
    import higher

    outer, inner = torch.optim.Adam(net.parameters(), lr=1e-3), torch.optim.SGD(net.parameters(), lr=lr)

    def step() -> tuple[float, list[Tensor] | None]:
        outer.zero_grad()
        total = torch.zeros((), device=batch.query.y.device)  # read once, at the end: a GPU is not waited for after each task
        for t in range(len(batch)):
            episode = batch[t]
            with higher.innerloop_ctx(net, inner, copy_initial_weights=False) as (fast, diffopt):
                for _ in range(steps):
                    diffopt.step(criterion(fast(episode.support.x), episode.support.y))
                loss = criterion(fast(episode.query.x), episode.query.y) / len(batch)
                loss.backward()
                total += loss.detach()
        gradients = [parameter.grad.clone() for parameter in net.parameters()]
        outer.step()
        return float(total), gradients

    return step


def torchopt_loop(net: nn.Module, batch: qs.Episode, criterion: Loss, lr: float, steps: int) -> Step:
    """`torchopt`: MetaSGD, whose states are extracted and recovered around each task."""
    import torchopt

    outer, inner = torch.optim.Adam(net.parameters(), lr=1e-3), torchopt.MetaSGD(net, lr=lr)
    parameters = list(net.parameters())

    def step() -> tuple[float, list[Tensor] | None]:
        outer.zero_grad()
        total = 0.0
        weights, state = torchopt.extract_state_dict(net, by="reference"), torchopt.extract_state_dict(inner, by="reference")
        for t in range(len(batch)):
            episode = batch[t]
            for _ in range(steps):
                inner.step(criterion(net(episode.support.x), episode.support.y))
            loss = criterion(net(episode.query.x), episode.query.y) / len(batch)
            loss.backward()
            total += float(loss.detach())
            torchopt.recover_state_dict(net, weights)
            torchopt.recover_state_dict(inner, state)
        gradients = [parameter.grad.clone() for parameter in parameters]
        outer.step()
        return total, gradients

    return step


def supervised(net: nn.Module, x: Tensor, y: Tensor, criterion: Loss) -> Step:
    """No meta-learning at all: a plain forward and backward over one batch."""

    def step() -> tuple[float, list[Tensor] | None]:
        loss = criterion(net(x), y)
        torch.autograd.grad(loss, list(net.parameters()))
        return float(loss.detach()), None

    return step
