"""classes_by: the groups of a column as classes, with what were the classes as a column."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError, TaskError, UnsupportedError

WORD, SPEAKER = torch.arange(60) % 5, [f"s{row // 20}" for row in range(60)]
X = torch.stack([torch.arange(60.0), WORD.float()], 1)
WORDS = qs.tasks.LabelledTasks(X, WORD, queries=2, columns={"speaker": SPEAKER, "half": [str(row % 2) for row in range(60)]})


def test_classes_are_the_groups_and_every_example_keeps_its_own():
    voices = qs.tasks.classes_by(WORDS, "speaker", ways=3, shots=2)
    assert voices.class_names == ["s0", "s1", "s2"]
    assert [voices.class_names[label] for label in voices.y.tolist()] == SPEAKER
    assert sorted(voices.columns) == ["class", "half"]
    assert (voices.ways, voices.shots, voices.queries) == (3, 2, 2)
    back = qs.tasks.classes_by(voices, "class", ways=5)
    assert back.class_names == WORDS.class_names
    assert torch.equal(back.y, WORDS.y)


def test_words_of_the_support_are_held_out_of_the_query():
    voices = qs.tasks.across(qs.tasks.classes_by(WORDS, "speaker", ways=3, shots=3), "class", support=3)
    for episode in (voices.sample(20, generator=torch.Generator().manual_seed(0))[task] for task in range(20)):
        assert not set(episode.support.x[:, 1].tolist()) & set(episode.query.x[:, 1].tolist())
        assert all(int(x // 20) in range(3) for x in episode.query.x[:, 0])


def test_a_family_keeps_its_parts_and_refuses_a_group_in_two():
    parts = [WORDS.of_rows(torch.arange(20 * part, 20 * part + 20)).with_(ways=2) for part in range(3)]
    family = qs.tasks.TaskFamily(*parts, same_classes=True)
    voices = qs.tasks.classes_by(family, "speaker", ways=1)
    assert voices.classes == {"train": ["s0"], "validation": ["s1"], "test": ["s2"]}
    with pytest.raises(TaskError):
        qs.tasks.classes_by(family, "half", ways=2)


def test_what_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match="one of the columns speaker, half"):
        qs.tasks.classes_by(WORDS, "speakers")
    with pytest.raises(UnsupportedError, match="classes_by"):
        qs.tasks.classes_by(qs.tasks.Sinusoid(), "speaker")
    with pytest.raises(TaskError):
        qs.tasks.classes_by(WORDS, "speaker")  # five ways of three speakers
