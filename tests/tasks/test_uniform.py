"""The sampler is uniform over classes, examples, labels and places, and a sampler that is not would be found out."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.rows import numbered, seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value
from torch import Tensor

from quickstudy.tasks.distribution import class_index

COUNTS = [5, 8, 6, 20, 5, 7, 9, 5]  # examples of the classes, as unequal as real data
WAYS, SHOTS, QUERIES, TASKS = 3, 2, 3, 6000


def chosen() -> tuple[Tensor, Tensor, Tensor]:
    """Of many tasks: the class of each label (tasks, ways), the rows of support and query (tasks, examples) in their order."""
    tasks = numbered(COUNTS, ways=WAYS, shots=SHOTS, queries=QUERIES)
    episode = tasks.sample(TASKS, generator=seeded())
    classes = torch.empty(TASKS, WAYS, dtype=torch.int64).scatter_(1, episode.query.y, tasks.y[episode.query.x])
    return classes, episode.support.x, episode.query.x


def evidence() -> dict[str, float]:
    """By what should be uniform: how likely are counts as uneven as those drawn?"""
    classes, support, query = chosen()
    y, every = numbered(COUNTS, ways=1, shots=1, queries=1).y, len(COUNTS)
    both = torch.cat([support, query], 1)
    pairs = torch.bincount((classes[:, 0] * every + classes[:, 1]), minlength=every**2)
    big = COUNTS.index(max(COUNTS))
    rows_of_big = torch.bincount(both.flatten(), minlength=len(y))[y == big]
    shot_of_big = torch.bincount(support.flatten(), minlength=len(y))[y == big]
    return {
        "classes": p_value(torch.bincount(classes.flatten(), minlength=every), WAYS),
        "classes of label 0": p_value(torch.bincount(classes[:, 0], minlength=every)),
        "pairs of classes": p_value(pairs[~torch.eye(every, dtype=torch.bool).flatten()]),
        "examples of a class": p_value(rows_of_big, SHOTS + QUERIES),
        "support of a class": p_value(shot_of_big, SHOTS),
    }


def test_classes_and_examples_are_uniform():
    found = evidence()
    assert min(found.values()) > UNIFORM, found


@pytest.mark.parametrize(
    ("bias", "shown_by"),
    [
        (lambda key: key * torch.linspace(0.9, 1, key.shape[-1]), {"classes", "examples of a class"}),  # later ones more often
        (lambda key: torch.where(torch.arange(key.shape[-1]) == 2, key**2, key), {"classes", "examples of a class"}),
    ],
)
def test_a_biased_choice_is_found_out(monkeypatch, bias, shown_by):
    """The control: keys that favour some places."""
    fair = class_index.choose
    monkeypatch.setattr(class_index, "choose", lambda key, k: fair(torch.where(key < 0, key, bias(key)), k))
    found = evidence()
    assert {name for name, p in found.items() if p < BIASED} >= shown_by, found


def test_a_choice_in_sorted_order_is_found_out(monkeypatch):
    """The control for order: every set of classes is as likely, but label 0 is always its first, and support the first rows."""
    fair = class_index.choose
    monkeypatch.setattr(class_index, "choose", lambda key, k: fair(key, k).sort(-1).values)
    found = evidence()
    assert found["classes"] > UNIFORM
    assert found["classes of label 0"] < BIASED
    assert found["support of a class"] < BIASED


def test_labels_come_in_every_order():
    """Each label is as often at each place of support and query; an unshuffled episode has one order only."""
    episode = numbered(COUNTS, ways=WAYS, shots=SHOTS, queries=QUERIES).sample(TASKS, generator=seeded(3))
    for part in (episode.support, episode.query):
        for place in range(part.y.shape[1]):
            assert p_value(torch.bincount(part.y[:, place], minlength=WAYS)) > UNIFORM
        unshuffled = part.y.sort(1).values
        assert p_value(torch.bincount(unshuffled[:, 0], minlength=WAYS)) < BIASED


def test_the_statistic_itself_is_calibrated():
    """Of 400 sets of fair counts about 5 % lie below 0.05, for one choice and for several without replacement."""
    for k in (1, 4):
        picks = class_index.choose(torch.rand(400, 300, 6, generator=seeded(k)), k)
        counts = torch.zeros(400, 6).scatter_add_(1, picks.flatten(1), torch.ones(400, 300 * k))
        below = sum(p_value(count, k) < 0.05 for count in counts) / 400
        assert 0.02 < below < 0.09
