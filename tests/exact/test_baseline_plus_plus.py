"""Baseline++: torch's own SGD on a head of cosines, an embedding that stands still and is read once."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import far
from tests.learners.transfer.classes import blobs, episode
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend import Momentum
from quickstudy.learners.transfer.cosine_probe import CosineProbe
from quickstudy.learners.transfer.fine_tune import FineTune
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.recipes.baseline_plus_plus import BaselinePlusPlus


def network():
    return qs.models.mlp(30, 12, (16,))


def by_hand(embed, support, x, steps, lr=0.05, scale=10.0, body=False):
    embed = copy.deepcopy(embed)
    z = F.normalize(embed(support.x), dim=1).detach()
    head = torch.stack([z[support.y == k].mean(0) for k in range(support.ways)]).requires_grad_()
    sgd = torch.optim.SGD([head, *(embed.parameters() if body else ())], lr=lr, momentum=0.9)
    for _ in range(steps):
        sgd.zero_grad()
        F.cross_entropy(scale * F.normalize(embed(support.x), dim=1) @ F.normalize(head, dim=1).T, support.y).backward()
        sgd.step()
    return (scale * F.normalize(embed(x), dim=1) @ F.normalize(head, dim=1).T).detach()


@pytest.mark.parametrize("steps", [0, 7])
def test_equals_sgd_by_hand(steps):
    """Controls: a step more, and an embedding that moves too."""
    task, embed = episode(shots=3), network()
    learner = BaselinePlusPlus(embed, inner_lr=0.05, inner_steps=steps, scale=10.0)
    got = learner.adapt(task.support)(task.query.x)
    torch.testing.assert_close(got, by_hand(embed, task.support, task.query.x, steps), rtol=1e-8, atol=1e-8)
    assert (got - by_hand(embed, task.support, task.query.x, steps + 1)).abs().max() > 1e-3
    if steps:
        assert (got - by_hand(embed, task.support, task.query.x, steps, body=True)).abs().max() > 1e-3


def test_without_steps_it_is_the_nearest_class_mean_by_cosine():
    task, embed = episode(shots=3), network().requires_grad_(False)
    z, own = embed(task.query.x), F.normalize(embed(task.support.x), dim=1)
    means = torch.stack([own[task.support.y == k].mean(0) for k in range(3)])
    want = F.cosine_similarity(z[:, None], means[None], dim=2)
    torch.testing.assert_close(BaselinePlusPlus(embed, inner_steps=0, scale=1.0).adapt(task.support)(task.query.x), want)
    assert far(want, F.cosine_similarity(z[:, None], own[:3][None], dim=2))  # control: one example of each class


@pytest.mark.parametrize("normalisation", ["support", "running", "transductive", "frozen"])
def test_equals_fine_tuning_of_the_head_but_reads_the_support_once(normalisation):
    """The same classifier with one forward pass for FineTune's K + 1, or more."""
    embed, task = nn.Sequential(nn.Linear(30, 12), nn.BatchNorm1d(12), nn.Tanh()), episode(shots=3)
    embed[1].running_mean.normal_()
    seen = []
    embed[0].register_forward_hook(lambda module, args, answer: seen.append(len(args[0])))
    options = {"inner_lr": 0.05, "inner_steps": 4, "rule": Momentum(), "normalisation": normalisation}
    probe = CosineProbe(embed, CosineClassifier(), **options).adapt(task.support)
    assert seen == [len(task.support)]
    tuned = FineTune(embed, CosineClassifier(), adapts="head", **options).adapt(task.support)
    assert len(seen) > 5
    torch.testing.assert_close(probe(task.query.x), tuned(task.query.x), rtol=1e-9, atol=1e-9)


def test_pre_training_lowers_the_loss_and_helps_new_classes():
    """Classes that differ in 6 of 30 directions: what is noise is learned from the classes of meta-training."""
    new, learner = blobs(40, seed=1), BaselinePlusPlus(network(), inner_steps=5)
    before = qs.evaluate(learner, new, 40, executor="vmap").mean
    outer = qs.Gradient(Supervised(64), partial(torch.optim.Adam, lr=1e-2))
    run = qs.meta_train(learner, blobs(), steps=60, tasks_per_step=1, outer=outer, executor="loop", progress=False)
    assert run.history[-1]["loss"] < run.history[0]["loss"] - 0.5
    assert qs.evaluate(learner, new, 40, executor="vmap").mean > before + 0.05


def test_the_embedding_and_the_head_of_pre_training_are_phi_and_nothing_else():
    learner = BaselinePlusPlus(network())
    learner.prepare(blobs(classes=7))
    trainable = {name.split(".")[0] for name, p in learner.named_parameters() if p.requires_grad}
    assert trainable == {"embed", "pretext"}
    assert learner.outer.estimator == Supervised(128)
    assert learner.name == "Baseline++"


def test_executors_agree():
    torch.set_num_threads(2)
    learner = BaselinePlusPlus(network(), inner_steps=3)
    loop, *others = (qs.evaluate(learner, blobs(queries=5), 4, executor=name).per_episode for name in ("loop", "vmap", "threads"))
    assert max(loop) > 0.2
    for scores in others:
        assert scores == pytest.approx(loop)


def test_targets_are_refused():
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        BaselinePlusPlus(nn.Linear(2, 2)).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
