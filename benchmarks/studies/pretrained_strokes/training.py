"""Meta-training of one candidate for so many seconds: all tasks of a step in one batch, Adam, a rate that falls as a cosine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.studies.pretrained_strokes.books import tasks_of
from benchmarks.studies.pretrained_strokes.candidates import Candidate
from benchmarks.studies.pretrained_strokes.heads import Heads, logits

RATE, WARM = 1.5e-3, 0.03  # the highest rate; share of the time in which it rises
SHOTS, QUERIES = (1, 1, 2, 3, 5), 4  # each step draws its number of shots
INVERTED = 0.25  # share of tasks with ink 0 on ground 1
VALIDATIONS = 6


@dataclass
class Trained:
    """A candidate after training."""

    network: nn.Module
    heads: Heads
    steps: int
    curve: list[dict[str, Any]]


def train(
    candidate: Candidate,
    images: Tensor,
    seconds: float,
    seed: int,
    validate: Callable[[nn.Module, Heads], dict[str, float]],
    start: Mapping[str, Tensor] | None = None,
) -> Trained:
    """Train the candidate's network on books of images (books, classes, examples, side, side).

    Args:
        seconds: of the GPU's wall clock, or of one core.
        start: weights that the network starts from; None: random ones.
    """
    torch.manual_seed(seed)
    device = images.device
    network, heads = candidate.network().to(device).train(), Heads().to(device)
    if start is not None:
        network.load_state_dict(start)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.backends.cudnn.benchmark = True
    parameters = [*network.parameters(), *heads.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=device.type == "cuda")
    generator = torch.Generator(device).manual_seed(seed)
    dice = torch.Generator().manual_seed(seed)
    ways = min(candidate.ways, images.shape[1])
    curve: list[dict[str, Any]] = []
    steps, spent, paused = 0, 0.0, 0.0
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    began = clock()
    while spent < seconds:
        for group in optimizer.param_groups:
            group["lr"] = rate(spent / seconds)
        shots = SHOTS[int(torch.randint(len(SHOTS), (), generator=dice))]
        support, query = tasks_of(images, candidate.tasks, ways, shots, QUERIES, generator, INVERTED)
        loss = loss_of(candidate, network, heads, support, query, ways, shots)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 10 == 0 or device.type == "cpu":
            value = float(loss.detach())
            spent = clock() - began - paused
            if spent >= len(curve) / VALIDATIONS * seconds:
                stopped = clock()
                curve.append({"seconds": round(spent, 1), "steps": steps, "loss": value, **validate(network, heads)})
                network.train()
                paused += clock() - stopped
    return Trained(network.eval(), heads, steps, curve)


def rate(done: float) -> float:
    """The rate after this share of the time."""
    return RATE * min(1.0, (done + 1e-3) / WARM) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def loss_of(
    candidate: Candidate, network: nn.Module, heads: Heads, support: Tensor, query: Tensor, ways: int, shots: int
) -> Tensor:
    """The sum over heads of the mean cross-entropy of the queries."""
    with torch.autocast(support.device.type, torch.bfloat16, enabled=support.is_cuda):
        z = network(torch.cat([support.flatten(0, 1), query.flatten(0, 1)])).float()
    tasks = len(support)
    first, second = z.split([tasks * support.shape[1], tasks * query.shape[1]])
    found = logits(heads, first.view(tasks, -1, z.shape[1]), second.view(tasks, -1, z.shape[1]), ways, shots, candidate.heads)
    y = torch.arange(ways, device=z.device).repeat_interleave(QUERIES).repeat(tasks)
    return torch.stack([F.cross_entropy(one.flatten(0, 1), y) for one in found.values()]).sum()
