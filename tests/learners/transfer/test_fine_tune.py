"""Fine-tuning: class means by cosine before the first step, torch's own Adam after it; and what is saved."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.learners.transfer.classes import blobs, episode
from torch import nn

import quickstudy as qs
from quickstudy.domains.images.contrastive import Contrastive
from quickstudy.domains.images.contrastive_pretrain import ContrastivePretrain
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.learners.transfer.fine_tune import FineTune
from quickstudy.learners.transfer.pretext import CosineClassifier, Projection
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.recipes.linear_probe import LinearProbe
from quickstudy.recipes.pretrain_fine_tune import PretrainFineTune

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def by_hand(embed, support, x, steps, body=True):
    embed = copy.deepcopy(embed)
    z = F.normalize(embed(support.x), dim=1).detach()
    head = torch.stack([z[support.y == k].mean(0) for k in range(support.ways)]).requires_grad_()
    adam = torch.optim.Adam([head, *(embed.parameters() if body else ())], lr=0.01)
    for _ in range(steps):
        adam.zero_grad()
        F.cross_entropy(20 * F.normalize(embed(support.x), dim=1) @ F.normalize(head, dim=1).T, support.y).backward()
        adam.step()
    return (20 * F.normalize(embed(x), dim=1) @ F.normalize(head, dim=1).T).detach()


@pytest.mark.parametrize("steps", [0, 6])
@pytest.mark.parametrize("body", [True, False])
def test_equals_imprinting_and_adam_by_hand(steps, body):
    task, embed = episode(shots=3), qs.models.mlp(30, 12, (16,))
    learner = FineTune(embed, CosineClassifier(), inner_lr=0.01, inner_steps=steps, adapts="*" if body else "head")
    got = learner.adapt(task.support)(task.query.x)
    torch.testing.assert_close(got, by_hand(embed, task.support, task.query.x, steps, body), rtol=1e-8, atol=1e-8)
    assert (got - by_hand(embed, task.support, task.query.x, steps + 1, body)).abs().max() > 1e-3  # control: a step more
    if steps:
        assert (got - by_hand(embed, task.support, task.query.x, steps, not body)).abs().max() > 1e-3  # control: another part


def test_executors_agree_and_the_embedding_stays():
    embed = qs.models.mlp(30, 12, (16,))
    before = copy.deepcopy(embed.state_dict())
    learner = FineTune(embed, CosineClassifier(), inner_lr=0.01, inner_steps=3)
    torch.set_num_threads(2)
    loop, *others = (qs.evaluate(learner, blobs(queries=5), 6, executor=name).per_episode for name in ("loop", "vmap", "threads"))
    for scores in others:
        assert scores == pytest.approx(loop)
    assert all(torch.equal(tensor, before[name]) for name, tensor in embed.state_dict().items())


def test_the_head_must_adapt():
    with pytest.raises(ArgumentError, match=r"`adapts`: expected patterns of which one matches 'head'.*got 'embed\.\*'\. Add it"):
        FineTune(nn.Linear(2, 2), CosineClassifier(), adapts="embed.*")


@pytest.mark.parametrize("recipe", [PretrainFineTune, LinearProbe, ContrastivePretrain])
def test_the_pretext_head_is_phi_once_it_is_built_and_is_saved(recipe):
    tasks = blobs(classes=7)
    learner, twin = recipe(qs.models.mlp(30, 12, (16,))), recipe(qs.models.mlp(30, 12, (16,)))
    assert not any("pretext" in name or "head" in name for name in trainable(learner) if "embed" not in name)
    learner.prepare(tasks)
    grown = {name: p.shape for name, p in learner.pretext.named_parameters()}
    assert grown == ({"first": (12, 12), "second": (64, 12)} if recipe is ContrastivePretrain else {"weight": (7, 12)})
    assert {f"pretext.{name}" for name in grown} <= set(trainable(learner))
    twin.load_state_dict(learner.state_dict())  # the twin was not prepared
    assert all(torch.equal(a, b) for a, b in zip(learner.parameters(), twin.parameters(), strict=True))
    kept = learner.pretext.state_dict()
    with torch.no_grad():
        next(learner.pretext.parameters()).mul_(2)
    learner.prepare(tasks)  # a head that fits is kept: a run goes on where it was
    assert all(torch.equal(tensor, kept[name]) for name, tensor in learner.pretext.state_dict().items())
    if recipe is not ContrastivePretrain:
        learner.prepare(blobs(classes=9))
        assert learner.pretext.weight.shape == (9, 12)


def test_estimators_refuse_what_they_cannot_serve():
    learner = PretrainFineTune(nn.Linear(30, 4))
    with pytest.raises(UnsupportedError, match=r"`learner`: expected a learner whose pretext head is built.*learner\.prepare"):
        Supervised().check(learner)
    with pytest.raises(UnsupportedError, match=r"Contrastive\(\) needs one with the pretext head Projection\(\), got"):
        Contrastive().check(learner)
    with pytest.raises(UnsupportedError, match="Supervised"):
        Supervised().check(FineTune(nn.Linear(30, 4), Projection()))
    with pytest.raises(UnsupportedError, match=r"`tasks`: expected tasks with classes.*Use JointTraining for regression"):
        learner.prepare(qs.tasks.Sinusoid().train)
    with pytest.raises(ArgumentError, match=r"`batch_size`: expected 2 or more, got 1"):
        Supervised(batch_size=1)


def trainable(learner):
    return [name for name, parameter in learner.named_parameters() if parameter.requires_grad]
