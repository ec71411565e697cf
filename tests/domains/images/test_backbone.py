"""Tasks over the features of a network: the features themselves, and episodes drawn from them."""

import io
import sys

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.domains.images.backbone import from_backbone
from quickstudy.errors import ArgumentError, NotFiniteError, ShapeError, UnsupportedError
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.tasks import LabelledTasks, Preprocessing, TaskFamily


def images(classes=4, each=6, first=0):
    x = torch.randint(0, 255, (classes * each, 1, 4, 4), dtype=torch.uint8)
    names = [f"class {first + k}" for k in range(classes)]
    return LabelledTasks(x, torch.arange(classes).repeat_interleave(each), ways=3, shots=2, queries=3, class_names=names)


def backbone():
    norm = nn.BatchNorm2d(2)
    norm.running_mean.normal_()
    return nn.Sequential(nn.Conv2d(1, 2, 3), norm, nn.ReLU(), nn.Dropout(0.5))


def test_features_are_those_of_eval_mode_whatever_the_batch_size():
    tasks, module = images(), backbone().train()
    with torch.no_grad():
        want = module.eval()(tasks.x / 255).flatten(1)
    module.train()
    module[3].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for batch_size in (1, 5, 100):
        got = from_backbone(tasks, module, batch_size=batch_size, progress=False)
        torch.testing.assert_close(got.x, want)
    assert not got.x.requires_grad
    assert module.training
    assert module[1].training
    assert not module[3].training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    with torch.no_grad():
        assert not torch.allclose(module(tasks.x / 255).flatten(1), want)  # control: train mode


def test_a_family_keeps_protocol_and_names_and_its_episodes_are_those_of_the_raw_data():
    module = backbone()
    family = TaskFamily(images(), images(first=4), images(first=8))
    mapped = from_backbone(family, module, progress=False)
    assert mapped.test.class_names == family.test.class_names
    assert mapped.validation.protocol == family.validation.protocol
    raw, seen = (tasks.sample(3, generator=torch.Generator().manual_seed(5)) for tasks in (family.train, mapped.train))
    assert torch.equal(raw.query.y, seen.query.y)
    with torch.no_grad():
        want = module.eval()(raw.query.x.flatten(0, 1)).flatten(1)
    torch.testing.assert_close(seen.query.x.flatten(0, 1), want)


def test_the_module_sees_images_as_the_tasks_normalise_them_and_no_transform():
    tasks, module = images(), backbone().eval()
    normal = LabelledTasks(
        tasks.x,
        tasks.y,
        ways=3,
        shots=2,
        queries=3,
        preprocessing=Preprocessing(4, 1, mean=(0.3,), std=(0.2,)),
        transform=[qs.tasks.RandomFlip(1.0)],
        augment=[qs.tasks.PermuteLabels()],
    )
    mapped = from_backbone(normal, module, progress=False)
    with torch.no_grad():
        torch.testing.assert_close(mapped.x, module((tasks.x / 255 - 0.3) / 0.2).flatten(1))
        assert not torch.allclose(mapped.x, module(tasks.x / 255).flatten(1))  # control: not normalised
    assert (mapped.preprocessing, mapped.transform, len(mapped.augment)) == (None, (), 1)


def test_every_learner_runs_on_the_features():
    family = from_backbone(TaskFamily(images(), images(first=4), images(first=8)), backbone(), progress=False)
    scores = qs.compare([CentredCentroid(), qs.MAML(qs.models.mlp(8, 3, hidden=(4,)), inner_lr=0.1)], family.test, episodes=5)
    assert len(scores.evaluations) == 2


def test_labelled_data_and_a_dataset():
    tasks, module = images(), backbone()
    want = from_backbone(tasks, module, progress=False)
    given = from_backbone(qs.Examples(tasks.x, tasks.y), module, progress=False, ways=2, shots=1, queries=2)
    items = [(x / 255, int(y)) for x, y in zip(tasks.x, tasks.y, strict=True)]
    read = from_backbone(items, module, progress=False, ways=2, shots=1, queries=2, class_names=tasks.class_names)
    torch.testing.assert_close(given.x, want.x)
    torch.testing.assert_close(read.x, want.x)
    assert read.protocol == {"ways": 2, "shots": 1, "queries": 2}
    assert read.class_names == tasks.class_names


def test_progress_goes_to_stderr(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    from_backbone(images(), backbone(), batch_size=10)
    assert "features: 24/24" in stderr.getvalue()


def test_refusals():
    with pytest.raises(UnsupportedError, match=r"`tasks`: expected LabelledTasks, .* got SinusoidTasks\. Tasks that are drawn"):
        from_backbone(qs.tasks.Sinusoid(), nn.Flatten(), progress=False)
    with pytest.raises(UnsupportedError, match=r"`tasks`: expected a TaskFamily, .* got int"):
        from_backbone(3, nn.Flatten())
    with pytest.raises(ArgumentError, match=r"`batch_size`: expected 1 or more, got 0"):
        from_backbone(images(), nn.Flatten(), batch_size=0)
    with pytest.raises(ShapeError, match=r"`module`: expected \(24, features\), a row for each example, got \(384,\)"):
        from_backbone(images(), nn.Flatten(0), progress=False)

    class Many(nn.Module):
        def forward(self, x):
            return {"features": x}

    with pytest.raises(UnsupportedError, match=r"`module`: expected one that returns a tensor .* got a dict\. Wrap it"):
        from_backbone(images(), Many(), progress=False)

    class Log(nn.Module):
        def forward(self, x):
            return (x - x).log().flatten(1)

    with pytest.raises(NotFiniteError, match=r"`x`: expected finite numbers"):
        from_backbone(images(), Log(), progress=False)


def test_a_family_of_the_same_classes_stays_one():
    x, y = torch.randn(40, 4), torch.arange(40) % 2
    parts = [qs.tasks.LabelledTasks(half, y[:20], ways=2, queries=2) for half in x.split(20)]
    family = qs.tasks.TaskFamily(parts[0], None, parts[1], same_classes=True)
    embedded = from_backbone(family, nn.Linear(4, 3), progress=False)
    assert embedded.same_classes
    assert embedded.test.x.shape == (20, 3)
