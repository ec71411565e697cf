"""from_groups: rows of users, patients or machines as regression tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tasks.rows import seeded
from tests.tasks.tables import groups

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError, TaskError, UnsupportedError
from quickstudy.tasks import FeatureNoise, MixTasks, PermuteLabels, Rotations, from_groups


def rows_of(episode: qs.Episode) -> torch.Tensor:
    return torch.cat([episode.support.x, episode.query.x], 1)


def test_a_task_is_of_one_group():
    x, y, owner = groups()
    family = from_groups(x, y, owner, shots=2, queries=3)
    episode = family.train.sample(40, generator=seeded())
    assert episode.support.x.shape == (40, 2, 2)
    assert episode.query.y.shape == (40, 3, 1)
    assert episode.support.ways is None
    both = rows_of(episode)
    assert all(len(set(task[:, 1].tolist())) == 1 for task in both), "rows of two groups"
    torch.testing.assert_close(both[..., :1] * 2, torch.cat([episode.support.y, episode.query.y], 1))
    own = {f"user{int(number)}" for number in both[:, 0, 1]}
    assert own == set(family.classes["train"])
    assert not own & (set(family.classes["validation"]) | set(family.classes["test"]))
    assert len(family.train.examples()) == 9 * len(family.classes["train"])


def test_groups_are_as_often_as_each_other_whatever_their_size():
    sizes = [5, 50, 5, 5, 5, 5]
    owner = np.repeat(np.arange(6), sizes)
    family = from_groups(
        owner.astype(float), owner, owner, shots=1, queries=1, split={"train": ["1", "0"], "val": ["2"], "test": [3]}
    )
    drawn = family.train.sample(4000, generator=seeded()).support.x[:, 0, 0]
    assert 0.46 < float((drawn == 1).float().mean()) < 0.54


def test_a_regressor_learns_from_them():
    family = from_groups(*groups(), shots=2, queries=3)
    learner = qs.MAML(qs.models.mlp(2, 1, hidden=(4,)), inner_lr=0.001)
    run = qs.meta_train(learner, family, steps=2, tasks_per_step=2, validation_episodes=2, executor="loop", progress=False)
    assert len(run.history) == 2


# ---- time ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["time=", "split='time'"])
def test_in_time_the_support_precedes_the_query(how: str):
    x, y, owner = groups()
    if how == "time=":
        mixed = np.random.default_rng(0).permutation(len(x))
        family = from_groups(x[mixed], y[mixed], owner[mixed], time=x[mixed, 0], horizon=0, shots=3, queries=2)
    else:
        family = from_groups(x, y, owner, split="time", horizon=0, shots=3, queries=2)
    for part in (family.train, family.validation, family.test):
        moments = rows_of(part.sample(200, generator=seeded()))[..., 0]
        assert bool((moments.diff(dim=1) == 1).all()), "support and query are one window, in time"
        assert set(moments[:, 0].tolist()) == {0, 1, 2, 3, 4}
    loose = from_groups(x, y, owner, shots=3, queries=2).train.sample(200, generator=seeded())
    assert not bool((rows_of(loose)[..., 0].diff(dim=1) == 1).all())  # the control
    assert [len(names) for names in family.classes.values()] == [8, 2, 2]
    assert repr(family.train).endswith("shots=3, queries=2, in time, horizon=0)")


def spanning(horizon: int, rows: int = 60):
    """Noise v_t of 12 machines, each hour; x is that of the hour, y the sum of the `horizon` hours that follow."""
    v = np.random.default_rng(0).normal(size=(12, rows + horizon))
    y = np.stack([v[:, t + 1 : t + 1 + horizon].sum(1) for t in range(rows)], 1)
    hour, owner = np.tile(np.arange(rows), 12), np.repeat(np.arange(12), rows)
    return v[:, :rows].reshape(-1), y.reshape(-1), owner, hour


def hours_known_and_asked(task: qs.Episode, horizon: int) -> tuple[set[int], set[int]]:
    """The hours of which the support's targets tell, and those of which the query's do; x is the hour here."""
    known, asked = (
        {int(t) + k for t in part.x.flatten().tolist() for k in range(1, horizon + 1)} for part in (task.support, task.query)
    )
    return known, asked


@pytest.mark.parametrize("horizon", [1, 4, 10])
def test_no_target_of_the_support_tells_of_what_the_query_asks(horizon: int):
    _, y, owner, hour = spanning(horizon)
    leaks = {}
    for given in (horizon, 0):
        tasks = from_groups(hour.astype(float), y, owner, time=hour, horizon=given, shots=5, queries=3).train
        drawn = tasks.sample(200, generator=seeded())
        assert bool((drawn.query.x.diff(dim=1) == 1).all())
        assert bool((drawn.query.x[:, 0] - drawn.support.x[:, -1] == max(given, 1)).all())
        pairs = [hours_known_and_asked(drawn[i], horizon) for i in range(200)]
        leaks[given] = sum(bool(known & asked) for known, asked in pairs)
    assert leaks == {horizon: 0, 0: 0 if horizon == 1 else 200}  # with horizon=0, the control, each task leaks


def test_the_leak_is_a_score_that_is_too_good():
    """y cannot be predicted at all; whoever answers with the support's last target seems to predict it."""
    x, y, owner, hour = spanning(10)
    error = {}
    for horizon in (10, 0):
        tasks = from_groups(x, y, owner, time=hour, horizon=horizon, shots=5, queries=1).train
        drawn = tasks.sample(4000, generator=seeded())
        last, asked = drawn.support.y[:, -1, 0], drawn.query.y[:, 0, 0]
        error[horizon] = float((last - asked).square().mean() / (2 * asked.var()))
    assert error[10] == pytest.approx(1, abs=0.1)
    assert error[0] < 0.2


