"""Where the data are too few, the error proposes numbers; those numbers work, in Python and at the command line."""

from __future__ import annotations

import re
import shlex

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import LabelError, QuickstudyError, TaskError
from quickstudy.tasks.sources.proposal import proposal, split_for


def from_arrays(counts, **options):
    y = [f"class{label:02}" for label, count in enumerate(counts) for _ in range(count)]
    return qs.tasks.from_arrays(torch.randn(len(y), 3), y, **options)


def proposed(message: str) -> tuple[dict, dict]:
    """The numbers of an error, as typed in Python and as typed at the command line."""
    python, command = re.search(r"Give (.*?) \((--.*)\), or bring", message).groups()
    words = shlex.split(command)
    flags = {word.removeprefix("--tasks."): value for word, value in zip(words[::2], words[1::2], strict=True)}
    return eval(f"dict({python})"), {name: eval(value) for name, value in flags.items()}


@pytest.mark.parametrize(
    ("counts", "asked", "wanted"),
    [
        ([20] * 15, {"ways": 5}, {"split": (5, 5, 5)}),  # fractions give 10, 2 and 3
        ([20] * 18, {"ways": 3}, {"split": (11, 3, 4)}),
        ([20] * 40, {"ways": 8}, {"split": (24, 8, 8)}),
        ([20] * 6, {"ways": 5}, {"ways": 2, "split": (2, 2, 2)}),
        ([20] * 10, {"ways": 5, "split": (4, 3, 3)}, {"ways": 3}),
        ([20] * 7, {"ways": 5, "split": (5, 2, 0)}, {"ways": 2, "split": (3, 2, 2)}),
        ([20] * 40 + [8], {"ways": 5}, {"queries": 7}),
        ([20] * 40 + [4], {"ways": 5, "shots": 5}, {"shots": 3, "queries": 1}),
        ([6] * 9, {"ways": 5, "shots": 2}, {"ways": 3, "split": (3, 3, 3), "queries": 4}),
        ([20] * 9, {"ways": (2, 5)}, {"ways": 3, "split": (3, 3, 3)}),
    ],
)
def test_the_numbers_work(counts, asked, wanted):
    with pytest.raises(QuickstudyError) as refused:
        from_arrays(counts, **asked)
    python, command = proposed(str(refused.value))
    assert python == command == wanted
    from_arrays(counts, **asked | python).train.sample(2)


@pytest.mark.parametrize("classes", range(6, 60))
def test_a_split_has_every_class_and_ways_in_each_part(classes):
    for ways in range(1, classes // 3 + 1):
        parts = split_for(classes, ways)
        assert sum(parts) == classes
        assert min(parts) >= ways


def test_too_few_for_any_split():
    for counts, error in (([20] * 2, LabelError), ([20] * 5, TaskError)):
        with pytest.raises(error, match=r"Bring more classes, .* \(quickstudy predict\), or score one on these with part='test'"):
            from_arrays(counts, ways=3)
    with pytest.raises(TaskError, match=r"Leave classes of a single example out\."):
        from_arrays([20] * 40 + [1], ways=5)


def test_groups_are_told_in_python_alone():
    y, group = torch.randn(30), torch.arange(30) // 10
    with pytest.raises(QuickstudyError, match=r"Give split=\(1, 1, 1\), queries=5, or bring more data\."):
        qs.tasks.from_groups(y, y, group, shots=5, queries=10)
    assert proposal([10, 10], (), None, 5, 5, command=False).startswith("Bring more")


def test_queries_that_fit():
    assert from_arrays([20] * 40 + [8], ways=5, shots=3, queries=None).test.queries == 5
    assert from_arrays([90] * 40, ways=5, queries=None).test.queries == 15
