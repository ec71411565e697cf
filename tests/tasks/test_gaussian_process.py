"""Gaussian-process tasks: their protocol, their covariance, and the exact posterior against the joint Gaussian."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.rows import seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value
from torch.distributions import MultivariateNormal, Normal

from quickstudy.errors import ArgumentError
from quickstudy.tasks.synthetic.gaussian_process import KERNELS, GaussianProcess, covariance, log_likelihood, noisy, posterior

PRIOR = GaussianProcess(shots=6, queries=4)


@pytest.fixture(autouse=True)
def _one_thread(_global_state):
    torch.set_num_threads(1)


def fixed(n, kernel="rbf", **numbers):
    """The truth of n tasks of one kernel."""
    values = {"length": 0.5, "period": 2.0, "scale": 1.5, "noise": 0.1, **numbers}
    return {"kernel": torch.full((n,), list(KERNELS).index(kernel))} | {k: torch.full((n,), v) for k, v in values.items()}


def test_an_episode_has_the_shapes_of_its_protocol():
    episode, truth = PRIOR.train.sample_with_truth(300, generator=seeded())
    for part, each in ((episode.support, 6), (episode.query, 4)):
        assert part.x.shape == part.y.shape == (300, each, 1)
        assert part.x.dtype == part.y.dtype == torch.float32
        assert part.ways is None
        assert part.x.abs().max() <= 2
    assert {name: tuple(value.shape) for name, value in truth.items()} == dict.fromkeys(
        ("kernel", "length", "period", "scale", "noise"), (300,)
    )
    for name, (low, high) in PRIOR.train.ranges.items():
        assert low <= truth[name].min() < truth[name].max() <= high
        share = ((truth[name] / low).log() / math.log(high / low) * 5).long().clamp(max=4)
        assert p_value(torch.bincount(share, minlength=5)) > UNIFORM
    assert p_value(torch.bincount(truth["kernel"], minlength=3)) > UNIFORM
    assert p_value(torch.bincount(truth["kernel"] // 2, minlength=2)) < BIASED


def test_a_seed_repeats_and_the_splits_draw_other_functions():
    parts = (PRIOR.train, PRIOR.validation, PRIOR.test)
    one, again = (PRIOR.train.sample(6, generator=seeded(4)) for _ in range(2))
    assert torch.equal(one.support.x, again.support.x)
    assert torch.equal(one.query.y, again.query.y)
    drawn = [part.sample(6, generator=seeded(4)).support.x for part in parts]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.isclose(drawn[first], drawn[second]).all((1, 2)).any()
    before = torch.random.get_rng_state()
    assert not torch.equal(PRIOR.train.sample(2).query.x, PRIOR.train.sample(2).query.x)
    assert torch.equal(before, torch.random.get_rng_state())


def test_ranges_protocol_and_pool():
    tasks = PRIOR.with_(shots=(2, 4), queries=3).train
    generator = seeded()
    assert {tasks.sample(2, generator=generator).support.y.shape[1] for _ in range(40)} == {2, 3, 4}
    assert tasks.protocol == {"ways": None, "shots": (2, 4), "queries": 3}
    pool = tasks.examples()
    assert pool.x.shape == pool.y.shape == (6000, 1)
    assert torch.equal(pool.x, tasks.examples().x)
    with pytest.raises(ArgumentError, match=r"`ways`: expected nothing: GaussianProcessTasks have targets"):
        PRIOR.with_(ways=5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_drawn_functions_have_the_covariance_of_their_kernel(kernel):
    """E[y_i y_j] over functions whose points are moved to one grid, by distance. Control: another kernel's covariance."""
    numbers = {"length": (0.5, 0.5), "period": (2.0, 2.0), "scale": (1.5, 1.5), "noise": (0.1, 0.1)}
    tasks = GaussianProcess(shots=1, queries=1, kernels=(kernel,), **numbers).train
    episode, truth = tasks.sample_with_truth(40_000, generator=seeded())
    r = (episode.support.x - episode.query.x).flatten()
    product = (episode.support.y * episode.query.y).flatten().double()
    error = product - covariance(episode.support.x, episode.query.x, truth).flatten()
    bins = (r.abs() / 0.25).long().clamp(max=11)
    z = lambda error: max(abs(float(e.mean())) / float(e.std()) * len(e) ** 0.5 for e in (error[bins == b] for b in range(12)))
    assert z(error) < 4
    other = {"rbf": "periodic", "matern": "periodic", "periodic": "rbf"}[kernel]
    wrong = fixed(len(r), other)
    assert z(product - covariance(episode.support.x, episode.query.x, wrong).flatten()) > 8
    assert float(episode.support.y.double().var()) == pytest.approx(1.5**2 + 0.1**2, rel=0.04)


