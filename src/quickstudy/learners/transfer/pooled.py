"""Minibatches of all data of a task distribution, pooled over its tasks."""

from __future__ import annotations

import torch
from torch.utils import _pytree as pytree

from quickstudy.episode import Examples
from quickstudy.tasks.distribution.interface import TaskDistribution
from quickstudy.tasks.distribution.labelled import LabelledTasks


def minibatch(tasks: TaskDistribution, size: int, generator: torch.Generator) -> Examples:
    """`size` different examples (all of them where there are fewer), with global labels or with targets."""
    if isinstance(tasks, LabelledTasks):  # gathered before they become floats: the pool may be tens of thousands of uint8 images
        return tasks.examples(_rows(len(tasks.y), size, generator).to(tasks.y.device))
    pool = tasks.examples()
    rows = _rows(len(pool), size, generator).to(pool.y.device)
    x, y = pytree.tree_map(lambda leaf: leaf[rows], (pool.x, pool.y))
    return pool.like(x, y)


def _rows(n: int, size: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randperm(n, generator=generator)[:size]
