"""Tasks from a formula: their truth, their exact answers, and that one seed never gives the splits the same tasks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.rows import seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value

import quickstudy as qs
from quickstudy.errors import ArgumentError
from quickstudy.tasks import GaussianClasses, Quadratic, Sinusoid, bayes_accuracy, half_squares, quadratic_of
from quickstudy.tasks.synthetic.gaussian_classes import orthonormal

FAMILIES = {"sinusoid": Sinusoid(), "quadratic": Quadratic(), "gaussian": GaussianClasses()}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> qs.tasks.TaskFamily:
    return FAMILIES[request.param]


def test_a_seed_repeats_and_the_splits_never_draw_the_same_task(family):
    same = [family.test.sample(20, generator=seeded(4)).support.x for _ in range(2)]
    assert torch.equal(*same)
    inputs = [part.sample(20, generator=seeded(4)).support.x for part in (family.train, family.validation, family.test)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        one, other = (set(inputs[part].flatten().tolist()) for part in (first, second))
        by_chance = len(one) / 100  # a float32 of thousands is met again; which one differs between processors
        assert len(one & other) < by_chance or family is FAMILIES["sinusoid"]
        assert not torch.isclose(inputs[first], inputs[second], atol=1e-6).all(dim=tuple(range(1, inputs[0].ndim))).any()


def test_without_a_generator_every_call_differs_and_the_global_one_is_left_alone(family):
    before = torch.random.get_rng_state()
    assert not torch.equal(family.train.sample(2).query.x, family.train.sample(2).query.x)
    assert torch.equal(before, torch.random.get_rng_state())


def test_ranges_protocol_device_and_repr(family):
    other = family.with_(shots=(2, 4), queries=3).train
    shots = {other.sample(2, generator=seeded(seed)).support.y.shape[1] // (other.ways or 1) for seed in range(40)}
    assert shots == {2, 3, 4}
    assert other.protocol == {"ways": other.ways, "shots": (2, 4), "queries": 3}
    assert other.to("meta").sample(2).query.x.device.type == "meta"
    assert "'train'" in repr(other)
    assert "shots=(2, 4), queries=3" in repr(other)
    with pytest.raises(ArgumentError, match=r"`sample\(n\)`: expected 1 episode or more"):
        other.sample(0)
    with pytest.raises(ArgumentError, match=r"`queries`: expected an int of 1 or more"):
        other.with_(queries=0)


def test_pooled_examples_repeat_and_come_from_many_tasks(family):
    pool, again = family.train.examples(), family.train.examples()
    assert torch.equal(pool.x, again.x)
    assert len(pool) > 10_000
    assert not torch.equal(pool.x, family.test.examples().x)


@pytest.mark.parametrize("name", ["sinusoid", "quadratic"])
def test_targets_have_no_ways(name: str):
    with pytest.raises(
        ArgumentError, match=r"`ways`: expected nothing: \w+Tasks have targets and no classes, got 5\. Leave `ways` out"
    ):
        FAMILIES[name].with_(ways=5)


def test_a_sinusoid_is_its_amplitude_and_phase():
    episode, truth = Sinusoid(shots=7).train.sample_with_truth(500, generator=seeded())
    amplitude, phase = truth["amplitude"][:, None, None], truth["phase"][:, None, None]
    for part, each in ((episode.support, 7), (episode.query, 10)):
        assert part.x.shape == part.y.shape == (500, each, 1)
        assert part.x.dtype == part.y.dtype == torch.float32
        assert part.ways is None
        assert part.x.abs().max() <= 5
        torch.testing.assert_close(part.y, amplitude * torch.sin(part.x - phase))
    for value, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, math.pi), (episode.query.x, -5.0, 5.0)):
        assert low <= value.min() < value.max() <= high
        share = ((value.flatten() - low) / (high - low) * 10).long().clamp(max=9)
        assert p_value(torch.bincount(share, minlength=10)) > UNIFORM
        assert p_value(torch.bincount((share / 1.5).long(), minlength=10)) < BIASED


@given(seed=st.integers(0, 2**31), dim=st.integers(1, 5))
def test_the_loss_of_a_quadratic_task_is_that_quadratic(seed: int, dim: int):
    """half_squares(X t, y) = 1/2 ||X (t - c)||^2 = 1/2 (t - c)' X'X (t - c), for t anywhere."""
    tasks = Quadratic(dim, shots=dim + 3, queries=dim + 2, dtype=torch.float64).train
    episode, truth = tasks.sample_with_truth(2, generator=seeded(seed))
    for task in range(2):
        for part, A, c in ((episode[task].support, "A", "c"), (episode[task].query, "B", "d")):
            t = torch.randn(dim, generator=seeded(seed), dtype=torch.float64)
            curvature, minimum = truth[A][task], truth[c][task]
            expected = (t - minimum) @ curvature @ (t - minimum) / 2
            torch.testing.assert_close(half_squares(part.x @ t[:, None], part.y), expected)
            gradient = torch.func.grad(lambda t, part=part: half_squares(part.x @ t[:, None], part.y))(t)
            torch.testing.assert_close(gradient, curvature @ (t - minimum))
    torch.testing.assert_close(quadratic_of(episode.support)[0], truth["A"])


def test_curvature_and_minimum_are_read_off_the_examples():
    episode, truth = Quadratic(3, dtype=torch.float64).test.sample_with_truth(5, generator=seeded())
    for part, A, c in ((episode.support, "A", "c"), (episode.query, "B", "d")):
        found_A, found_c = quadratic_of(part)
        torch.testing.assert_close(found_A, truth[A])
        torch.testing.assert_close(found_c, truth[c])
    assert not torch.isclose(truth["c"], truth["d"]).any()
    one = quadratic_of(episode[2].support)
    torch.testing.assert_close(one[1], truth["c"][2])


def test_a_linear_network_descends_as_the_formula_says():
    """t_k = c + (I - aA)^k (phi - c); with the query's curvature in A's place it does not."""
    episode, truth = Quadratic(3, dtype=torch.float64).train.sample_with_truth(1, generator=seeded())
    support, phi, a, k = episode[0].support, torch.ones(3, dtype=torch.float64), 0.3, 4
    t = phi
    for _ in range(k):
        t = t - a * torch.func.grad(lambda t: half_squares(support.x @ t[:, None], support.y))(t)

    def formula(A: torch.Tensor) -> torch.Tensor:
        M = torch.linalg.matrix_power(torch.eye(3, dtype=torch.float64) - a * A, k)
        return truth["c"][0] + M @ (phi - truth["c"][0])

    torch.testing.assert_close(t, formula(truth["A"][0]))
    assert (t - formula(truth["B"][0])).norm() > 0.05


def test_a_shift_of_zero_gives_support_and_query_one_minimum():
    _, truth = Quadratic(3, shift=0.0).train.sample_with_truth(2, generator=seeded())
    assert torch.equal(truth["c"], truth["d"])


def test_a_dimension_below_one():
    with pytest.raises(ArgumentError, match=r"`dim`: expected 1 or more, got 0\. Give for example dim=4"):
        Quadratic(0)


def test_gaussian_classes_have_orthogonal_means_and_unit_noise():
    episode, truth = GaussianClasses(4, 6, separation=2.5, shots=50).train.sample_with_truth(40, generator=seeded())
    means = truth["means"]
    gram = means @ means.mT
    torch.testing.assert_close(gram, 2.5**2 * torch.eye(4).expand_as(gram), atol=1e-4, rtol=0)
    noise = episode.support.x - means.gather(1, episode.support.y[..., None].expand_as(episode.support.x))
    count = noise.numel()
    assert abs(noise.mean()) < 4 / count**0.5
    assert abs(noise.var() - 1) < 4 * (2 / count) ** 0.5
    assert torch.equal(episode.support.y.sort(1).values, torch.arange(4).repeat_interleave(50).expand(40, -1))
    assert p_value(torch.bincount(episode.support.y[:, :3].flatten(), minlength=4)) > UNIFORM


def test_directions_are_uniform_only_with_the_signs_of_qr():
    """Each coordinate of a uniform direction is as often positive as negative; LAPACK's own Q is not."""
    directions = orthonormal(4000, 2, 3, generator=seeded())
    plain = torch.linalg.qr(torch.randn(4000, 3, 2, generator=seeded()))[0].mT
    for vector in range(2):
        for coordinate in range(3):
            positive = int((directions[:, vector, coordinate] > 0).sum())
            assert p_value(torch.tensor([positive, 4000 - positive])) > UNIFORM
    positive = int((plain[:, 0, 0] > 0).sum())
    assert p_value(torch.tensor([positive, 4000 - positive])) < BIASED


