"""Relation networks against their equations by loops, and what their logits mean."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.exact.test_prototypical import an_episode
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.compare.relation import RelationNetwork, relation_loss, scores
from quickstudy.models.relation_head import RelationHead, relation_head


def pair_network(features=4):
    return nn.Sequential(nn.Linear(2 * features, 5), nn.Tanh(), nn.Linear(5, 1))


def by_hand(embed, relation, episode, laid=lambda m, f: torch.cat([m, f])):
    """u for every query and class, one pair at a time."""
    own = [embed(x[None])[0] for x in episode.support.x]
    rows = []
    for x in episode.query.x:
        f = embed(x[None])[0]
        sums = [sum(z for z, y in zip(own, episode.support.y, strict=True) if y == k) for k in range(3)]
        rows.append(torch.stack([relation(laid(m, f)[None])[0, 0] for m in sums]))
    return torch.stack(rows)


def test_scores_by_loops():
    """Control: the query laid before the class."""
    episode, embed, relation = an_episode(), nn.Linear(6, 4), pair_network()
    got = RelationNetwork(embed, relation).adapt(episode.support)(episode.query.x)
    torch.testing.assert_close(got, by_hand(embed, relation, episode).detach())
    assert not torch.allclose(got, by_hand(embed, relation, episode, lambda m, f: torch.cat([f, m])), rtol=0.01)


def test_feature_maps_by_loops():
    """Maps of 4 x 4, channels upon channels. Control: class means in the place of sums (2 shots)."""
    embed, relation = qs.models.conv4(channels=3, size=16, pooled=2, maps=True), relation_head(3, 4)
    x, y = torch.randn(6, 1, 16, 16), torch.arange(3).repeat(2)
    episode = qs.Episode(qs.Examples(x, y), qs.Examples(torch.randn(3, 1, 16, 16), torch.arange(3)))
    with torch.no_grad():
        relation.first.weight.mul_(30)
    learner = RelationNetwork(embed, relation, normalisation="frozen")
    got = learner.adapt(episode.support)(episode.query.x)
    embed.eval()
    relation.eval()
    torch.testing.assert_close(got, by_hand(embed, relation, episode).detach())
    means = by_hand(embed, relation, episode, lambda m, f: torch.cat([m / 2, f])).detach()
    assert not torch.allclose(got, means, rtol=1e-3)


def test_loss_is_the_mean_squared_error_of_the_scores():
    """By loops, and its gradient by the hand-written graph. Control: cross-entropy on the same logits."""
    episode, embed, relation = an_episode(), nn.Linear(6, 4), pair_network()
    learner = RelationNetwork(embed, relation)
    assert learner.criterion is relation_loss
    loss, gradient = qs.meta_gradient(learner, [episode])
    r = torch.sigmoid(by_hand(embed, relation, episode))
    errors_ = [(r[i, k] - float(episode.query.y[i] == k)) ** 2 for i in range(len(r)) for k in range(3)]
    want = sum(errors_) / len(errors_)
    torch.testing.assert_close(loss, want.detach())
    for name, one in zip(gradient, torch.autograd.grad(want, list(learner.parameters())), strict=True):
        torch.testing.assert_close(gradient[name], one)
    other, _ = qs.meta_gradient(learner, [episode], loss=F.cross_entropy)
    assert abs(float(other - loss)) > 0.1


def test_probabilities_are_those_of_exactly_one_relation():
    """Independent answers with P(yes) = r_k, all 2^3 of them enumerated, given that one is yes: softmax of the logits.
    Control: the scores divided by their sum are another thing."""
    episode = an_episode()
    predictor = RelationNetwork(nn.Linear(6, 4), pair_network()).adapt(episode.support)
    r = scores(predictor(episode.query.x))
    posterior = torch.zeros_like(r)
    for answers in itertools.product((0, 1), repeat=3):
        chance = torch.ones(len(r))
        for k, yes in enumerate(answers):
            chance = chance * (r[:, k] if yes else 1 - r[:, k])
        if sum(answers) == 1:
            posterior[:, answers.index(1)] += chance
    posterior = posterior / posterior.sum(1, keepdim=True)
    torch.testing.assert_close(predictor.predict_proba(episode.query.x), posterior)
    assert not torch.allclose(posterior, r / r.sum(1, keepdim=True), rtol=0.01)


def test_with_a_fixed_distance_as_relation_it_is_prototypical():
    """g([a, b]) = -||a - b||^2, one shot. Control: with two shots the sum of a class is no mean."""

    class Distance(nn.Module):
        def forward(self, pair):
            a, b = pair.chunk(2, 1)
            return -((a - b) ** 2).sum(1, keepdim=True)

    embed = nn.Linear(6, 4)
    for shots, same in ((1, True), (2, False)):
        episode = an_episode(shots=shots)
        one, other = (
            learner.adapt(episode.support)(episode.query.x)
            for learner in (RelationNetwork(embed, Distance()), qs.Prototypical(embed))
        )
        assert torch.allclose(one, other, rtol=1e-9) == same


def test_support_policy_takes_the_relation_s_statistics_from_the_support_s_pairs():
    """By hand, with a norm in the relation. Control: the statistics of the query's own pairs."""
    episode, embed, norm = an_episode(), nn.Linear(6, 4), nn.BatchNorm1d(8)
    last = nn.Linear(8, 1)
    nn.init.normal_(norm.weight)
    got = RelationNetwork(embed, nn.Sequential(norm, last), normalisation="support").adapt(episode.support)(episode.query.x)
    z, f = embed(episode.support.x).detach(), embed(episode.query.x).detach()
    sums = torch.stack([z[episode.support.y == k].sum(0) for k in range(3)])
    pairs = lambda z: torch.stack([torch.cat([m, one]) for one in z for m in sums])

    def scored(own):
        x = (pairs(f) - own.mean(0)) / (own.var(0, correction=0) + norm.eps).sqrt() * norm.weight + norm.bias
        return last(x).reshape(-1, 3).detach()

    torch.testing.assert_close(got, scored(pairs(z)))
    assert not torch.allclose(got, scored(pairs(f)), rtol=0.01)


