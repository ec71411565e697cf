"""Pairs of texts as tasks: each with its own other, no sentence in two parts, and what is refused."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.encoder import TextEncoder
from quickstudy.errors import ShapeError, TaskError
from quickstudy.tasks import from_pairs

LANGUAGES = ("de", "da", "it", "nl", "日本")
ENGLISH = [f"sentence {number}" for number in range(30)]
TEXTS = [f"{one} {language}" for language in LANGUAGES for one in ENGLISH]
OTHERS, GROUP = ENGLISH * 5, [language for language in LANGUAGES for _ in ENGLISH]


class Numbers(TextEncoder):
    """x = (the number of the sentence, the place of its language, -1 for English)."""

    key, features = "numbers-1", 2

    def encode(self, texts):
        words = [text.split() for text in texts]
        return torch.tensor([[float(own[1]), float(LANGUAGES.index(own[2]) if len(own) > 2 else -1)] for own in words])


def made(**options) -> qs.tasks.TaskFamily:
    return from_pairs(TEXTS, OTHERS, GROUP, encoder=Numbers(), progress=False, **{"shots": 2, "queries": 2, **options})


def test_each_text_has_its_own_other():
    drawn = made().train.sample(50, generator=torch.Generator().manual_seed(0))
    for part in (drawn.support, drawn.query):
        assert torch.equal(part.x[..., 0], part.y[..., 0])
        assert set(part.y[..., 1].unique().tolist()) == {-1.0}
    both = torch.cat([drawn.support.x, drawn.query.x], 1)
    assert all(len(task.unique(dim=0)) == 4 for task in both)
    assert all(len(task[:, 1].unique()) == 1 for task in both)  # of one language


def test_no_language_and_no_sentence_is_in_two_parts():
    split = {"train": ["de", "da", "it"], "validation": ["nl"], "test": ["日本"]}
    parts = made(split=split).parts
    sentences = [set(part.x[:, 0].tolist()) for part in parts.values()]
    assert [sorted(part.class_names) for part in parts.values()] == [sorted(own) for own in split.values()]
    assert not sentences[0] & sentences[1]
    assert not (sentences[0] | sentences[1]) & sentences[2]
    assert set.union(*sentences) == set(map(float, range(30)))


def test_a_part_of_its_own_has_every_sentence():
    assert len(made(part="test").test.y) == len(TEXTS)


def test_what_is_no_pair_is_refused():
    options = {"encoder": Numbers(), "progress": False}
    with pytest.raises(ShapeError, match="`others`: expected one for each of 150 texts, got 149"):
        from_pairs(TEXTS, OTHERS[1:], GROUP, **options)
    with pytest.raises(TaskError, match="expected texts of one pair each, got 1 of several"):
        from_pairs([*TEXTS, TEXTS[0]], [*OTHERS, ENGLISH[3]], [*GROUP, "de"], **options)
    with pytest.raises(TaskError, match="`group`: expected three groups or more, got 2"):
        from_pairs(TEXTS[:60], OTHERS[:60], GROUP[:60], **options)
