"""The prior over tables: its protocol, its parts against their definitions, and that there is something to learn in it."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.rows import seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value

from quickstudy.domains.tables import tabular_prior
from quickstudy.domains.tables.tabular_prior import (
    TabularPrior,
    an_order,
    class_frequencies,
    classes_by_largest,
    classes_by_rank,
    every_class,
    number_of_features,
    rbf,
)
from quickstudy.errors import ArgumentError
from quickstudy.learners.solve.ridge import ridge


@pytest.fixture(autouse=True)
def _one_thread(_global_state):
    torch.set_num_threads(1)


PRIOR = TabularPrior(ways=4, max_features=12, shots=6, queries=4)


def test_an_episode_has_the_shapes_of_its_protocol():
    episode, truth = PRIOR.train.sample_with_truth(200, generator=seeded())
    for part, each in ((episode.support, 6), (episode.query, 4)):
        assert part.x.shape == (200, 4 * each, 12)
        assert part.x.dtype == torch.float32
        assert part.y.shape == (200, 4 * each)
        assert part.ways == 4
        assert torch.isfinite(part.x).all()
    assert {name: tuple(value.shape) for name, value in truth.items()} == {
        "features": (200,),
        "gaussian": (200,),
        "root": (200,),
        "frequencies": (200, 4),
    }


def test_a_seed_repeats_and_the_splits_draw_other_tables():
    one, again = (PRIOR.train.sample(6, generator=seeded(4)) for _ in range(2))
    assert torch.equal(one.support.x, again.support.x)
    assert torch.equal(one.query.y, again.query.y)
    drawn = [part.sample(6, generator=seeded(4)).support.x for part in (PRIOR.train, PRIOR.validation, PRIOR.test)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.isclose(drawn[first], drawn[second]).all((1, 2)).any()
    before = torch.random.get_rng_state()
    assert not torch.equal(PRIOR.train.sample(2).query.x, PRIOR.train.sample(2).query.x)
    assert torch.equal(before, torch.random.get_rng_state())


def test_ranges_are_drawn_once_for_each_batch():
    tasks, generator = TabularPrior(ways=(2, 4), shots=(1, 3), queries=2).train, seeded()
    seen = {
        (e.support.ways, e.support.y.shape[1] // e.support.ways)
        for e in (tasks.sample(2, generator=generator) for _ in range(80))
    }
    assert seen == {(ways, shots) for ways in (2, 3, 4) for shots in (1, 2, 3)}


@pytest.mark.parametrize("shots", [1, 6])
def test_every_class_has_a_support_example(shots):
    """Control: the first rows as they come miss some."""
    episode = PRIOR.with_(shots=shots, queries=8).train.sample(300, generator=seeded())
    missing = lambda y: int((torch.nn.functional.one_hot(y, 4).sum(1) == 0).sum())
    assert missing(episode.support.y) == 0
    both = torch.cat([episode.support.y, episode.query.y], 1)
    assert missing(both.gather(1, torch.rand(both.shape).argsort(1))[:, : 4 * shots]) > 0


def test_columns_past_a_table_s_own_are_zero_and_the_others_vary():
    episode, truth = PRIOR.train.sample_with_truth(300, generator=seeded())
    x = torch.cat([episode.support.x, episode.query.x], 1)
    own = torch.arange(12) < truth["features"][:, None]
    assert (x.abs().amax(1)[~own] == 0).all()
    varies = x.std(1) > 0
    assert varies[own].double().mean() > 0.97  # a unit may be dead, a column rounded to one level
    torch.testing.assert_close(x.std(1, correction=0)[own & varies], torch.ones(int((own & varies).sum())), rtol=1e-3, atol=1e-3)
    assert (truth["features"].unique() == torch.arange(1, 13)).all()


def test_numbers_of_classes_say_nothing():
    """The largest class, and the support's first row, are each number as often as any other. Control: without renumbering the
    ranks of a target keep their order."""
    episode, truth = PRIOR.train.sample_with_truth(2000, generator=seeded())
    uneven = truth["frequencies"].max(1).values > 0.3
    assert p_value(torch.bincount(truth["frequencies"].argmax(1)[uneven], minlength=4)) > UNIFORM
    assert p_value(torch.bincount(episode.support.y[:, 0], minlength=4)) > UNIFORM
    column = torch.cat([episode.support.x, episode.query.x], 1)[..., 0]
    y = torch.cat([episode.support.y, episode.query.y], 1)
    assert abs(float(((column - column.mean(1, keepdim=True)) * y).mean())) < 0.02
    ranked = classes_by_rank(column, truth["frequencies"])
    assert float(((column - column.mean(1, keepdim=True)) * ranked).mean()) > 0.3


def test_frequencies_are_those_of_the_table():
    """Equal for a third of the tables; elsewhere a frequent class has more examples."""
    frequencies = class_frequencies(6000, 4, seeded())
    torch.testing.assert_close(frequencies.sum(1), torch.ones(6000))
    equal = ((frequencies - 0.25).abs() < 1e-6).all(1)
    assert p_value(torch.tensor([int(equal.sum())] + [int((~equal).sum()) // 2] * 2)) > UNIFORM
    episode, truth = PRIOR.with_(shots=30).train.sample_with_truth(400, generator=seeded())
    share = torch.nn.functional.one_hot(episode.support.y, 4).double().mean(1)
    assert torch.corrcoef(torch.stack([share.flatten(), truth["frequencies"].double().flatten()]))[0, 1] > 0.6


@given(seed=st.integers(0, 2**31), ways=st.integers(2, 6))
def test_ranks_fill_their_quantiles(seed, ways):
    frequencies = class_frequencies(3, ways, seeded(seed))
    t = torch.randn(3, 400, generator=seeded(seed))
    y = classes_by_rank(t, frequencies)
    counts = torch.nn.functional.one_hot(y, ways).sum(1)
    assert ((counts - 400 * frequencies).abs() <= 1.01).all()
    order = t.argsort(1)
    assert (y.gather(1, order).diff(dim=1) >= 0).all()  # larger targets, later classes


def test_the_largest_target_wins():
    t, even = torch.randn(3, 50, 4), torch.full((3, 4), 0.25)
    scaled = (t - t.mean(1, keepdim=True)) / t.std(1, keepdim=True, correction=0)
    assert torch.equal(classes_by_largest(t, even), scaled.argmax(-1))
    rare = torch.tensor([[0.97, 0.01, 0.01, 0.01]]).expand(3, 4)
    assert (classes_by_largest(t, rare) == 0).sum() > (classes_by_largest(t, even) == 0).sum()


@given(seed=st.integers(0, 2**31), ways=st.integers(1, 6), spare=st.integers(0, 9))
def test_a_class_without_rows_gets_one_and_the_others_keep_theirs(seed, ways, spare):
    y = torch.randint(ways, (5, ways + spare), generator=seeded(seed)) // 2
    got = every_class(y, torch.rand(5, ways + spare, ways, generator=seeded(seed)))
    counts = torch.nn.functional.one_hot(got, ways).sum(1)
    assert (counts >= 1).all()
    missing = (torch.nn.functional.one_hot(y, ways).sum(1) == 0).sum(1)
    assert torch.equal((got != y).sum(1), missing)


@given(seed=st.integers(0, 2**31), own=st.integers(4, 9))
def test_the_order_is_one_and_puts_every_class_first(seed, own):
    y = torch.cat([torch.arange(4), torch.randint(4, (6,), generator=seeded(seed))]).expand(3, 10)
    order = an_order(y, 4, own, seeded(seed))
    assert torch.equal(order.sort(1).values, torch.arange(10).expand(3, 10))  # no row in both support and query
    assert (torch.nn.functional.one_hot(y.gather(1, order)[:, :own], 4).sum(1) > 0).all()


def test_the_support_s_own_order_is_uniform():
    y = torch.tensor([0, 1, 2, 2, 2, 2]).expand(6000, 6)
    order = an_order(y, 3, 4, seeded())
    assert p_value(torch.bincount((order[:, :4] == 0).nonzero()[:, 1], minlength=4)) > UNIFORM
    assert p_value(torch.bincount((order[:, :5] == 2).nonzero()[:, 1], minlength=5)[:4]) > UNIFORM


def test_the_process_has_its_kernel_s_covariance(monkeypatch):
    """The targets of one table, drawn anew 4000 times with the inputs held: their covariance is k(x, x) + s^2 I.

    Control: a kernel of half the length scale misses by far.
    """
    kernels, targets = [], []
    monkeypatch.setattr(tabular_prior, "rbf", lambda x: kernels.append(rbf(x)) or rbf(x))
    factor = torch.linalg.cholesky
    monkeypatch.setattr(torch.linalg, "cholesky", lambda K: targets.append(factor(K)) or factor(K))
    columns, even = torch.full((1,), 3), torch.full((1, 2), 0.5)
    tabular_prior.gaussian_tables(columns, even, 6, 3, seeded())
    drawn = targets[0][0] @ torch.randn(6, 4000, generator=seeded(1))
    found, kernel = drawn @ drawn.T / 4000, kernels[0][0]
    noise = targets[0][0] @ targets[0][0].T - kernel
    torch.testing.assert_close(noise, noise[0, 0] * torch.eye(6), atol=1e-5, rtol=0)
    assert 0.9e-4 < noise[0, 0] < 0.11
    assert (found - kernel - noise).abs().max() < 0.12
    assert (found - kernel**4).abs().max() > 0.2


def test_kernel_is_that_of_its_distance():
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(rbf(x), torch.exp(-0.5 * torch.cdist(x, x) ** 2), atol=1e-5, rtol=1e-5)


def accuracy_of_ridge(x, y, asked, wanted):
    weights, bias = ridge(x, torch.nn.functional.one_hot(y, 3).float(), 3.0, intercept=True)
    return ((asked @ weights + bias).argmax(1) == wanted).float().mean()


@pytest.mark.parametrize("kind", ["gaussian", "root", "other"])
def test_there_is_something_to_learn_in_every_kind_of_table(kind):
    """A linear classifier beats the largest class by 4 standard errors. Control: with the labels of the support shuffled it
    does not."""
    episode, truth = TabularPrior(ways=3, shots=15, queries=10).train.sample_with_truth(500, generator=seeded())
    gaussian, root = truth["gaussian"] > 0, truth["root"] > 0
    these = {"gaussian": gaussian, "root": root, "other": ~gaussian & ~root}[kind].nonzero()[:, 0]
    assert len(these) > 50
    gains = {"as it is": [], "shuffled": []}
    for t in these:
        s, q = episode[t].support, episode[t].query
        most = (q.y == s.y.mode().values).float().mean()
        gains["as it is"].append(accuracy_of_ridge(s.x, s.y, q.x, q.y) - most)
        gains["shuffled"].append(accuracy_of_ridge(s.x, s.y[torch.randperm(len(s))], q.x, q.y) - most)
    mean, error = lambda name: torch.stack(gains[name]).mean(), lambda name: torch.stack(gains[name]).std() / len(these) ** 0.5
    assert mean("as it is") > 4 * error("as it is")
    assert mean("shuffled") < error("shuffled")


def test_features_are_from_one_to_the_most():
    for most in (1, 2, 12):
        count = number_of_features(4000, most, seeded())
        assert (count.unique() == torch.arange(1, most + 1)).all()
    middle = torch.bincount(number_of_features(4000, 12, seeded()), minlength=13)[3:13]
    assert p_value(middle) > UNIFORM
    assert p_value(torch.bincount(number_of_features(4000, 12, seeded()), minlength=13)[1:13]) < BIASED


def test_more_than_300_tables_a_second():
    tasks, generator = TabularPrior().train, seeded()
    tasks.sample(16, generator=generator)
    began = time.process_time()  # of this process: what else runs on the machine does not count
    for _ in range(15):
        tasks.sample(16, generator=generator)
    assert 15 * 16 / (time.process_time() - began) > 300


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"ways": 1}, r"`ways`: expected 2 or more, got 1"),
        ({"ways": (1, 5)}, r"`ways`: expected 2 or more, got \(1, 5\)"),
        ({"shots": 0}, r"`shots`: expected 1 or more, got 0"),
        ({"queries": 0}, r"`queries`: expected an int of 1 or more"),
        ({"max_features": 0}, r"`max_features`: expected 1 or more, got 0"),
        ({"gaussian": 1.5}, r"`gaussian`: expected a share in \[0, 1\], got 1\.5"),
    ],
)
def test_protocols_that_are_none(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        TabularPrior(**arguments)
