"""Episodes, single and in batches, with labels and with targets: support and query must have the same features."""

from __future__ import annotations

import pytest
import torch

from quickstudy import Episode, Examples
from quickstudy.errors import ShapeError


def labelled(*shape: int) -> Examples:
    return Examples(torch.zeros(*shape), torch.zeros(shape[:1], dtype=torch.int64), ways=2)


@pytest.mark.parametrize("tasks", [(), (3,), (5,)])
@pytest.mark.parametrize("feature", [(1,), (4,), (1, 28, 28)])
def test_support_and_query_may_differ_in_length(tasks: tuple[int, ...], feature: tuple[int, ...]):
    targets = [Examples(torch.zeros(*tasks, each, *feature), torch.zeros(*tasks, each, 1)) for each in (5, 7)]
    labels = [
        Examples(torch.zeros(*tasks, each, *feature), torch.zeros(*tasks, each, dtype=torch.int64), ways=1) for each in (5, 7)
    ]
    assert len(Episode(*targets)) == len(Episode(*labels)) == (tasks or (5,))[0]


def test_but_not_in_their_features():
    message = r"`Episode\(support, query\)`: expected support\.x and query\.x of the same feature shape, got \(3,\) and \(4,\)"
    with pytest.raises(ShapeError, match=message):
        Episode(labelled(10, 3), labelled(10, 4))
    with pytest.raises(ShapeError, match=message):
        Episode(Examples(torch.zeros(10, 3), torch.zeros(10, 1)), Examples(torch.zeros(10, 4), torch.zeros(10, 1)))
    with pytest.raises(ShapeError, match=r"got \(5, 3\) and \(7, 4\)"):
        Episode(Examples(torch.zeros(2, 5, 3), torch.zeros(2, 5, 1)), Examples(torch.zeros(2, 7, 4), torch.zeros(2, 7, 1)))
    with pytest.raises(ShapeError, match=r"got \(5, 3\) and \(7, 3\)"):  # batches of 2 and of 3 tasks
        Episode(Examples(torch.zeros(2, 5, 3), torch.zeros(2, 5, 1)), Examples(torch.zeros(3, 7, 3), torch.zeros(3, 7, 1)))
