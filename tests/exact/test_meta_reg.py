"""MetaReg against Balaji et al.'s algorithm 1 written down with plain autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.exact.several_domains import (
    DOMAINS,
    assert_equal,
    differs,
    embed,
    embedding,
    episode,
    head,
    leaves,
    linear,
    part,
)  # fmt: skip

import quickstudy as qs
from quickstudy.errors import ArgumentError
from quickstudy.learners.generalise import MetaReg
from quickstudy.meta.gradient import episode_seeds
from quickstudy.meta.problem import Problem
from quickstudy.random import stateless_order

RATE, STEPS = 0.5, 2


def learner() -> MetaReg:
    """Each domain's head is another one, and so is each penalty."""
    made = MetaReg(embedding(), head(), domains=DOMAINS, inner_lr=RATE, inner_steps=STEPS, initial=0.05)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for one in (*made.heads.parameters(), *made.log_penalties):
            one.add_(0.3 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return made


def by_hand(swapped: bool = False, sign: float = 1.0, through: bool = True) -> dict[str, torch.Tensor]:
    made, query = learner(), episode().query
    seed = int(episode_seeds(1, torch.Generator().manual_seed(0), Problem(made, qs.Backprop()))[0])
    a, b = stateless_order(seed, DOMAINS).tolist()[:2]
    a, b = (b, a) if swapped else (a, b)
    psi, top = leaves(made.embed), leaves(made.head)
    heads, rho = [leaves(one) for one in made.heads], leaves(made.log_penalties)

    def penalty(beta, weights):
        return sum((weight.exp() * one.abs()).sum() for weight, one in zip(weights, beta, strict=True))

    fitted = F.cross_entropy(linear(top, embed(psi, query.x)), query.y)
    of_network = torch.autograd.grad(fitted + sign * penalty(top, [one.detach() for one in rho]), [*psi, *top])
    z = [(embed(psi, x).detach(), y) for x, y in (part(query, domain) for domain in range(DOMAINS))]
    of_heads = [torch.autograd.grad(F.cross_entropy(linear(own, z[d][0]), z[d][1]), own) for d, own in enumerate(heads)]
    beta = [one.detach().clone().requires_grad_() for one in heads[a]]
    for _ in range(STEPS):
        inner = F.cross_entropy(linear(beta, z[a][0]), z[a][1]) + penalty(beta, rho)
        g = torch.autograd.grad(inner, beta, create_graph=True)
        beta = [one - RATE * (step if through else step.detach()) for one, step in zip(beta, g, strict=True)]
    across = F.cross_entropy(linear(beta, z[b][0]), z[b][1])
    of_rho = torch.autograd.grad(across, rho, allow_unused=True, materialize_grads=True)
    names = [name for name, _ in made.named_parameters()]
    return dict(zip(names, [*of_network, *(g for own in of_heads for g in own), *of_rho], strict=True))


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_every_part_has_the_gradient_of_its_own_update(executor):
    _, found = qs.meta_gradient(learner(), [episode(support=False)], executor=executor)
    assert_equal(found, by_hand())
    assert differs(found, by_hand(swapped=True))  # control: scored on the domain that the head was trained on
    assert differs(found, by_hand(sign=-1.0))  # control: a penalty that is a reward
    assert differs(found, by_hand(through=False))  # control: inner gradients as constants, which leave rho without any
    assert all(float(found[f"log_penalties.{n}"].norm()) > 1e-6 for n in (0, 1))


def test_fewer_than_two_domains_are_refused():
    with pytest.raises(ArgumentError, match="`domains`: expected 2 or more: one to train on, one to be scored on, got 1"):
        MetaReg(embedding(), head(), domains=1)
