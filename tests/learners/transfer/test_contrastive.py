"""NT-Xent against the double loop of its definition; augmentation; and that no label is read."""

import dataclasses
import math

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.domains.images.contrastive import Contrastive, nt_xent
from quickstudy.domains.images.contrastive_pretrain import ContrastivePretrain
from quickstudy.domains.images.views import Augmentation
from quickstudy.errors import ShapeError
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid
from quickstudy.tasks import LabelledTasks

STILL = Augmentation(scale=0, rotation=0, shear=0, translation=0, erase=0, noise=0)


def by_definition(a, b, tau, itself=False):
    z = torch.cat([a, b])
    n = len(a)

    def sim(i, j):
        return (z[i] @ z[j] / (z[i].norm() * z[j].norm())).item()

    def loss(i, j):
        others = (math.exp(sim(i, k) / tau) for k in range(2 * n) if itself or k != i)
        return -math.log(math.exp(sim(i, j) / tau) / sum(others))

    return sum(loss(k, k + n) + loss(k + n, k) for k in range(n)) / (2 * n)


def test_equals_its_definition():
    a, b = torch.randn(6, 5), torch.randn(6, 5)
    got = nt_xent(a, b, 0.3).item()
    assert got == pytest.approx(by_definition(a, b, 0.3), rel=1e-12)
    for wrong in (by_definition(a, b, 0.5), by_definition(a, b.roll(1, 0), 0.3), by_definition(a, b, 0.3, itself=True)):
        assert abs(got - wrong) > 1e-3  # control: temperature, partner, the denominator without k != i


def test_views_come_from_the_generator_and_hold_no_label():
    tasks = patterns(classes=6)
    first, again, other = (Contrastive(batch_size=8).draw(tasks, 3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert set(first) == {"first", "second"}
    assert all(view.shape == (1, 8, 1, 12, 12) for view in first.values())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["first"], other["first"])
    assert (first["first"] - first["second"]).abs().max() > 0.1


def test_augmentation_of_nothing_is_the_identity_and_each_part_changes_something():
    x, generator = torch.rand(4, 3, 9, 9), torch.Generator().manual_seed(0)
    torch.testing.assert_close(STILL(x, generator), x)
    parts = {"scale": 0.5, "rotation": 30.0, "shear": 0.4, "translation": 0.3, "erase": 0.4, "jitter": 0.5, "noise": 0.2}
    parts["flip"] = True
    assert set(parts) == {field.name for field in dataclasses.fields(Augmentation)}
    for name, value in parts.items():
        changed = dataclasses.replace(STILL, **{name: value})(x, generator)
        assert changed.shape == x.shape
        assert (changed - x).abs().max() > 0.05, name


def test_a_mirror_is_a_mirror_and_a_shift_a_shift():
    x = torch.rand(64, 1, 8, 8)
    flip = dataclasses.replace(STILL, flip=True)(x, torch.Generator().manual_seed(0))
    same, mirrored = ((flip - y).abs().amax((1, 2, 3)) < 1e-9 for y in (x, x.flip(3)))
    assert bool((same ^ mirrored).all())
    assert 16 < int(mirrored.sum()) < 48


def test_vectors_are_changed_by_noise_alone():
    x = torch.randn(5, 7)
    assert torch.equal(STILL(x, torch.Generator()), x)
    assert not torch.equal(Augmentation()(x, torch.Generator()), x)


def test_a_pytree_is_refused():
    class Pairs(qs.tasks.TaskDistribution):
        sample = to = check_protocol = None

        def examples(self):
            return qs.Examples({"a": torch.zeros(4, 2)}, torch.arange(4))

    with pytest.raises(ShapeError, match=r"`tasks`: expected examples whose x is one tensor.*got a dict\. Use PretrainFineTune"):
        Contrastive().draw(Pairs(), 1, torch.Generator())


def test_looks_without_labels_teach_an_embedding():
    """Patterns that lie here or there: pixels hardly tell them apart, an embedding that saw shifted looks does."""
    torch.set_default_dtype(torch.float32)
    test = patterns(classes=20, seed=1)
    embed = nn.Sequential(nn.Flatten(), nn.Linear(144, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 64))
    shifted = dataclasses.replace(STILL, translation=0.15, noise=0.1)
    learner = ContrastivePretrain(embed, augmentation=shifted, batch_size=64, inner_steps=0)
    controls = [qs.evaluate(control, test, 100, executor="vmap").mean for control in (learner, NearestCentroid())]
    run = qs.meta_train(learner, patterns(classes=60), steps=120, tasks_per_step=1, executor="loop", progress=False)
    assert run.history[-1]["loss"] < 0.75 * run.history[0]["loss"]
    assert qs.evaluate(learner, test, 100, executor="vmap").mean > max(controls) + 0.1, controls


def patterns(classes=30, each=20, seed=0):
    """A class is a pattern of 5 x 5 pixels, an example shows it near the middle of 12 x 12."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(classes, each, 1, 12, 12)
    shapes = (torch.rand(classes, 5, 5, generator=generator) < 0.4).to(x)
    corner = torch.randint(2, 6, (classes, each, 2), generator=generator)
    for k in range(classes):
        for i in range(each):
            row, column = corner[k, i].tolist()
            x[k, i, 0, row : row + 5, column : column + 5] = shapes[k]
    return LabelledTasks(x.flatten(0, 1), torch.arange(classes).repeat_interleave(each), ways=5, shots=1, queries=5)
