"""Conv4-64, 28x28, 16 tasks 5-way 1-shot 15 queries, second order, the query batch's own statistics: ours and the peers'."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

import quickstudy as qs
from benchmarks import peers
from quickstudy.meta.executors import executor_named
from quickstudy.meta.problem import Problem

LR = 0.4
Step = Callable[[], tuple[float, list[torch.Tensor] | None]]
Network = Callable[[str], torch.nn.Module]


def episodes(tasks: int) -> qs.Episode:
    """Random images: what they show costs nothing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 20, 1, 28, 28, generator=generator)
    labelled = qs.tasks.LabelledTasks(x.flatten(0, 1), torch.arange(50).repeat_interleave(20), ways=5, shots=1, queries=15)
    return labelled.sample(tasks, generator=generator)


def network(device: str = "cpu") -> torch.nn.Module:
    """The same weights for everyone."""
    torch.manual_seed(0)
    return qs.models.conv4(ways=5).to(device)


def published_network(device: str = "cpu") -> torch.nn.Module:
    """The same weights in the network as the peers' users write it: contiguous, and pooled after the ReLU."""
    net = network(device)
    layers = [layer for block in net.blocks for layer in (block.conv, block.norm, torch.nn.ReLU(), torch.nn.MaxPool2d(2))]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), net.head).to(memory_format=torch.contiguous_format)


def ours(executor: str, steps: int, tasks: int, device: str = "cpu") -> Step:
    """A meta-step of quickstudy."""
    learner = qs.MAML(network(), inner_lr=LR, inner_steps=steps, normalisation="transductive").to(device)
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    problem = Problem(learner, qs.Backprop())
    run, outer = executor_named(executor, problem), qs.Gradient().start(dict(learner.named_parameters()))
    seeds = torch.zeros(tasks, dtype=torch.int64, device=device)

    def step() -> tuple[float, list[torch.Tensor] | None]:
        answer = run.gradient(problem, batch, seeds)
        gradients = list(answer.gradient.values())
        outer.step(answer.gradient)
        return float(answer.losses.mean()), gradients

    return step


def higher_loop(steps: int, tasks: int, device: str = "cpu", net: Network = published_network) -> Step:
    """A meta-step of `higher`."""
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    return peers.higher_loop(net(device), batch, F.cross_entropy, LR, steps)


def torchopt_loop(steps: int, tasks: int, net: Network = published_network) -> Step:
    """A meta-step of `torchopt`."""
    return peers.torchopt_loop(net("cpu"), episodes(tasks), F.cross_entropy, LR, steps)


def gap_to_higher(steps: int, tasks: int = 2) -> float:
    """The largest difference of our meta-gradient from `higher`'s, relative to the largest gradient, in float64.

    In float32 five inner steps on random images turn a rounding into another choice of a max-pooling here and there: single
    tasks are 1e-3 to 1e-1 from their own float64 gradient, whatever the library or the layout.
    """
    batch = episodes(tasks).map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    learner = qs.MAML(network().double(), inner_lr=LR, inner_steps=steps, normalisation="transductive")
    mine = list(qs.meta_gradient(learner, batch)[1].values())
    _, theirs = peers.higher_loop(published_network().double(), batch, F.cross_entropy, LR, steps)()
    assert theirs is not None
    return max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True)) / max(float(b.abs().max()) for b in theirs)


def supervised(tasks: int, channels_last: bool) -> Step:
    """A plain forward and backward over the same images in one batch: what no meta-step can beat."""
    batch = episodes(tasks)
    x, y = torch.cat([batch.support.x, batch.query.x], 1).flatten(0, 1), torch.cat([batch.support.y, batch.query.y], 1).flatten()
    net = network() if channels_last else published_network()

    def step() -> tuple[float, list[torch.Tensor] | None]:
        loss = F.cross_entropy(net(x), y)
        torch.autograd.grad(loss, list(net.parameters()))
        return float(loss.detach()), None

    return step
