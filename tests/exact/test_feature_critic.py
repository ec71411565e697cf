"""FeatureCritic against Li et al.'s algorithm 1 written down with plain autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.exact.several_domains import (
    UNITS,
    assert_equal,
    differs,
    embed,
    embedding,
    episode,
    head,
    leaves,
    linear,
)  # fmt: skip
from torch import nn

import quickstudy as qs
from quickstudy.errors import TaskError
from quickstudy.learners.generalise import FeatureCritic

RATE = 0.6


def critic() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(UNITS, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def learner() -> FeatureCritic:
    return FeatureCritic(embedding(), head(), critic=critic(), inner_lr=RATE)


def by_hand(second_order: bool = True, sign: float = 1.0) -> dict[str, torch.Tensor]:
    """Three separate updates, each with its own gradient."""
    theta, top, omega = leaves(embedding()), leaves(head()), leaves(critic())
    support, query = episode().support, episode().query

    def judged(z):
        return F.softplus(torch.tanh(z @ omega[0].T + omega[1]) @ omega[2].T + omega[3]).mean()

    def fit(theta, examples):
        return F.cross_entropy(linear(top, embed(theta, examples.x)), examples.y)

    ours = fit(theta, support) + judged(embed(theta, support.x))
    of_theta = torch.autograd.grad(ours, [*theta, *top], retain_graph=True)
    g = torch.autograd.grad(fit(theta, support), theta)
    h = torch.autograd.grad(judged(embed(theta, support.x)), theta, create_graph=second_order)
    old = [t.detach() - RATE * one for t, one in zip(theta, g, strict=True)]
    new = [t - RATE * one for t, one in zip(old, h, strict=True)]
    gain = sign * torch.tanh(fit(new, query) - fit(old, query))
    of_omega = torch.autograd.grad(gain, omega) if second_order else [torch.zeros_like(one) for one in omega]
    names = [name for name, _ in learner().named_parameters()]
    return dict(zip(names, [*of_theta, *of_omega], strict=True))


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_every_part_has_the_gradient_of_its_own_update(executor):
    _, found = qs.meta_gradient(learner(), [episode()] * 2, executor=executor)
    assert_equal(found, by_hand())
    assert differs(found, by_hand(sign=-1.0))  # control: a critic that is paid for harm
    assert differs(found, by_hand(second_order=False))  # control: without the derivative through d h / d theta
    assert all(float(found[name].norm()) > 1e-6 for name in found if name.startswith("critic") and name != "critic.2.bias")


def test_the_features_do_not_see_the_gain():
    """With a critic of zeros in the last layer its judgement is flat, and the features learn what ERM on the support learns."""
    made = learner()
    with torch.no_grad():
        made.critic[2].weight.zero_()
    _, found = qs.meta_gradient(made, [episode()])
    theta, top, support = leaves(embedding()), leaves(head()), episode().support
    erm = torch.autograd.grad(F.cross_entropy(linear(top, embed(theta, support.x)), support.y), [*theta, *top])
    assert_equal({name: found[name] for name in list(found)[:4]}, dict(zip(list(found)[:4], erm, strict=True)))


def test_without_a_support_it_is_refused():
    with pytest.raises(
        TaskError, match="`support`: expected examples of some domains, whose features the critic judges, got none"
    ):
        qs.meta_gradient(learner(), [episode(support=False)])