@pytest.mark.parametrize("seed", range(4))
def test_every_window_and_no_other_at_uneven_times(seed: int):
    """Against brute force: rows at any times, several at once, groups of several sizes, split='time' with mixed groups."""
    numbers = np.random.default_rng(seed)
    owner = np.sort(numbers.integers(0, 3, 40))
    time = np.concatenate([np.sort(numbers.integers(0, 12, (owner == g).sum())) for g in range(3)])
    shots, queries, horizon = 2, 2, float(numbers.integers(0, 4))
    tasks = qs.tasks.GroupTasks(
        torch.arange(40.0)[:, None],
        torch.zeros(40, 1),
        torch.tensor(owner),
        list("abc"),
        shots=shots,
        queries=queries,
        time=torch.tensor(time),
        horizon=horizon,
    )
    wanted = set()
    for g in range(3):
        rows = np.flatnonzero(owner == g)
        for first in range(len(rows)):
            support = rows[first : first + shots]
            later = [row for row in rows[first + shots :] if time[row] >= time[support[-1]] + horizon]
            if len(support) == shots and len(later) >= queries:
                wanted.add((*support.tolist(), *later[:queries]))
    drawn = rows_of(tasks.sample(3000, generator=seeded()))[..., 0].long()
    assert set(map(tuple, drawn.tolist())) == wanted


def test_rows_of_mixed_groups_count_by_group():
    x, owner = np.arange(120.0), np.tile(range(5), 24)
    tasks = from_groups(x, x, owner, split="time", horizon=4, shots=2, queries=2).train.sample(50, generator=seeded())
    assert bool((tasks.query.x[:, 0] - tasks.support.x[:, -1] == 5 * 4).all())


def test_seconds_since_1970_stay_exact():
    time = 1.7e9 + np.arange(60.0)
    tasks = from_groups(np.arange(60.0), np.arange(60.0), np.repeat(range(5), 12), time=time, horizon=3, shots=1, queries=1)
    drawn = tasks.train.sample(50, generator=seeded())
    assert bool((drawn.query.x - drawn.support.x == 3).all())


def test_a_task_without_support_begins_anywhere():
    x, y, owner = groups()
    drawn = from_groups(x, y, owner, time=x[:, 0], horizon=3, shots=0, queries=2).train.sample(300, generator=seeded())
    assert set(drawn.query.x[:, 0, 0].tolist()) == set(range(8))


def test_a_horizon_is_asked_for_and_fits():
    x, y, owner = groups()
    for given in ({"time": x[:, 0]}, {"split": "time"}):
        with pytest.raises(ArgumentError, match=r"`horizon`: expected how far beyond its row's time a target reaches.*got none"):
            from_groups(x, y, owner, **given)
    with pytest.raises(ArgumentError, match=r"`horizon`: expected rows in order of time, got no `time`"):
        from_groups(x, y, owner, horizon=2)
    with pytest.raises(ArgumentError, match=r"`horizon`: expected .*0 or more"):
        from_groups(x, y, owner, time=x[:, 0], horizon=-1)
    with pytest.raises(TaskError, match=r"expected at least 5 rows of every group, 2 of them behind the horizon, got 9 of group"):
        from_groups(x, y, owner, time=x[:, 0], horizon=8, shots=3, queries=2)
    rows = (*torch.zeros(2, 4, 1), torch.zeros(4).long(), ["a"])
    with pytest.raises(ArgumentError, match=r"`horizon`: expected how far beyond its row's time a target reaches.*got none"):
        qs.tasks.GroupTasks(*rows, shots=1, queries=1, time=torch.arange(4))
    with pytest.raises(ArgumentError, match=r"`horizon`: expected rows in order of time, got no `time`"):
        qs.tasks.GroupTasks(*rows, shots=1, queries=1, horizon=1)
    with pytest.raises(ArgumentError, match=r"`time`: expected the rows of each group in order of time"):
        qs.tasks.GroupTasks(
            torch.zeros(4, 1),
            torch.zeros(4, 1),
            torch.zeros(4).long(),
            ["a"],
            shots=1,
            queries=1,
            time=torch.tensor([1, 3, 2, 4]),
            horizon=0,
        )


