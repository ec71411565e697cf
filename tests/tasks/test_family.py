"""Three distributions that share no class, and what happens where they do."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.rows import numbered, seeded

from quickstudy.errors import ArgumentError, TaskError
from quickstudy.tasks import LabelledTasks, TaskFamily


def part(names: str) -> LabelledTasks:
    """Two examples of each class, a letter each."""
    y = torch.arange(len(names)).repeat(2)
    return LabelledTasks(torch.zeros(len(y)), y, ways=2, shots=1, queries=1, class_names=list(names))


def test_a_class_in_two_splits_is_named():
    message = r"`train, test`: expected parts that share no class, got class 'b' in both\. Give every class to one part"
    with pytest.raises(TaskError, match=message):
        TaskFamily(part("abc"), part("de"), part("fb"))
    with pytest.raises(TaskError, match=r"`validation, test`: .* got class 'd' in both"):
        TaskFamily(part("abc"), part("de"), part("fd"))


def test_splits_that_share_no_class_pass():
    family = TaskFamily(part("abc"), part("de"), part("fg"))
    assert family.with_(ways=1).test.ways == 1
    assert family.test.ways == 2
    assert family.to("meta").validation.x.device.type == "meta"
    assert repr(family).count("LabelledTasks(") == 3


def test_labelled_data_are_split_by_class():
    tasks = numbered([3 + label % 4 for label in range(25)], ways=2, shots=1, queries=2)
    family = tasks.split((0.6, 0.2, 0.2), seed=0)
    parts = [family.train, family.validation, family.test]
    assert [len(one.class_names) for one in parts] == [15, 5, 5]
    assert {name for one in parts for name in one.class_names} == set(tasks.class_names)
    for one in parts:
        for label, name in enumerate(one.class_names):
            assert set(one.x[one.y == label].tolist()) == set(tasks.x[tasks.y == int(name)].tolist())
        assert one.protocol == tasks.protocol
    assert tasks.split((0.6, 0.2, 0.2), seed=0).test.class_names == family.test.class_names
    assert tasks.split((0.6, 0.2, 0.2), seed=1).test.class_names != family.test.class_names
    assert family.test.sample(2, generator=seeded()).query.x.shape == (2, 4)


def test_a_part_too_small_for_the_protocol():
    with pytest.raises(TaskError, match=r"`ways=3`: expected at most the 2 classes there are, got 3"):
        numbered([4] * 10, ways=3, queries=2).split((6, 2, 2), seed=0)


def test_a_family_without_names_is_told_apart_by_split():
    with pytest.raises(TaskError, match=r"got class '0' in both\. .* told apart with `class_names`"):
        TaskFamily(numbered([4, 4], ways=2, queries=2), numbered([3, 3], ways=2, queries=2), part("ab"))
    with pytest.raises(ArgumentError, match=r"`sizes`: expected at least one class in every part"):
        numbered([4, 4], ways=2, queries=2).split(seed=0)
