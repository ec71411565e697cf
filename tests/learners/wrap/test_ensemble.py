"""Ensemble against its equations and against its members one by one; the checkpoints that meta_train keeps."""

from functools import partial

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

TASKS = qs.tasks.GaussianClasses(ways=3, dim=6)
STEPS = {"steps": 12, "tasks_per_step": 4, "validate_every": 2, "validation_episodes": 20, "executor": "vmap", "progress": False}


def maml(seed=0, **more):
    torch.manual_seed(seed)
    return qs.MAML(qs.models.mlp(6, 3, hidden=(8,)), inner_lr=0.3, inner_steps=2, **more)


def curve(seed=0):
    torch.manual_seed(seed)
    return qs.MAML(qs.models.mlp(1, 1, hidden=(8,)), inner_lr=0.02, inner_steps=2)


def kept(members=3, build=maml):
    return [build(seed).state_dict() for seed in range(members)]


def episode(seed=0):
    return TASKS.test.sample(1, generator=torch.Generator().manual_seed(seed))[0]


def test_the_mean_of_probabilities():
    task = episode()
    ensemble = qs.Ensemble.of(maml(), kept())
    each = [maml(seed).adapt(task.support)(task.query.x) for seed in range(3)]
    answer = ensemble.adapt(task.support)
    want = sum(one.softmax(-1) for one in each) / 3
    torch.testing.assert_close(answer.predict_proba(task.query.x), want)
    torch.testing.assert_close(answer(task.query.x), want.log())
    assert not torch.allclose((sum(each) / 3).softmax(-1), want, atol=1e-3)


def test_the_mean_of_targets():
    task = qs.tasks.Sinusoid().test.sample(1, generator=torch.Generator().manual_seed(0))[0]
    each = [curve(seed).adapt(task.support)(task.query.x) for seed in range(3)]
    torch.testing.assert_close(qs.Ensemble.of(curve(), kept(3, curve)).adapt(task.support)(task.query.x), sum(each) / 3)


def test_the_kind_stays_as_it_is_and_members_share_nothing():
    learner = maml(5)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    ensemble = qs.Ensemble.of(learner, kept())
    with torch.no_grad():
        next(ensemble.members[0].parameters()).fill_(7.0)
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())
    assert not (next(ensemble.members[1].parameters()) == 7.0).any()


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_it_trains_as_its_members_alone(executor):
    """The gradient of the mean of M losses is 1/M of each: M times the rate is the member's own step."""
    outer = lambda lr: qs.Gradient(optimizer=partial(torch.optim.SGD, lr=lr))
    options = {"steps": 5, "tasks_per_step": 4, "executor": executor, "progress": False}
    ensemble = qs.Ensemble.of(curve(), kept(2, curve)).double()
    tasks = qs.tasks.Quadratic(1, dtype=torch.float64).train
    qs.meta_train(ensemble, tasks, outer=outer(0.2), **options)
    for seed, member in enumerate(ensemble.members):
        alone = curve(seed).double()
        start = [parameter.detach().clone() for parameter in alone.parameters()]
        qs.meta_train(alone, tasks, outer=outer(0.1), **options)
        assert max(float((a - b.detach()).abs().max()) for a, b in zip(start, alone.parameters(), strict=True)) > 1e-3
        for one, want in zip(member.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(one, want, rtol=1e-10, atol=1e-12)


def test_inner_steps_are_handed_on():
    task, ensemble = episode(), qs.Ensemble.of(maml(), kept())
    want = sum(maml(seed)(task.support, task.query.x, steps=5).softmax(-1) for seed in range(3)) / 3
    torch.testing.assert_close(ensemble(task.support, task.query.x, steps=5).exp(), want)
    assert ensemble.inner_steps == 2
    assert not hasattr(qs.Ensemble(qs.Prototypical(nn.Identity())), "inner_steps")


@pytest.mark.parametrize("normalisation", ["support", "running", "transductive", "frozen"])
def test_every_member_has_its_own_statistics(normalisation):
    def build(seed):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        network[1].running_mean.normal_()
        return qs.MAML(network, inner_lr=0.3, normalisation=normalisation)

    task = episode()
    want = sum(build(seed).adapt(task.support).predict_proba(task.query.x) for seed in range(3)) / 3
    ensemble = qs.Ensemble.of(build(0), kept(3, build))
    torch.testing.assert_close(ensemble.adapt(task.support).predict_proba(task.query.x), want)


def test_annealing_reaches_every_member():
    ensemble = qs.Ensemble(qs.MAMLPlusPlus(qs.models.mlp(6, 3), steps=100, inner_steps=2), 2)
    assert ensemble.at(1)
    early = [member.hypergradient for member in ensemble.members]
    assert ensemble.at(100)
    assert all(isinstance(member.hypergradient, qs.Unrolled) for member in ensemble.members)
    assert all(isinstance(one, qs.FirstOrder) for one in early)
    assert ensemble.outer is ensemble.members[0].outer


@pytest.mark.parametrize("foreign", [False, True])
def test_save_and_load(tmp_path, foreign):
    def build(seed=0):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(6, 8), nn.ReLU()) if foreign else qs.models.mlp(6, 8)
        return qs.Prototypical(network)

    task, ensemble = episode(), qs.Ensemble.of(build(), kept(3, build))
    ensemble.save(tmp_path)
    loaded = qs.load(tmp_path, embed=nn.Sequential(nn.Linear(6, 8), nn.ReLU())) if foreign else qs.load(tmp_path)
    answer = ensemble.adapt(task.support)(task.query.x)
    assert torch.equal(loaded.adapt(task.support)(task.query.x), answer)
    assert loaded.name == "Prototypical, ensemble of 3"
    ensemble.adapt(task.support).save(tmp_path / "predictor")
    if not foreign:
        assert torch.equal(qs.load(tmp_path / "predictor")(task.query.x), answer)


