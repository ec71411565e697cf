"""What the family of every source is held to, whatever the data behind it.

seeds       one seed gives the same episodes, another gives others, and the global random state is left alone
rows        support and query of a task share no row
splits      no class (or group) in two parts, none without a name
sizes       a range gives batches of several sizes, each of them unragged
workers     the same episodes whatever the number of worker processes
again       `family.classes` given back as split= gives the same family
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from quickstudy.episode import Episode
from quickstudy.tasks import TaskDistribution, TaskFamily

PARTS = ("train", "validation", "test")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(one: Episode, other: Episode) -> bool:
    return all(
        a.shape == b.shape and torch.equal(a, b)
        for left, right in ((one.support, other.support), (one.query, other.query))
        for a, b in ((left.x, right.x), (left.y, right.y))
    )


def check_seeds(part: TaskDistribution) -> None:
    before = torch.get_rng_state()
    first, again, other = (part.sample(4, generator=seeded(seed)) for seed in (5, 5, 6))
    assert same(first, again), "one seed, two batches"
    assert not same(first, other), "two seeds, one batch"
    assert torch.equal(before, torch.get_rng_state()), "the global random state was read"


def check_rows(part: TaskDistribution) -> None:
    """On the distribution with x replaced by row numbers."""
    numbered = part.with_()
    numbered.x = torch.arange(len(numbered.x), dtype=torch.float32)[:, None]
    numbered.preprocessing, numbered.transform, numbered.augment = None, (), ()
    episode = numbered.sample(20, generator=seeded(0))
    rows = torch.cat([episode.support.x, episode.query.x], 1)[..., 0]
    assert all(len(set(task)) == len(task) for task in rows.tolist()), "a row stands twice in a task"


def check_sizes(part: TaskDistribution) -> None:
    ranged = part.with_(shots=(1, 2), queries=(1, 2))
    seen = set()
    for seed in range(16):
        episode = ranged.sample(3, generator=seeded(seed))
        assert episode.support.x.shape[:2] == episode.support.y.shape[:2]
        assert len(episode.support.x) == len(episode.query.x) == 3
        seen.add((episode.support.x.shape[1], episode.query.x.shape[1]))
    assert len(seen) == 4, f"sizes {seen}"


class Seeds(Dataset):
    """An episode for each seed, for worker processes to draw."""

    def __init__(self, part: TaskDistribution):
        self.part = part

    def __len__(self) -> int:
        return 4

    def __getitem__(self, seed: int) -> tuple[Tensor, Tensor]:
        episode = self.part.sample(1, generator=seeded(seed))
        return episode.support.x, episode.query.y


def check_workers(part: TaskDistribution) -> None:
    alone, helped = (list(DataLoader(Seeds(part), batch_size=None, num_workers=workers)) for workers in (0, 2))
    assert all(torch.equal(a, b) for one, other in zip(alone, helped, strict=True) for a, b in zip(one, other, strict=True))


def check_family(build: Callable[..., TaskFamily]) -> TaskFamily:
    """All checks but that of the workers; `build(**arguments)` opens the source."""
    family = build()
    names = [name for part in PARTS for name in family.classes[part]]
    assert len(names) == len(set(names)), "a class in two parts"
    assert all(family.classes[part] for part in PARTS)
    for part in (family.train, family.validation, family.test):
        check_seeds(part)
        check_rows(part)
        check_sizes(part)
    again, other = build(split=family.classes), build(split=(0.5, 0.25, 0.25), seed=1)
    assert again.classes == family.classes != other.classes
    assert same(*(one.train.sample(3, generator=seeded(2)) for one in (family, again))), "the stored split gives another family"
    return family
