"""Labelled data whose x says which row it is, so that an episode shows what the sampler chose."""

from __future__ import annotations

import torch

import quickstudy as qs
from quickstudy.tasks import LabelledTasks


def numbered(counts: list[int], **protocol) -> LabelledTasks:
    """Classes of these sizes, in shuffled order, whose x is the row number."""
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(1))]
    return LabelledTasks(torch.arange(len(y)), y, **protocol)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def overlap(episode: qs.Episode) -> int:
    """How many rows stand twice in an episode of a batch, in its support, its query or both: 0 unless the sampler leaks."""
    rows = torch.cat([episode.support.x, episode.query.x], 1)
    return sum(len(task) - len(set(task)) for task in rows.tolist())
