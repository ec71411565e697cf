"""Supervised pre-training: its gradient, its minibatches, and that it pays."""

import pytest
import torch
import torch.nn.functional as F
from tests.learners.transfer.classes import blobs
from torch import nn

import quickstudy as qs
from quickstudy.learners.transfer.from_scratch import FromScratch
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid
from quickstudy.learners.transfer.pooled import minibatch
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.recipes.linear_probe import LinearProbe
from quickstudy.recipes.pretrain_fine_tune import PretrainFineTune


@pytest.mark.parametrize("recipe", [PretrainFineTune, LinearProbe])
@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_gradient_is_that_of_a_plain_classifier(recipe, executor):
    embed = nn.Sequential(nn.Linear(30, 10), nn.BatchNorm1d(10), nn.ReLU())
    learner, tasks = recipe(embed), blobs(classes=7)
    learner.prepare(tasks)
    batch = Supervised(16).draw(tasks, 5, torch.Generator().manual_seed(0))
    loss, gradient = qs.meta_gradient(learner, batch, estimator=Supervised(16), executor=executor)
    z = embed.train()(batch.x[0])
    cosines = F.normalize(z, dim=1) @ F.normalize(learner.pretext.weight, dim=1).T
    want = F.cross_entropy(20 * cosines, batch.y[0])
    torch.testing.assert_close(loss, want.detach())
    named = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    for name, one in zip(named, torch.autograd.grad(want, list(named.values())), strict=True):
        torch.testing.assert_close(gradient[name], one, rtol=1e-7, atol=1e-9)
    shifted = F.cross_entropy(20 * cosines, (batch.y[0] + 1) % 7)
    assert (shifted - loss).abs() > 0.1  # control: other labels


def test_running_averages_are_those_of_plain_training():
    norm = nn.BatchNorm1d(10)
    embed = nn.Sequential(nn.Linear(30, 10), norm)
    twin = nn.Sequential(nn.Linear(30, 10), nn.BatchNorm1d(10))
    twin.load_state_dict(embed.state_dict())
    tasks = blobs(classes=7)
    qs.meta_train(PretrainFineTune(embed, batch_size=16), tasks, steps=1, tasks_per_step=1, executor="loop", progress=False)
    batch = Supervised(16).draw(tasks, 1, torch.Generator().manual_seed(0))
    twin.train()(batch.x[0])
    torch.testing.assert_close(norm.running_mean, twin[1].running_mean)
    torch.testing.assert_close(norm.running_var, twin[1].running_var)
    assert norm.running_mean.abs().max() > 1e-3


def test_a_minibatch_has_different_examples_and_global_labels():
    tasks = blobs(classes=7, each=20)
    batch = minibatch(tasks, 50, torch.Generator().manual_seed(0))
    pool = tasks.examples()
    rows = [int((pool.x == one).all(1).nonzero()) for one in batch.x]
    assert len(set(rows)) == 50
    assert torch.equal(pool.y[rows], batch.y)
    assert batch.ways == 7
    assert len(minibatch(tasks, 1000, torch.Generator())) == 140


def test_images_are_gathered_before_they_become_floats():
    images = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8)
    tasks = qs.tasks.LabelledTasks(images, torch.arange(40) % 4, ways=2, shots=1, queries=1)
    whole = tasks.examples
    tasks.examples = lambda rows=None: pytest.fail("all images became floats") if rows is None else whole(rows)
    batch = minibatch(tasks, 8, torch.Generator().manual_seed(0))
    assert batch.x.dtype == torch.float32
    assert batch.x.max() <= 1


def test_other_distributions_are_pooled_by_examples():
    batch = minibatch(qs.tasks.Sinusoid().train, 32, torch.Generator().manual_seed(0))
    assert batch.x.shape == (32, 1)
    assert batch.ways is None


def test_pre_training_pays():
    """Where noise hides the classes, what many classes teach about it beats one task's five examples by far."""
    torch.set_default_dtype(torch.float32)
    train, test = blobs(seed=0), blobs(classes=30, seed=1)
    tuned = PretrainFineTune(qs.models.mlp(30, 24, (64,)), inner_steps=3)
    run = qs.meta_train(tuned, train, steps=400, tasks_per_step=1, executor="loop", progress=False)
    assert run.history[-1]["loss"] < run.history[0]["loss"] / 2
    learners = {
        "tuned": tuned,
        "probe": LinearProbe(tuned.embedding),
        "centroid in the embedding": NearestCentroid(tuned.embedding),
        "centroid": NearestCentroid(),
        "scratch": FromScratch(qs.models.mlp(30, 5, (64,)), inner_steps=30),
    }
    score = {name: qs.evaluate(learner, test, 100, executor="vmap").mean for name, learner in learners.items()}
    for name in ("tuned", "probe", "centroid in the embedding"):
        assert score[name] > max(score["scratch"], score["centroid"]) + 0.1, score


def test_a_minibatch_is_normalised_as_episodes_are():
    """Preprocessing with a mean and a std: what is pre-trained on is what the learner will see."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 3), dtype=np.uint8)
    train = qs.tasks.from_arrays(images, np.repeat(np.arange(10), 6), ways=2, shots=1, queries=1).train
    assert train.preprocessing is not None
    assert train.preprocessing.mean is not None
    generator = lambda: torch.Generator().manual_seed(0)
    x = minibatch(train, 20, generator()).x
    seen = train.sample(50, generator=generator()).support.x
    assert abs(float(x.mean())) < 0.1
    assert float(x.std()) == pytest.approx(float(seen.std()), rel=0.1)
