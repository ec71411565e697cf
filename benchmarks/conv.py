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


def higher_loop(steps: int, tasks: int, device: str = "cpu") -> Step:
    """A meta-step of `higher`."""
    batch = episodes(tasks).map(lambda leaf: leaf.to(device))
    return peers.higher_loop(network(device), batch, F.cross_entropy, LR, steps)


def torchopt_loop(steps: int, tasks: int) -> Step:
    """A meta-step of `torchopt`."""
    return peers.torchopt_loop(network(), episodes(tasks), F.cross_entropy, LR, steps)


def supervised(tasks: int, channels_last: bool) -> Step:
    """A plain forward and backward over the same images in one batch: what no meta-step can beat."""
    batch = episodes(tasks)
    x, y = torch.cat([batch.support.x, batch.query.x], 1).flatten(0, 1), torch.cat([batch.support.y, batch.query.y], 1).flatten()
    net = network()
    if channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)

    def step() -> tuple[float, list[torch.Tensor] | None]:
        loss = F.cross_entropy(net(x), y)
        torch.autograd.grad(loss, list(net.parameters()))
        return float(loss.detach()), None

    return step