def test_meta_train_keeps_the_best_checkpoints(tmp_path):
    trained = maml()
    run = qs.meta_train(trained, TASKS, keep=3, out=tmp_path, **STEPS)
    scores = {record["step"]: record["validation"] for record in run.history if "validation" in record}
    best = sorted(scores, key=lambda step: (-scores[step], step))[:3]
    assert run.best["step"] == best[0]
    for step, weights in zip(best, run.kept, strict=True):  # the weights are those after that step
        until = maml()
        qs.meta_train(until, TASKS.train, **STEPS | {"steps": step, "validate_every": step})
        for name, value in until.state_dict().items():
            torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(run.kept[0][name], value) for name, value in trained.state_dict().items())
    task = episode()
    want = qs.Ensemble.of(trained, run.kept).adapt(task.support)(task.query.x)
    assert torch.equal(qs.load(tmp_path / "ensemble").adapt(task.support)(task.query.x), want)
    assert torch.equal(qs.load(tmp_path).adapt(task.support)(task.query.x), trained.adapt(task.support)(task.query.x))


def test_for_targets_the_lowest_error_is_best():
    tasks = qs.tasks.Sinusoid()
    run = qs.meta_train(curve(), tasks, keep=2, **STEPS)
    scores = [record["validation"] for record in run.history if "validation" in record]
    assert run.best["score"] == min(scores)
    assert len(run.kept) == 2


def test_a_resumed_run_keeps_what_an_unbroken_one_does(tmp_path):
    expected = qs.meta_train(maml(), TASKS, keep=3, **STEPS)
    qs.meta_train(maml(), TASKS, keep=3, out=tmp_path, **STEPS | {"steps": 6})
    run = qs.meta_train(maml(), TASKS, keep=3, out=tmp_path, resume=True, **STEPS)
    for one, want in zip(run.kept, expected.kept, strict=True):
        assert all(torch.equal(one[name], want[name]) for name in want)


def test_what_cannot_be():
    with pytest.raises(ArgumentError, match=r"`members`: expected from 1 to 1000, got 0"):
        qs.Ensemble(maml(), 0)
    with pytest.raises(
        ArgumentError, match=r"`keep`: expected 1, where no validation ranks the checkpoints, got 3 and tasks of one"
    ):
        qs.meta_train(maml(), TASKS.train, keep=3, **STEPS)
    with pytest.raises(ArgumentError, match=r"`keep`: expected 1 or more, got 0"):
        qs.meta_train(maml(), TASKS, keep=0, **STEPS)
