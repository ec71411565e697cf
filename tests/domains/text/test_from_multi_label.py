"""from_multi_label: texts with any number of labels each, and what is not known of them."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.encoders import NGramBag
from quickstudy.errors import DataWarning, LabelError, ShapeError, TaskError

FORUMS = ("ant", "bee", "cat", "dog", "elk", "fox")
TEXTS = [f"{thing} of {forum}" for forum in FORUMS for thing in ("door", "roof", "lamp", "sink", "wall")]
GROUP = [forum for forum in FORUMS for _ in range(5)]
ADAM = partial(torch.optim.Adam, lr=0.03)
LABELS = [["repair"], ["repair", "urgent"], [], ["water", "repair"], None] * 6


def of(texts=TEXTS, labels=LABELS, group=GROUP, **options):
    return qs.tasks.from_multi_label(
        texts, labels, group, **{"length": 24, "shots": 2, "queries": 3, "split": (2, 2, 2), **options}
    )


def test_y_is_what_was_given():
    """Found again by the bytes of each text."""
    tasks = of()
    episode = tasks.test.sample(1, generator=torch.Generator().manual_seed(0))[0]
    names = episode.query.target.names
    assert names == ("repair", "urgent", "water")
    for part in (episode.support, episode.query):
        for ids, y in zip(part.x["ids"], part.y, strict=True):
            row = TEXTS.index(bytes(ids[ids > 0].tolist()).decode())
            if LABELS[row] is None:
                assert y.isnan().all()
            else:
                assert {name for name, one in zip(names, y.tolist(), strict=True) if one} == set(LABELS[row])
                assert not y.isnan().any()


def test_no_group_and_no_text_is_in_two_parts():
    tasks = of()
    held = [{bytes(ids[ids > 0].tolist()).decode()[-3:] for ids in part.examples().x["ids"]} for part in tasks.parts.values()]
    assert sum(map(len, held)) == len(set.union(*held)) == 6
    twice = [*TEXTS, "door of ant"]
    tasks = lambda **more: of(
        twice,
        [*LABELS, ["water"]],
        [*GROUP, "fox"],
        split={"train": ["ant", "bee"], "validation": ["cat", "dog"], "test": ["elk", "fox"]},
        queries=1,
        **more,
    )
    with pytest.raises(TaskError, match=r"`texts`: expected parts that share no text, got 1 texts in two, such as 'door of ant'"):
        tasks()
    with pytest.warns(DataWarning, match="1 texts were left out: a later part has them"):
        assert len(tasks(repeats="leave out").train.examples().y) == 9


def test_a_learner_learns_them():
    """The labels are words of the text. Control: what is asked for is known to none without training."""
    words = ("red", "wet", "old")
    texts = [
        " ".join([f"n{n}", *(w for k, w in enumerate(words) if n >> k & 1)]) + f" g{group}"
        for group in range(9)
        for n in range(8)
    ]
    labels = [[w for k, w in enumerate(words) if n >> k & 1] for _ in range(9) for n in range(8)]
    tasks = of(texts, labels, [str(row // 8) for row in range(72)], shots=4, queries=4, split=(5, 2, 2))
    learner = qs.MAML(NGramBag(features=3, buckets=256, width=8), inner_lr=0.1, inner_steps=1)
    before = qs.evaluate(learner, tasks.test, 20).mean
    options = {"validation_episodes": 8, "executor": "loop", "progress": False}
    qs.meta_train(learner, tasks, steps=30, tasks_per_step=2, outer=qs.Gradient(qs.Backprop(), ADAM), **options)
    found = qs.evaluate(learner, tasks.test, 20)
    assert found.metric.name == "mean_average_precision"
    assert found.mean > max(before, 0.9)


def test_what_is_refused():
    with pytest.raises(
        LabelError, match=r"`labels\[1\]`: expected a list of names, or None where they are not known, got 'urgent'"
    ):
        of(labels=[["repair"], "urgent", *LABELS[2:]])
    with pytest.raises(LabelError, match=r"`labels\[1\]`: expected some of repair, water, got 'urgent'"):
        of(names=["repair", "water"])
    with pytest.raises(LabelError, match="expected one label or more, got none in any text"):
        of(labels=[[]] * len(TEXTS))
    with pytest.raises(ShapeError, match="`labels`: expected one for each of 30 texts, got 29"):
        of(labels=LABELS[1:])
    with pytest.raises(TaskError, match="set of labels"):
        of([*TEXTS, TEXTS[0]], [*LABELS, ["water"]], [*GROUP, "ant"])
