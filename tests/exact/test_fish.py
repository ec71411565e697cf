"""Fish, and Reptile across domains: the direction against a plain loop, and its expansion to second order."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from tests.exact.several_domains import DOMAINS, assert_equal, differs, episode, leaves, loss, network, part

import quickstudy as qs
from quickstudy.errors import ShapeError
from quickstudy.learners.descend import SGD
from quickstudy.learners.generalise import DomainDescent, WithoutSupport
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.meta.gradient import episode_seeds
from quickstudy.meta.problem import Problem
from quickstudy.random import stateless_order
from quickstudy.recipes.generalise import Fish

NAMES = [f"learner.network.{name}" for name, _ in network().named_parameters()]


def fish(inner_lr: float = 0.4, passes: int = 1) -> WithoutSupport:
    return Fish(network(), domains=DOMAINS, inner_lr=inner_lr, passes=passes)


def seed_of(learner: qs.Learner) -> int:
    """The seed that `meta_gradient(seed=0)` gives to the first task."""
    problem = Problem(learner, ReptileDirection())
    return int(episode_seeds(1, torch.Generator().manual_seed(0), problem)[0])


def descended(w, turns, inner_lr: float = 0.4):
    """The weights after one step in each domain of `turns`, by plain autograd."""
    support = episode().support
    for domain in turns:
        g = torch.autograd.grad(loss(w, *part(support, domain)), w)
        w = [(one - inner_lr * step).detach().requires_grad_() for one, step in zip(w, g, strict=True)]
    return w


def direction(turns, inner_lr: float = 0.4):
    start = leaves(network())
    ends = descended(start, turns, inner_lr)
    return dict(zip(NAMES, [a.detach() - b.detach() for a, b in zip(start, ends, strict=True)], strict=True))


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
@pytest.mark.parametrize("passes", [1, 2])
def test_the_direction_is_that_of_a_loop_over_domains(executor, passes):
    learner = fish(passes=passes)
    seed = seed_of(learner)
    turns = [turn for stream in range(passes) for turn in stateless_order(seed, DOMAINS, stream=stream).tolist()]
    _, found = qs.meta_gradient(learner, [episode()], estimator=ReptileDirection(), executor=executor)
    assert_equal(found, direction(turns))
    assert differs(found, direction([*turns[1:], turns[0]]))  # control: another order
    assert differs(found, direction(turns[:-1]))  # control: a domain left out


def test_every_order_comes():
    orders = {tuple(stateless_order(seed, DOMAINS).tolist()) for seed in range(60)}
    assert len(orders) == 6


def inner_products(w, pairs) -> list[torch.Tensor]:
    """d/dw sum over pairs of g_d' g_e, of the domains' gradients at w."""
    support = episode().support
    g = [torch.autograd.grad(loss(w, *part(support, domain)), w, create_graph=True) for domain in range(DOMAINS)]
    total = sum((a * b).sum() for d, e in pairs for a, b in zip(g[d], g[e], strict=True))
    return list(torch.autograd.grad(total, w))


def test_over_all_orders_it_raises_the_inner_product_between_domains():
    """E[phi - theta] = a sum g - a^2/2 d sum_{d<e} g_d'g_e + O(a^3): the remainder falls eightfold where a is halved."""
    w, support = leaves(network()), episode().support
    g = torch.autograd.grad(sum(loss(w, *part(support, domain)) for domain in range(DOMAINS)), w)
    between = inner_products(w, [(0, 1), (0, 2), (1, 2)])

    def rest(a: float, sign: float) -> float:
        turns = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        mean = [sum(each) / 6 for each in zip(*(direction(order, a).values() for order in turns), strict=True)]
        said = [a * one - sign * a**2 / 2 * two for one, two in zip(g, between, strict=True)]
        return float(sum((m - s).square().sum() for m, s in zip(mean, said, strict=True)) ** 0.5)

    right = [rest(a, 1.0) for a in (0.04, 0.02, 0.01)]
    wrong = [rest(a, -1.0) for a in (0.04, 0.02, 0.01)]  # control: it would lower the inner product
    assert all(7 < one / two < 9 for one, two in pairwise(right))
    assert all(3.5 < one / two < 4.5 for one, two in pairwise(wrong))


def test_reptile_across_domains_has_the_inner_products_within_a_domain_too():
    """k steps on the mean loss: phi - theta = a k g - a^2 k(k-1)/2 * 1/2 d g'g + O(a^3), g the mean of the domains' gradients,
    so that g'g holds every pair of domains, and each domain with itself.
    """
    k, w, support = 2, leaves(network()), episode().support
    pairs = [(d, e) for d in range(DOMAINS) for e in range(DOMAINS)]
    g = torch.autograd.grad(loss(w, support.x, support.y), w)
    every = [one / DOMAINS**2 for one in inner_products(w, pairs)]
    between = [one / DOMAINS**2 for one in inner_products(w, [(d, e) for d, e in pairs if d != e])]

    def rest(a: float, products) -> float:
        within = qs.Reptile(network(), inner_lr=a, inner_steps=k, rule=SGD())
        _, found = qs.meta_gradient(WithoutSupport(within), [episode()], estimator=ReptileDirection())
        said = [a * k * one - a**2 * k * (k - 1) / 4 * two for one, two in zip(g, products, strict=True)]
        return float(sum((m - s).square().sum() for m, s in zip(found.values(), said, strict=True)) ** 0.5)

    assert all(7 < one / two < 9 for one, two in pairwise([rest(a, every) for a in (0.04, 0.02, 0.01)]))
    assert all(one / two < 6 for one, two in pairwise([rest(a, between) for a in (0.04, 0.02, 0.01)]))  # control


def test_a_support_that_is_no_multiple_of_the_domains_is_refused():
    short = qs.Examples(torch.randn(7, 3, dtype=torch.float64), torch.arange(7) % 2)
    said = "`support`: expected as many examples of each of 3 domains, one domain after another, got 7"
    with pytest.raises(ShapeError, match=said):
        DomainDescent(network(), domains=DOMAINS).adapt(short)