# ---- augmentation -------------------------------------------------------------------------------------------------------


def test_augmentation_is_of_training_alone():
    x, y, owner = groups()
    plain, noisy = (from_groups(x, y, owner, augment=augment, shots=2, queries=3) for augment in ([], [FeatureNoise(0.5)]))
    for part in ("train", "validation", "test"):
        one, other = (getattr(family, part).sample(5, generator=seeded()).query.x for family in (plain, noisy))
        assert torch.equal(one, other) == (part != "train")


def test_mixed_tasks_lie_between_two():
    """y = 2 x, so every mixture of tasks keeps to it, and the group's number is no whole one any more."""
    family = from_groups(*groups(), augment=[MixTasks(1.0, probability=1.0)], shots=2, queries=3)
    for n in (1, 8):
        episode = family.train.sample(n, generator=seeded())
        assert episode.query.x.shape == (n, 3, 2)
        for part in (episode.support, episode.query):
            torch.testing.assert_close(part.x[..., :1] * 2, part.y)
        numbers = rows_of(episode)[..., 1]
        torch.testing.assert_close(numbers, numbers[:, :1].expand_as(numbers))
        assert not torch.equal(numbers, numbers.round())


@pytest.mark.wrong_types
@pytest.mark.parametrize("one", [Rotations(), PermuteLabels()])
def test_augmentation_of_classes_is_refused(one):
    with pytest.raises(UnsupportedError, match=r"`augment`: expected what changes numbers, got \w+\(\)\. FeatureNoise"):
        from_groups(*groups(), augment=[one])


# ---- bad rows -----------------------------------------------------------------------------------------------------------


def test_a_group_with_too_few_rows():
    x, y, owner = groups(6, 4)
    message = (
        r"`shots=2, queries=2`: expected at least 4 rows of every group, got 2 of group 'user5'\. Lower `shots` or `queries`"
    )
    with pytest.raises(TaskError, match=message):
        from_groups(x[:-2], y[:-2], owner[:-2], shots=2, queries=2, split=(2, 2, 2))


def test_rows_that_do_not_fit():
    x, y, owner = groups(6, 4)
    with pytest.raises(TaskError, match=r"`group`: expected three groups or more, got 1\. Some train, some validate"):
        from_groups(x[:4], y[:4], owner[:4])
    with pytest.raises(
        ShapeError, match=r"`x, y, group`: expected one of each for every row, got x of 24, y of 23, group of 24\. Give"
    ):
        from_groups(x, y[:-1], owner)
    with pytest.raises(ShapeError, match=r"group of 24, time of 3"):
        from_groups(x, y, owner, time=[1, 2, 3], horizon=0)
    with pytest.raises(LabelError, match=r"`y`: expected numbers, got dtype <U1, such as 'a'"):
        from_groups(x, np.array(["a"] * 24), owner)
    with pytest.raises(LabelError, match=r"`time`: expected numbers, got dtype <U3, such as 'Mon'"):
        from_groups(x, y, owner, time=["Mon"] * 24, horizon=0)
    with pytest.raises(LabelError, match=r"`group`: expected one label for each example: .*, got a missing one at group\[3\]"):
        from_groups(x, y, [*owner[:3], None, *owner[4:]])
    with pytest.raises(TaskError, match=r"`split`: expected names of the 6 classes there are .*, got 'user9' in test\. Check"):
        from_groups(x, y, owner, split={"train": ["user0"], "validation": ["user1"], "test": ["user9"]})


@pytest.mark.parametrize("name", ["x", "y", "time"])
def test_rows_that_are_not_finite(name: str):
    x, y, owner = groups(6, 4)
    given = {"x": x, "y": y, "group": owner, "time": y.copy()}
    given[name] = np.where(given[name] == given[name].max(), np.nan, given[name])
    with pytest.raises(NotFiniteError, match=rf"`{name}`: expected finite numbers, got NaN .* the first at {name}\["):
        from_groups(**given, horizon=0, shots=1, queries=1)
