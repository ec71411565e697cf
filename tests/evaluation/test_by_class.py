"""Scores by class: a plain count of the answers of the same tasks, by every executor, in bounded memory."""

import json
import math
from collections import defaultdict

import pytest
import torch

import quickstudy as qs
from quickstudy.episode import Episode
from quickstudy.errors import UnsupportedError
from quickstudy.evaluation.by_class import ClassCounts, wilson_low
from quickstudy.evaluation.evaluate import interval
from quickstudy.evaluation.metrics import Metric
from quickstudy.evaluation.tally import Tally

NAMES = ["ant", "bee", "cat", "dog", "eel"]


def animals(**sizes) -> qs.tasks.LabelledTasks:
    """Five classes in a plane; ant and bee overlap, the others are apart."""
    torch.manual_seed(0)
    y = torch.arange(200) // 40
    middle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    sizes = {"ways": 3, "shots": 2, "queries": 6, **sizes}
    return qs.tasks.LabelledTasks(middle[y] + torch.randn(200, 2), y, class_names=NAMES, **sizes)


def counted(learner, tasks, episodes, seed):
    """By hand: the answers of `evaluate`, task by task; right of each class, and m and chances of each pair."""
    generator, done = torch.Generator().manual_seed(seed), 0
    right, met, chances = defaultdict(list), defaultdict(int), defaultdict(int)
    while done < episodes:
        batch = tasks.sample(min(20, episodes - done), generator=generator)
        for task in (batch[index] for index in range(len(batch))):
            names, answers = task.class_names, learner.adapt(task.support).predict(task.query.x)
            for name in names:
                own = [names[answer] for answer in answers[task.query.y == names.index(name)].tolist()]
                right[name].append(own.count(name) / len(own))
                for other in set(names) - {name}:
                    met[name, other] += own.count(other)
                    chances[name, other] += len(own)
        done += len(batch)
    return right, met, chances


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap", "compiled", "auto"])
def test_scores_by_class_are_a_plain_count(executor):
    learner, tasks = qs.NearestCentroid(), animals()
    found = qs.evaluate(learner, tasks, 50, seed=4, executor=executor).by_class
    right, met, chances = counted(learner, tasks, 50, seed=4)
    assert {one.name for one in found.classes} == set(NAMES)
    for one in found.classes:
        mean, ci95 = interval(right[one.name])
        assert (one.tasks, one.queries) == (len(right[one.name]), 6 * len(right[one.name]))
        assert one.accuracy == pytest.approx(mean)
        assert one.ci95 == pytest.approx(ci95)
    assert {(one.name, one.taken_for): (one.times, one.chances, 6 * one.tasks) for one in found.confusions} == {
        pair: (times, chances[pair], chances[pair]) for pair, times in met.items() if times
    }
    accuracies = [one.accuracy for one in found.classes]
    assert accuracies == sorted(accuracies)
    assert {one.name for one in found.classes[:2]} == {"ant", "bee"}, "those that overlap"
    assert {found.confusions[0].name, found.confusions[0].taken_for} == {"ant", "bee"}
    assert found.confusions[0].share == found.confusions[0].times / found.confusions[0].chances > 0.15


def test_tasks_of_several_sizes_are_counted():
    learner, tasks = qs.NearestCentroid(), animals(ways=(2, 4), queries=(3, 9))
    found = qs.evaluate(learner, tasks, 60, seed=1).by_class
    _, met, chances = counted(learner, tasks, 60, seed=1)
    wrong = sum(one.times for one in found.confusions)
    assert wrong == sum(met.values())
    assert sum(one.queries * (1 - one.accuracy) for one in found.classes) == pytest.approx(wrong)
    for one in found.confusions:
        assert (one.times, one.chances) == (met[one.name, one.taken_for], chances[one.name, one.taken_for])


def test_an_interval_counts_tasks_and_not_queries():
    """Each task's queries of a class are all right or all wrong: 40 tasks of 6 are 40 coins, not 240."""
    counts = ClassCounts()
    batch = animals(ways=2).sample(40, generator=torch.Generator().manual_seed(0))
    fails = torch.arange(40)[:, None] % 2 == 0
    counts.add(batch, torch.where(fails, 1 - batch.query.y, batch.query.y), batch.query.y)
    for one in counts.result().classes:
        p, n = one.accuracy, one.tasks
        assert one.ci95 == pytest.approx(1.96 * math.sqrt(p * (1 - p) / (n - 1)))


def test_a_class_of_one_task_has_no_interval():
    counts = ClassCounts()
    batch = animals().sample(1, generator=torch.Generator().manual_seed(0))
    counts.add(batch, batch.query.y, batch.query.y)
    found = counts.result()
    assert all(math.isnan(one.ci95) and one.tasks == 1 for one in found.classes)
    assert "100.00 % (1 task)" in str(found)
    assert "no confusion" in str(found)
    assert [one["ci95"] for one in json.loads(json.dumps(found.to_dict(), allow_nan=False))["classes"]] == [None] * 3


def test_a_pair_that_met_once_does_not_lead():
    low = wilson_low(torch.tensor([1.0, 0.9, 0.0]), torch.tensor([2, 5, 10]))
    p, n, z = 1.0, 2, 1.96
    assert float(low[0]) == pytest.approx((p + z**2 / (2 * n) - z * math.sqrt(z**2 / (4 * n**2))) / (1 + z**2 / n))
    assert low[1] > low[0] > low[2] >= 0


