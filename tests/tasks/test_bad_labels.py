"""Data and protocols from which no episode can be drawn, and the four parts of each error."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.rows import numbered

from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError, TaskError
from quickstudy.tasks import LabelledTasks

X, Y = torch.zeros(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])


def test_more_ways_than_classes():
    with pytest.raises(
        TaskError, match=r"`ways=4`: expected at most the 3 classes there are, got 4\. Lower `ways`, or bring more"
    ):
        LabelledTasks(X, Y, ways=4, queries=1)
    with pytest.raises(TaskError, match=r"`ways=\(2, 9\)`: expected at most the 3 classes there are, got 9\. "):
        LabelledTasks(X, Y, ways=(2, 9), queries=1)


def test_a_class_with_too_few_examples_is_named_with_its_count():
    message = (
        r"`shots=1, queries=4`: expected at least 5 examples of every class, got 3 of class '1'\. Lower `shots` or `queries`"
    )
    with pytest.raises(TaskError, match=message):
        numbered([7, 3, 6], ways=2, queries=4)
    with pytest.raises(TaskError, match=r"got 2 of class 'b' and too few of 1 more\."):
        LabelledTasks(torch.zeros(10), torch.tensor([0] * 5 + [1] * 2 + [2] * 3), ways=2, queries=3, class_names=["a", "b", "c"])


def test_a_range_counts_with_its_upper_end():
    with pytest.raises(TaskError, match=r"`shots=\(1, 3\), queries=4`: expected at least 7 examples"):
        numbered([6, 6], ways=2, shots=(1, 3), queries=4)


def test_with_checks_too():
    tasks = numbered([4, 4, 4], ways=2, queries=2)
    with pytest.raises(TaskError, match=r"`ways=5`: expected at most the 3 classes"):
        tasks.with_(ways=5)
    with pytest.raises(TaskError, match=r"got 4 of class '0' and too few of 2 more"):
        tasks.with_(queries=15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_that_are_no_integers(dtype: torch.dtype):
    message = rf"`y`: expected integer labels, got {dtype}\. Number the classes from 0 and pass y\.long\(\)"
    with pytest.raises(LabelError, match=message):
        LabelledTasks(X, Y.to(dtype), ways=2, queries=1)


@pytest.mark.parametrize(
    ("labels", "came"),
    [
        ([0, 1, 3, 0, 1, 3], r"the labels 0\.\.2, each at least once, got labels from 0 to 3 without 2"),
        ([1, 2, 3, 1, 2, 3], r"the labels 0\.\.2, each at least once, got labels from 1 to 3 without 0"),
        ([-1, 0, 1, -1, 0, 1], r"the labels 0\.\.2, each at least once, got labels from -1 to 1 without 0"),
    ],
)
def test_labels_that_skip_a_number(labels: list[int], came: str):
    with pytest.raises(LabelError, match=rf"`y`: expected {came}\. Number the classes without a gap: torch\.unique"):
        LabelledTasks(X, torch.tensor(labels), ways=2, queries=1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite(bad: float):
    x = X.clone()
    x[4, 1] = bad
    with pytest.raises(
        NotFiniteError, match=r"`x`: expected finite numbers, got NaN or infinity in 1 of 6 examples, the first at x\[4\]\. "
    ):
        LabelledTasks(x, Y, ways=2, queries=1)
    with pytest.raises(NotFiniteError, match=r"the first at x\[4\]"):
        LabelledTasks(x[:, 1], Y, ways=2, queries=1)


@pytest.mark.parametrize(
    ("x", "y", "came"),
    [
        (X[:4], Y, r"x of shape \(4, 2\) and y of shape \(6,\)"),
        (X, Y[:, None], r"x of shape \(6, 2\) and y of shape \(6, 1\)"),
        (X[:0], Y[:0], r"x of shape \(0, 2\) and y of shape \(0,\)"),
    ],
)
def test_x_and_y_of_different_length(x: torch.Tensor, y: torch.Tensor, came: str):
    message = rf"`x, y`: expected x \(N, \*feature\) and y \(N,\), with N of 1 or more, got {came}\. Give one label"
    with pytest.raises(ShapeError, match=message):
        LabelledTasks(x, y, ways=2, queries=1)


def test_names_that_do_not_fit_the_classes():
    with pytest.raises(ShapeError, match=r"`class_names`: expected 3 names, one for each class, got 2\. Name every class once"):
        LabelledTasks(X, Y, ways=2, queries=1, class_names=["a", "b"])
    with pytest.raises(
        LabelError, match=r"`class_names`: expected a name of its own for every class, got 'a' 2 times\. Give these"
    ):
        LabelledTasks(X, Y, ways=2, queries=1, class_names=["a", "b", "a"])


@pytest.mark.wrong_types
@pytest.mark.parametrize("size", [0, -1, (3, 2), (0, 2), 2.5, (1, 2, 3), "5"])
def test_sizes_that_are_none(size: object):
    message = r"`ways`: expected an int of 1 or more, or a range \(low, high\) of them, got .*\. Give for example ways=1"
    with pytest.raises(ArgumentError, match=message):
        LabelledTasks(X, Y, ways=size, queries=1)
