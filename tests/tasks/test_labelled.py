"""What every episode of labelled data must be, whatever the data and the protocol."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.rows import numbered, overlap, seeded
from torch.utils._python_dispatch import TorchDispatchMode

import quickstudy as qs
from quickstudy.tasks import LabelledTasks

SIZES = st.integers(1, 3)


@st.composite
def protocols(draw: st.DrawFn) -> dict:
    """The arguments of `numbered`: classes of unequal sizes, and a protocol that they can just about meet."""
    shots, queries = draw(SIZES), draw(SIZES)
    counts = draw(st.lists(st.integers(shots + queries, 9), min_size=1, max_size=7))
    return {"counts": counts, "ways": draw(st.integers(1, len(counts))), "shots": shots, "queries": queries}


@given(protocol=protocols(), n=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_an_episode_is_what_its_protocol_says(protocol: dict, n: int, seed: int):
    tasks = numbered(**protocol)
    episode = tasks.sample(n, generator=seeded(seed))
    ways, shots, queries = tasks.ways, tasks.shots, tasks.queries
    assert (episode.support.ways, episode.query.ways) == (ways, ways)
    assert episode.support.x.shape == episode.support.y.shape == (n, ways * shots)
    assert episode.query.x.shape == episode.query.y.shape == (n, ways * queries)
    assert episode.support.y.dtype == episode.query.y.dtype == torch.int64
    for part, each in ((episode.support, shots), (episode.query, queries)):
        assert torch.equal(part.y.sort(1).values, torch.arange(ways).repeat_interleave(each).expand(n, -1))
    assert overlap(episode) == 0


@given(protocol=protocols(), seed=st.integers(0, 2**31))
def test_a_label_is_one_class_in_support_and_query(protocol: dict, seed: int):
    tasks = numbered(**protocol)
    episode = tasks.sample(3, generator=seeded(seed))
    for task in range(3):
        one = episode[task]
        labels = torch.cat([one.support.y, one.query.y]).tolist()
        classes = tasks.y[torch.cat([one.support.x, one.query.x])].tolist()
        assert len(set(zip(labels, classes, strict=True))) == len(set(labels)) == len(set(classes)) == tasks.ways


@given(protocol=protocols(), seed=st.integers(0, 2**31))
def test_a_seed_repeats_and_another_does_not(protocol: dict, seed: int):
    tasks = numbered(**protocol)
    first, again, other = (tasks.sample(50, generator=seeded(s)) for s in (seed, seed, seed + 1))
    for part in ("support", "query"):
        assert torch.equal(getattr(first, part).x, getattr(again, part).x)
        assert torch.equal(getattr(first, part).y, getattr(again, part).y)
    assert len(tasks.y) < 4 or not torch.equal(first.support.x, other.support.x)


def test_a_leak_is_caught():
    """The control: episodes whose query repeats the support."""

    class Leaky(LabelledTasks):
        def sample(self, n, *, generator=None):
            episode = super().sample(n, generator=generator)
            return qs.Episode(episode.support, episode.support)

    tasks = numbered([6, 6, 6], ways=2, shots=2, queries=2)
    leaky = Leaky(tasks.x, tasks.y, ways=2, shots=2, queries=2)
    assert overlap(tasks.sample(5, generator=seeded())) == 0
    assert overlap(leaky.sample(5, generator=seeded())) == 5 * 4


def test_without_a_generator_every_call_differs_and_the_global_one_is_left_alone():
    tasks, before = numbered([20] * 20, ways=5), torch.random.get_rng_state()
    assert not torch.equal(tasks.sample(4).query.x, tasks.sample(4).query.x)
    assert torch.equal(before, torch.random.get_rng_state())


def test_ranges_are_drawn_once_for_each_batch_and_reach_both_ends():
    tasks = numbered([9] * 6, ways=(2, 4), shots=(1, 3), queries=(2, 5))
    generator, seen = seeded(), set()
    for _ in range(200):
        episode = tasks.sample(2, generator=generator)
        ways = episode.support.ways
        seen |= {("ways", ways), ("shots", episode.support.y.shape[1] // ways), ("queries", episode.query.y.shape[1] // ways)}
    assert seen == {("ways", w) for w in (2, 3, 4)} | {("shots", s) for s in (1, 2, 3)} | {("queries", q) for q in (2, 3, 4, 5)}
    assert tasks.protocol == {"ways": (2, 4), "shots": (1, 3), "queries": (2, 5)}


def test_zero_shots_give_an_empty_support():
    episode = numbered([4, 4], ways=2, shots=0, queries=3).sample(2, generator=seeded())
    assert episode.support.x.shape == (2, 0)
    assert episode.query.x.shape == (2, 6)


def test_bytes_stay_bytes_in_memory_and_become_floats_in_episodes():
    x = torch.randint(0, 256, (40, 1, 5, 5), dtype=torch.uint8, generator=seeded())
    tasks = LabelledTasks(x, torch.arange(40) % 4, ways=2, queries=3)
    episode = tasks.sample(3, generator=seeded())
    assert tasks.x.dtype == torch.uint8
    assert episode.query.x.dtype == torch.float32
    assert episode.query.x.shape == (3, 6, 1, 5, 5)
    rows = {tuple(row) for row in x.flatten(1).tolist()}
    assert all(tuple(row) in rows for row in (episode.query.x * 255).round().int().flatten(0, 1).flatten(1).tolist())
    assert torch.equal(tasks.examples().x, x.float() / 255)


def test_other_dtypes_stay_as_they_are():
    for dtype in (torch.float64, torch.float32, torch.int64, torch.bool):
        x = torch.ones(12, 2, dtype=dtype)
        assert LabelledTasks(x, torch.arange(12) % 3, ways=2, queries=2).sample(1).query.x.dtype == dtype


def test_with_is_the_same_data_under_another_protocol():
    tasks = numbered([9] * 6, ways=2, shots=1, queries=2)
    other = tasks.with_(ways=3, shots=4)
    assert other.x.data_ptr() == tasks.x.data_ptr()
    assert other.protocol == {"ways": 3, "shots": 4, "queries": 2}
    assert tasks.protocol == {"ways": 2, "shots": 1, "queries": 2}
    assert other.sample(1).support.x.shape == (1, 12)


def test_examples_are_all_data_with_global_labels():
    tasks = numbered([3, 5, 4], ways=2, queries=2)
    pool = tasks.examples()
    assert (len(pool), pool.ways) == (12, 3)
    assert torch.equal(pool.y, tasks.y)
    assert tasks.class_names == ["0", "1", "2"]


def test_small_labels_are_widened():
    tasks = LabelledTasks(torch.zeros(6), torch.tensor([0, 1, 2] * 2, dtype=torch.int32), ways=2, queries=1)
    assert tasks.examples().y.dtype == torch.int64


def test_to_moves_the_data():
    moved = numbered([3, 3], ways=2, queries=2).to("meta")
    assert moved.x.device.type == moved.y.device.type == "meta"
    assert moved.sample(2, generator=seeded()).query.y.device.type == "meta"


def test_only_keeps_some_classes_under_their_names():
    tasks = LabelledTasks(torch.arange(12), torch.arange(12) % 4, ways=2, queries=2, class_names=list("abcd"))
    part = tasks.only([3, 1])
    assert part.class_names == ["d", "b"]
    assert part.x.tolist() == [3, 7, 11, 1, 5, 9]
    assert part.y.tolist() == [0, 0, 0, 1, 1, 1]


def test_its_repr_says_what_it_is():
    assert (
        repr(numbered([3, 3], ways=2, queries=(1, 2)))
        == "LabelledTasks(2 classes, 6 examples of shape (), ways=2, shots=1, queries=(1, 2))"
    )


class Operations(TorchDispatchMode):
    """Counts the operations that torch runs."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_a_batch_takes_as_many_operations_as_one_episode():
    """No loop over tasks, nor over classes. (Episodes a second are for the benchmarks.)"""
    operations = []
    for n, ways in ((1, 2), (64, 2), (64, 20)):
        with Operations() as counter:
            numbered([20] * 30).with_(ways=ways).sample(n, generator=seeded())
        operations.append(counter.count)
    assert len(set(operations)) == 1
    assert 20 < operations[0] < 200


@pytest.mark.parametrize("n", [0, -1])
def test_a_batch_has_at_least_one_episode(n: int):
    with pytest.raises(
        qs.errors.ArgumentError, match=rf"`sample\(n\)`: expected 1 episode or more, got {n}\. Ask for at least one"
    ):
        numbered([3, 3], ways=2, queries=2).sample(n)