@pytest.mark.parametrize(("ways", "separation"), [(2, 1.0), (5, 2.0), (7, 0.5)])
def test_who_knows_the_means_reaches_the_bayes_accuracy_and_who_sees_one_shot_does_not(ways: int, separation: float):
    tasks = GaussianClasses(ways, 8, separation=separation).test
    episode, truth = tasks.sample_with_truth(3000, generator=seeded())

    def accuracy(means: torch.Tensor) -> tuple[float, float]:
        scores = ((episode.query.x @ means.mT).argmax(-1) == episode.query.y).double().mean(1)
        return float(scores.mean()), float(4 * scores.std() / len(scores) ** 0.5)

    best = bayes_accuracy(ways, separation)
    known, error = accuracy(truth["means"])
    assert abs(known - best) < error
    shots = torch.zeros_like(truth["means"]).scatter_(
        1, episode.support.y[..., None].expand_as(episode.support.x), episode.support.x
    )
    seen, error = accuracy(shots)
    assert seen + error < best


def test_bayes_accuracy_where_it_is_known():
    for separation in (0.0, 0.7, 3.0):
        closed = 0.5 * (1 + math.erf(separation / 2))  # Phi(separation / sqrt 2) for two ways
        assert bayes_accuracy(2, separation) == pytest.approx(closed, abs=1e-13)
    assert bayes_accuracy(5, 0.0) == pytest.approx(1 / 5, abs=1e-13)
    assert bayes_accuracy(1, 2.0) == pytest.approx(1.0, abs=1e-13)
    assert bayes_accuracy(5, 30.0) == pytest.approx(1.0, abs=1e-13)


def test_pooled_gaussian_classes_are_numbered_on():
    pool = GaussianClasses(3, 4, queries=2).train.examples()
    assert pool.ways == 6000
    assert torch.equal(torch.bincount(pool.y), torch.full((6000,), 2))


def test_more_gaussian_classes_than_dimensions():
    message = r"`ways=5`: expected at most dim=4, for there are no more orthonormal means, got 5\. Lower `ways`, or raise `dim`"
    with pytest.raises(ArgumentError, match=message):
        GaussianClasses(5, 4)
    with pytest.raises(ArgumentError, match=r"expected at most dim=16"):
        GaussianClasses().train.with_(ways=(2, 17))
