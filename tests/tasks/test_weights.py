"""How often the families of a mixture are drawn, where a run learns it."""

from __future__ import annotations

import math

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError
from quickstudy.tasks.construction.weights import ByProgress

TASKS = {"few": qs.tasks.GaussianClasses(ways=2, dim=4), "many": qs.tasks.GaussianClasses(ways=4, dim=4)}
TRAIN = {"tasks_per_step": 8, "validation_episodes": 10, "progress": False, "executor": "loop"}


def learner() -> qs.Learner:
    torch.manual_seed(0)
    return qs.Prototypical(qs.models.mlp(4, 8))


def test_the_shares_by_hand():
    """Gains 1/4 and 1/2 of the first loss, then 0 (a loss that rises) and 1/4; a momentum of a half."""
    progress = ByProgress(least=0.4, momentum=0.5).start(["a", "b"])
    assert progress.seen({"a": 4.0, "b": 2.0}) == {"a": 0.5, "b": 0.5}
    assert progress.seen({"a": 3.0, "b": 1.0}) == pytest.approx({"a": 0.2 + 0.6 / 3, "b": 0.2 + 0.6 * 2 / 3})
    a, b = 0.5 * 0.125, 0.5 * 0.25 + 0.5 * 0.25
    assert progress.seen({"a": 9.0, "b": 0.5}) == pytest.approx({"a": 0.2 + 0.6 * a / (a + b), "b": 0.2 + 0.6 * b / (a + b)})


def test_negative_losses_gain_too_and_a_loss_that_is_not_finite_gains_nothing():
    progress = ByProgress(least=0.0, momentum=0.0).start(["a", "b", "c"])
    progress.seen({"a": -1.0, "b": 1.0, "c": 0.0})
    assert progress.seen({"a": -2.0, "b": math.nan, "c": 0.0}) == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_a_run_draws_more_of_the_family_that_gains(monkeypatch):
    """The losses of validation are given: those of "few" fall, those of "many" do not."""
    from quickstudy.meta.loop import checkpoint_selector

    falls = iter([1.0, 0.5, 0.25, 0.125])
    state: dict[str, float] = {}

    def given(evaluation):
        return state["few"] if evaluation.protocol["ways"] == 2 else 1.0

    scored = checkpoint_selector.CheckpointSelector._scored

    def scoring(self, episodes):
        state["few"] = next(falls)
        return scored(self, episodes)

    monkeypatch.setattr(checkpoint_selector, "loss_of", given)
    monkeypatch.setattr(checkpoint_selector.CheckpointSelector, "_scored", scoring)
    drawn: list[dict[str, int]] = []

    class Counting(qs.tasks.MixedTasks):
        def sample(self, n, *, generator=None):
            batch = super().sample(n, generator=generator)
            drawn.append({name: len(part) for name, part in batch.parts.items()})
            return batch

    mixture = qs.tasks.Mixture(TASKS, ByProgress(least=0.0))
    train = Counting(mixture.train.parts, mixture.train.weights)
    family = qs.tasks.TaskFamily(train, mixture.validation, mixture.test, same_classes=True)
    run = qs.meta_train(learner(), family, steps=4, validate_every=1, **TRAIN)
    assert [record["share_few"] for record in run.history] == [0.5, 1.0, 1.0, 1.0]
    assert [record["share_many"] for record in run.history] == [0.5, 0.0, 0.0, 0.0]
    assert set(drawn[1]) == {"few", "many"}
    assert drawn[-1] == {"few": 8}


def test_a_resumed_run_goes_on_with_its_shares(tmp_path):
    def run(steps, where, resume=False):
        mixture = qs.tasks.Mixture(TASKS, ByProgress())
        trained = learner()
        found = qs.meta_train(trained, mixture, steps=steps, validate_every=2, out=tmp_path / where, resume=resume, **TRAIN)
        return trained, [record["loss"] for record in found.history]

    whole, losses = run(8, "whole")
    run(4, "parts")
    resumed, again = run(8, "parts", resume=True)
    assert again == losses
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_progress_needs_validation_of_every_family():
    mixture = qs.tasks.Mixture(TASKS, ByProgress())
    alone = qs.tasks.TaskFamily(mixture.train, mixture.validation["few"], None, same_classes=True)
    said = r"`weights=ByProgress\(\)`: expected validation tasks of every family, .* got none of 'few', 'many'\. Give"
    for tasks in (mixture.train, alone):
        trained = learner()
        before = [one.clone() for one in trained.parameters()]
        with pytest.raises(ArgumentError, match=said):
            qs.meta_train(trained, tasks, steps=1, **TRAIN)
        assert all(torch.equal(a, b) for a, b in zip(before, trained.parameters(), strict=True))


@pytest.mark.parametrize("wrong", [{"least": 1.5}, {"momentum": -0.1}])
def test_shares_that_cannot_be(wrong):
    with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`: expected a number from 0 to 1"):
        ByProgress(**wrong)


@pytest.mark.parametrize(("select_by", "name"), [("few", "accuracy"), ("few/loss", "loss"), ("many/accuracy", "accuracy")])
def test_one_family_ranks_the_checkpoints(select_by, name):
    family = select_by.partition("/")[0]
    tasks = qs.tasks.Mixture(TASKS)
    run = qs.meta_train(learner(), tasks, steps=4, validate_every=1, select_by=select_by, **TRAIN)
    assert run.best["metric"] == name
    by_step = {record["step"]: record for record in run.history}
    assert all(record["validation"] == record[f"validation_{family}"] for record in run.history)
    best = (min if name == "loss" else max)(record["validation"] for record in run.history)
    assert run.best["score"] == best == by_step[run.best["step"]]["validation"]


def test_the_mean_ranks_otherwise_and_each_family_is_recorded():
    run = qs.meta_train(learner(), qs.tasks.Mixture(TASKS), steps=1, **TRAIN)
    (record,) = run.history
    assert record["validation"] == pytest.approx((record["validation_few"] + record["validation_many"]) / 2)
    assert "share_few" not in record


@pytest.mark.parametrize(
    ("select_by", "said"),
    [
        ("fw/accuracy", r"`select_by`: expected one of \['few', 'many'\] before '/', got 'fw/accuracy'\. Did you mean 'few'"),
        ("few/acc", r"`metrics`: expected 'loss', names of"),
        ("fw", r"`metrics`: expected 'loss', names of"),
    ],
)
def test_no_such_family(select_by, said):
    with pytest.raises(ArgumentError, match=said):
        qs.meta_train(learner(), qs.tasks.Mixture(TASKS), steps=1, select_by=select_by, **TRAIN)


def test_the_rule_is_in_the_protocol():
    mixture = qs.tasks.Mixture(TASKS, ByProgress())
    assert mixture.train.protocol["weights"] == "ByProgress(least=0.25, momentum=0.5)"
    assert mixture.train.probabilities == {"few": 0.5, "many": 0.5}
