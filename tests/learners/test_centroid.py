"""CentredCentroid and Standardised against what their equations say, one example at a time."""

import copy

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import testing
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.learners.transfer.backbone import from_backbone
from quickstudy.learners.wrap.standardised import Standardised

pytestmark = pytest.mark.usefixtures("float64", "repeatable_blas")  # tests/repeatable.py


def a_task(offset=5.0):
    y = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    return qs.Examples(offset + torch.randn(7, 4), y), offset + torch.randn(6, 4)


def by_hand(support, x, mean, scale=10.0):
    length = lambda z: z / z.norm()
    z = [length(one - mean) for one in support.x]
    centroids = [torch.stack([z[i] for i in range(7) if support.y[i] == k]).mean(0) for k in range(3)]
    return torch.stack([torch.stack([-scale * ((length(one - mean) - c) ** 2).sum() for c in centroids]) for one in x])


def test_equals_its_equations():
    support, x = a_task()
    got = CentredCentroid().adapt(support)(x)
    torch.testing.assert_close(got, by_hand(support, x, support.x.mean(0)))
    assert not torch.allclose(got, by_hand(support, x, torch.zeros(4)), rtol=0.1)  # control: without centring


def test_a_given_mean_takes_the_place_of_the_support_s():
    support, x = a_task()
    mean = torch.randn(4)
    got = CentredCentroid(mean=mean, scale=2.0).adapt(support)(x)
    torch.testing.assert_close(got, by_hand(support, x, mean, 2.0))
    assert not torch.allclose(got, CentredCentroid(scale=2.0).adapt(support)(x))


def test_means_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"`mean`: expected \(features,\), got \(2, 4\)\. Average"):
        CentredCentroid(mean=torch.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"`mean`: expected \(4,\), one number for each feature .* got \(3,\)\. Average"):
        CentredCentroid(mean=torch.zeros(3)).adapt(a_task()[0])


def test_a_backbone_stands_still_and_is_left_as_it_was():
    norm = nn.BatchNorm1d(5)
    norm.running_mean.normal_()
    module = nn.Sequential(nn.Linear(4, 5), norm, nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    support, x = a_task()
    z = lambda x: norm.eval()(module[0](x)).detach()
    feature_support, features = qs.Examples(z(support.x), support.y), z(x)
    norm.train()
    for head, plain in (("centroid", CentredCentroid()), ("ridge", Ridge(intercept=True, scale=10.0))):
        learner = from_backbone(module, head)
        torch.testing.assert_close(learner.adapt(support)(x), plain.adapt(feature_support)(features))
        assert not any(parameter.requires_grad for parameter in learner.embed.parameters())
    assert module.training
    assert norm.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.wrong_types
def test_heads_that_there_are_not():
    with pytest.raises(ArgumentError, match=r"`head`: expected one of 'centroid', 'ridge', got 'svm'"):
        from_backbone(nn.Flatten(), "svm")
    with pytest.raises(ArgumentError, match=r"`mean`: expected None for head='ridge', got a mean"):
        from_backbone(nn.Flatten(), "ridge", mean=torch.zeros(4))


def test_standardised_knows_neither_units_nor_offsets():
    support, x = a_task()
    units, offsets = torch.tensor([1e-3, 1.0, 50.0, 1e4]), torch.tensor([5.0, -3.0, 0.0, 1e5])
    changed = lambda x: x * units + offsets
    learner = Standardised(Ridge(), clip=3.0)
    want = learner.adapt(support)(x)
    got = learner.adapt(qs.Examples(changed(support.x), support.y))(changed(x))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    plain = Ridge().adapt(qs.Examples(changed(support.x), support.y))(changed(x))
    assert not torch.allclose(plain, Ridge().adapt(support)(x), rtol=0.1)  # control


def test_standardised_equals_its_equations():
    support, x = a_task()
    mean, scale = support.x.mean(0), support.x.var(0, correction=0).sqrt()
    z = lambda x: ((x - mean) / scale).clamp(-1.2, 1.2)
    want = Ridge().adapt(qs.Examples(z(support.x), support.y))(z(x))
    torch.testing.assert_close(Standardised(Ridge(), clip=1.2).adapt(support)(x), want)
    assert not torch.allclose(Standardised(Ridge()).adapt(support)(x), want)


def test_a_feature_that_does_not_vary_is_finite_and_bounded():
    support, x = a_task()
    blank = support.x.clone()
    blank[:, 1] = 2.0
    asked = x.clone()
    asked[:, 1] = 2.1
    learner, task = Standardised(Ridge()), qs.Examples(blank, support.y)
    state = learner.adapt(task).state
    assert state.values["scale"][1] > 0.1
    same = asked.clone()
    same[:, 1] = 2.0
    torch.testing.assert_close(learner.adapt(task)(asked), learner.adapt(task)(same))  # its weight is 0
    alone = Standardised(Ridge()).adapt(qs.Examples(torch.ones(3, 2), torch.tensor([0, 1, 2])))
    assert torch.isfinite(alone(torch.randn(4, 2))).all()


@pytest.mark.parametrize("policy", ["support", "running", "frozen"])
def test_standardised_keeps_the_policy_of_the_learner_within(policy, tmp_path):
    """Batch norm and dropout inside: the executors agree, the gradient is the slope, nothing is written, and it is saved."""
    embed = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 5))
    learner = Standardised(Ridge(embed, normalisation=policy))
    support, x = a_task()
    episode = qs.Episode(support, qs.Examples(x, torch.tensor([0, 1, 2, 2, 1, 0])))
    for check in (testing.check_executors, testing.check_gradient, testing.check_changes_nothing, testing.check_transductive):
        check(learner, episode)
    want = learner.adapt(support)(x)
    learner.save(tmp_path)
    again = qs.load(tmp_path, embed=copy.deepcopy(embed))
    assert torch.equal(again.adapt(support)(x), want)


def test_a_clip_that_is_not_positive():
    with pytest.raises(ArgumentError, match=r"`clip`: expected a number above 0, or None, got -1\.0"):
        Standardised(Ridge(), clip=-1.0)
