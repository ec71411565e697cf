"""Episodes, single and in batches, with labels and with targets: support and query must have the same features."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

import quickstudy as qs
from quickstudy import Episode, Examples
from quickstudy.episode import stack
from quickstudy.errors import LabelError, ShapeError


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


# ---- batches made by hand ----------------------------------------------------------------------------------------------


def batched(tasks=4, ways=3, shots=2, features=(5,)):
    return torch.randn(tasks, ways * shots, *features), torch.stack([torch.randperm(ways * shots) % ways for _ in range(tasks)])


@pytest.mark.parametrize("features", [(), (5,), (1, 4, 4)])
def test_the_ways_of_a_batch_made_by_hand_are_read(features):
    x, y = batched(features=features)
    assert Examples(x, y).ways == 3
    assert Examples({"left": x, "right": x}, y).ways == 3
    episode = Episode(Examples(x, y), Examples(*batched(shots=5, features=features)))
    assert episode.support.ways == episode.query.ways == 3
    assert len(episode) == 4
    assert episode[1].support.ways == 3
    for t in range(4):
        assert Examples(x[t], y[t]).ways == 3


def test_a_batch_made_by_hand_is_learned_from_as_episodes_are():
    support, query = (Examples(*batched(shots=shots)) for shots in (2, 3))
    batch, learner = Episode(support, query), qs.Prototypical(torch.nn.Linear(5, 4))
    one_by_one = [Episode(Examples(support.x[t], support.y[t]), Examples(query.x[t], query.y[t])) for t in range(4)]
    for executor in ("loop", "vmap"):
        (loss, got), (want_loss, want) = (qs.meta_gradient(learner, one, executor=executor) for one in (batch, one_by_one))
        torch.testing.assert_close(loss, want_loss)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ([[0, 1, 2, 0], [0, 1, 0, 1]], r"the labels \[0, 1\] in task 1"),
        ([[0, 2, 2, 0], [0, 1, 2, 1]], r"the labels \[0, 2\] in task 0"),
        ([[0, 1, 2, 0], [0, 1, 2, -1]], r"the labels \[-1, 0, 1, 2\] in task 1"),
        ([[0, 1, 2, 0], [0, 1, 2, 10**12]], r"the labels \[0, 1, 2, 1000000000000\] in task 1"),
        ([[0, 0, 0, 0], [1, 1, 1, 1]], r"the labels \[1\] in task 1"),
    ],
)
def test_every_task_of_a_batch_has_every_label(labels, got):
    y = torch.tensor(labels)
    with pytest.raises(
        LabelError, match=rf"`y`: expected the labels 0\.\.\d+ in every task of the batch, .*, got {got}.*pass `ways`"
    ):
        Examples(torch.zeros(2, 4, 3), y)
    inside = bool(((y >= 0) & (y < 5)).all())
    with nullcontext() if inside else pytest.raises(LabelError, match=r"`y`: expected labels from 0 to 4, of 5 classes"):
        assert Examples(torch.zeros(2, 4, 3), y, ways=5).ways == 5


@pytest.mark.parametrize(("x", "y"), [((6, 3), (6, 4)), ((6,), (6, 4)), ((2, 3, 4), (2, 3, 4)), ((6, 3), (6, 1))])
def test_integers_that_are_no_labels_are_refused(x, y):
    """Sequences of integers, one-hot rows, a column of labels: which they are cannot be told."""
    message = r"`y`: expected labels, int64 \(examples,\), or of a batch of tasks .* where x is .*, got torch.int64 of shape"
    for ways in (None, 9):
        with pytest.raises(LabelError, match=message if len(y) == 2 or ways is None else "`y`: expected labels, int64"):
            Examples(torch.zeros(x), torch.zeros(y, dtype=torch.int64), ways)
    assert Examples(torch.zeros(x), torch.zeros(y)).ways is None


def test_support_and_query_are_of_the_same_tasks():
    (x, y), (u, v) = batched(tasks=2), batched(tasks=3)
    message = (
        r"`Episode\(support, query\)`: expected support and query of one task, or .*, got labels of shape \(2, 6\) and \(3, 6\)"
    )
    with pytest.raises(ShapeError, match=message):
        Episode(Examples(x, y), Examples(u, v))


def test_episodes_of_other_ways_or_shapes_are_no_batch():
    def one(ways=3, shots=2, features=5):
        y = torch.arange(ways).repeat(shots)
        return Episode(Examples(torch.zeros(len(y), features), y), Examples(torch.zeros(len(y), features), y))

    mapped = Episode(*(Examples({"x": part.x}, part.y) for part in (one().support, one().query)))
    message = "`episodes`: expected episodes of one structure: the same kind of target, shots and features, got "
    for episodes, got in [
        ([one(), one(2)], r"Labels\(count=2\) in the support of episode 1, Labels\(count=3\) in that of episode 0"),
        (
            [one(), one(), one(shots=1)],
            r"x and y of shapes \[\(3, 5\), \(3,\)\] in the support of episode 2, \[\(6, 5\), \(6,\)\]",
        ),
        ([one(), one(features=4)], "x and y of shapes"),
        ([one(), mapped], "an x of another structure in the support of episode 1 than in that of episode 0"),
        (
            [one(), Episode(one().support, one(ways=1, shots=6).query)],
            r"Labels\(count=1\) in the query of episode 1, Labels\(count=3\) in that",
        ),
    ]:
        with pytest.raises(ShapeError, match=message + got + ".*Batch those that are alike"):
            stack(episodes)
        with pytest.raises(ShapeError, match=message):
            qs.meta_gradient(qs.Prototypical(torch.nn.Linear(5, 2)), episodes)
    with pytest.raises(ShapeError, match="`episodes`: expected at least one, got none"):
        qs.meta_gradient(qs.Prototypical(torch.nn.Linear(5, 2)), [])
    assert stack([one(), one()]).support.ways == 3