def test_kernels_where_they_are_known():
    """At 0, after a period, in MacKay's form, and by their curvature at 0: -1/length^2, and -5/(3 length^2) for Matern 5/2."""
    r = torch.arange(-30, 31, dtype=torch.float64) / 10
    length, period = torch.tensor(0.7, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64)
    for kernel in KERNELS.values():
        k = kernel(r, length, period)
        torch.testing.assert_close(k, k.flip(0))
        assert k[30] == k.max() == 1
    again = KERNELS["periodic"](r + period, length, period)
    torch.testing.assert_close(again, KERNELS["periodic"](r, length, period))
    mackay = torch.exp(-2 * torch.sin(math.pi * r / period) ** 2 / (2 * math.pi * length / period) ** 2)
    torch.testing.assert_close(KERNELS["periodic"](r, length, period), mackay)
    for name in ("rbf", "matern"):
        h = 1e-3
        at = lambda r, name=name: float(KERNELS[name](torch.tensor(r, dtype=torch.float64), length, period))
        curvature = (at(h) - 2 * at(0.0) + at(-h)) / h**2
        want = {"rbf": -1 / 0.49, "matern": -5 / (3 * 0.49)}[name]
        assert curvature == pytest.approx(want, rel=1e-2)


@given(seed=st.integers(0, 2**31), shots=st.integers(1, 8))
def test_posterior_is_the_conditional_of_the_joint_gaussian(seed, shots):
    """log p(query | support) = log p(query, support) - log p(support), for one query. Control: without the noise."""
    episode, truth = PRIOR.with_(shots=shots, queries=1).test.sample_with_truth(5, generator=seeded(seed))
    x = torch.cat([episode.support.x, episode.query.x], 1)
    y = torch.cat([episode.support.y, episode.query.y], 1)[..., 0].double()
    K = noisy(covariance(x, x, truth), truth)
    density = lambda K, y: MultivariateNormal(torch.zeros_like(y), K).log_prob(y)
    want = density(K, y) - density(K[:, :-1, :-1], y[:, :-1])
    got = log_likelihood(episode, truth)[:, 0]
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    wrong = log_likelihood(episode, truth | {"noise": 3 * truth["noise"]})[:, 0]
    assert not torch.allclose(wrong, want, rtol=1e-4)


def test_who_knows_the_truth_does_best_and_is_calibrated():
    """Against the prior alone, and against a wrong length: on average over tasks, by far more than the error."""
    episode, truth = GaussianProcess(shots=10, queries=20).test.sample_with_truth(2000, generator=seeded())
    best = log_likelihood(episode, truth).mean(1)
    prior = Normal(0.0, (truth["scale"] ** 2 + truth["noise"] ** 2).sqrt().double()[:, None])
    without = prior.log_prob(episode.query.y[..., 0].double()).mean(1)
    wrong = log_likelihood(episode, truth | {"length": 2 * truth["length"]}).mean(1)
    for other in (without, wrong):
        gain = best - other
        assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5
    mean, std = posterior(episode.support, episode.query.x, truth)
    z = (episode.query.y.double() - mean) / std
    assert float((z**2).mean()) == pytest.approx(1, abs=0.05)
    assert float((z.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kernels": ("linear",)}, r"`kernels`: expected one or more of \['rbf', 'matern', 'periodic'\], got \('linear',\)"),
        ({"kernels": ()}, r"`kernels`: expected one or more"),
        ({"noise": (0.0, 0.1)}, r"`noise`: expected a range \(low, high\), 0 < low <= high, got \(0\.0, 0\.1\)"),
        ({"length": (2.0, 1.0)}, r"`length`: expected a range"),
        ({"queries": 0}, r"`queries`: expected an int of 1 or more"),
    ],
)
def test_what_is_no_process(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        GaussianProcess(**arguments)