def test_memory_is_that_of_the_classes_and_pairs():
    """However many tasks: the sums of five classes are 5 rows, of their 25 pairs 25."""
    counts, tasks = ClassCounts(), animals()
    for seed in range(600):
        batch = tasks.sample(20, generator=torch.Generator().manual_seed(seed % 3))
        counts.add(batch, batch.query.y, batch.query.y)
        held = [len(tally._keys) + sum(len(keys) for keys, _ in tally._waiting) for tally in (counts.classes, counts.pairs)]
        assert max(held) <= 2 * 65536
    assert len(counts.classes.sums()[0]) == 5
    assert len(counts.pairs.sums()[0]) == 25
    assert sum(one.queries for one in counts.result().classes) == 600 * 20 * 18


def test_a_tally_is_the_sum_by_key_in_any_order():
    generator = torch.Generator().manual_seed(0)
    keys, rows = torch.randint(50, (200_000,), generator=generator), torch.randint(9, (200_000, 2), generator=generator)
    tally = Tally(2)
    for part in torch.randperm(200_000, generator=generator).split(999):
        tally.add(keys[part], rows[part])
    found, sums = tally.sums()
    assert found.tolist() == list(range(50))
    assert torch.equal(sums, torch.stack([rows[keys == key].sum(0) for key in range(50)]))


def test_classes_of_two_sources_are_told_apart_by_name():
    counts = ClassCounts()
    other = animals()
    other.class_names = ["fox", *NAMES[1:]]
    for tasks in (animals(), other):
        batch = tasks.sample(20, generator=torch.Generator().manual_seed(0))
        counts.add(batch, batch.query.y, batch.query.y)
    found = {one.name: one.tasks for one in counts.result().classes}
    assert set(found) == {*NAMES, "fox"}
    assert found["ant"] == found["fox"] > 0


def test_names_of_a_target_that_is_the_same_in_all_tasks():
    x, y = torch.randn(60, 2), torch.arange(60) % 2
    target = qs.targets.Labels(2, names=("no", "yes"))
    tasks = qs.tasks.GroupTasks(x, y, torch.arange(60) // 20, names=["a", "b", "c"], shots=8, queries=8, target=target)
    found = qs.evaluate(qs.NearestCentroid(), tasks, 10).by_class
    assert {one.name for one in found.classes} == {"no", "yes"}
    assert sum(one.queries for one in found.classes) == 80


WORST = Metric("worst", lambda prediction, y, target: (prediction.argmax(-1) == y).double().min())
REFUSED = [
    (qs.tasks.Sinusoid(), qs.MAML(qs.models.mlp()), None, "tasks with targets"),
    (qs.tasks.GaussianClasses(ways=3), qs.NearestCentroid(), None, "tasks that do not say which classes they have"),
    (qs.tasks.Strokes(ways=2, classes=(3, 3, 3), size=8), qs.NearestCentroid(), ["loss"], "the learner's loss alone"),
]


@pytest.mark.parametrize(("tasks", "learner", "metrics", "got"), REFUSED, ids=[got for *_, got in REFUSED])
def test_without_classes_there_are_none(tasks, learner, metrics, got):
    evaluation = qs.evaluate(learner, tasks.test, 2, metrics=metrics)
    with pytest.raises(UnsupportedError, match=rf"`evaluation.by_class`: expected answers to .*, got {got}\. Evaluate on"):
        evaluation.by_class  # noqa: B018


def test_a_metric_of_ones_own_leaves_the_count():
    assert len(qs.evaluate(qs.NearestCentroid(), animals(), 30, metrics=[WORST]).by_class.classes) == 5


def test_an_episode_says_its_classes():
    tasks = animals()
    batch = tasks.sample(4, generator=torch.Generator().manual_seed(0))
    for index, names in enumerate(batch.class_names):
        task = batch[index]
        assert task.class_names == names
        assert f"classes={names}" in repr(task)
        for label, name in enumerate(names):
            own = task.support.x[task.support.y == label]
            assert all(bool((tasks.x[tasks.y == NAMES.index(name)] == x).all(1).any()) for x in own)
    assert batch[1:3].class_names == batch.class_names[1:3]
    assert batch[torch.tensor([3, 0])].class_names == [batch.class_names[3], batch.class_names[0]]
    assert batch.map(torch.Tensor.double).class_names == batch.class_names
    assert "3 of 5 classes" in repr(batch)
    assert Episode(batch[0].support, batch[0].query).class_names is None


def test_no_learner_sees_the_classes():
    """They are the truth about the queries' data: executors hand on tensors alone."""
    seen = []

    class Looks(qs.NearestCentroid):
        def outcome(self, episode, context, criterion=None):
            seen.append(episode.classes)
            return super().outcome(episode, context, criterion)

    qs.evaluate(Looks(), animals(), 4, metrics=["loss"], executor="loop")
    assert seen
    assert set(seen) == {None}


def test_augmentation_keeps_the_classes_or_drops_them():
    tasks, generator = animals(), torch.Generator().manual_seed(0)
    batch = tasks.sample(3, generator=generator)
    permuted = qs.tasks.PermuteLabels()(batch, generator)
    for before, after in ((batch[index], permuted[index]) for index in range(3)):
        old = [before.class_names[y] for y in before.query.y.tolist()]
        assert [after.class_names[y] for y in after.query.y.tolist()] == old
    assert any(a != b for a, b in zip(permuted.class_names, batch.class_names, strict=True))
    assert qs.tasks.FeatureNoise()(batch, generator).class_names == batch.class_names
    assert qs.tasks.MixTasks()(batch, generator).class_names is None


def test_described_classes_have_names():
    x, y = torch.randn(60, 8), torch.arange(60) // 10
    tasks = qs.tasks.DescribedTasks(x, y, torch.arange(6.0)[:, None], ways=3, queries=2, class_names=list("abcdef"))
    task = tasks.sample(2)[1]
    assert [list("abcdef")[int(v)] for v in task.support.x["description"]] == list(task.class_names)