def test_running_averages_of_the_relation_are_updated_by_the_outer_loop():
    relation = nn.Sequential(nn.BatchNorm1d(2 * 6), nn.Linear(2 * 6, 1))
    learner = RelationNetwork(nn.Identity(), relation)
    y = torch.arange(8).repeat_interleave(6)
    tasks = qs.tasks.LabelledTasks(torch.randn(48, 6) + y[:, None], y, ways=3, shots=2, queries=3)
    before = relation[0].running_mean.clone()
    qs.meta_train(learner.double(), tasks, steps=2, tasks_per_step=2, executor="loop", progress=False)
    assert (relation[0].running_mean - before).abs().min() > 0


def test_gradient_by_finite_differences():
    embed = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 4))
    assert_slopes_agree(finite_differences(RelationNetwork(embed, pair_network()), [an_episode()]))


# ---- the networks ------------------------------------------------------------------------------------------------------


def test_conv4_gives_maps():
    """The same numbers as its flattened embedding; without pooling a block keeps the size."""
    whole, maps = qs.models.conv4(channels=3), qs.models.conv4(channels=3, maps=True)
    maps.load_state_dict(whole.state_dict())
    x = torch.randn(2, 1, 28, 28)
    assert maps.eval()(x).shape == (2, 3, 1, 1)
    torch.testing.assert_close(maps(x).flatten(1), whole.eval()(x))
    larger = qs.models.conv4(channels=3, pooled=2, maps=True)
    assert larger(x).shape == (2, 3, 7, 7)
    assert larger.features == 3 * 49
    assert qs.models.conv4(ways=5, channels=3, pooled=2)(x).shape == (2, 5)
    assert not torch.equal(larger.eval()(x), F.interpolate(maps(x), 7))


def test_default_relation_fits_the_maps():
    learner = RelationNetwork(qs.models.conv4(channels=4, pooled=2, maps=True))
    assert isinstance(learner.relation, RelationHead)
    assert (learner.relation.channels, learner.relation.size) == (4, 7)
    x = torch.randn(5, 1, 28, 28)
    assert learner.adapt(qs.Examples(x, torch.arange(5)))(x).shape == (5, 5)


def test_refusals():
    for embed in (nn.Linear(6, 4), qs.models.conv4(), qs.models.conv4(maps=True), qs.models.conv4(ways=5, pooled=2, maps=True)):
        with pytest.raises(errors.ArgumentError, match=r"`relation`: expected a network .* got none\. Embed by conv4\(pooled=2"):
            RelationNetwork(embed)
    with pytest.raises(errors.ShapeError, match=r"`relation`: expected one score a pair, \(pairs, 1\), got \(45, 2\)\. Give"):
        RelationNetwork(nn.Linear(6, 4), nn.Linear(8, 2)).adapt(an_episode().support)(an_episode().query.x)
    with pytest.raises(ValueError, match=r"`size`: expected 4 or more, got 3\. Let fewer blocks"):
        RelationHead(4, 3)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        RelationNetwork(nn.Identity(), nn.Linear(4, 1)).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
