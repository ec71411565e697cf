"""GroupDRO against plain autograd and against its own algorithm, step by step."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tests.exact.several_domains import CLASSES, DOMAINS, FEATURES, assert_equal, differs, episode, leaves, loss, network, part

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.learners.generalise import GroupDRO

RATE = 0.7


def learner(rate: float = RATE) -> GroupDRO:
    """Weights that are not alike: q before the step."""
    made = GroupDRO(network(), domains=DOMAINS, rate=rate)
    made.log_weights.copy_(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log())
    return made


def by_hand(rate: float = RATE, sign: float = 1.0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Sagawa et al.'s algorithm 1: first q, then the gradient of the loss that q weighs."""
    w, query = leaves(network()), episode().query
    losses = torch.stack([loss(w, *part(query, domain)) for domain in range(DOMAINS)])
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64) * torch.exp(sign * rate * losses.detach())
    q = q / q.sum()
    found = torch.autograd.grad((q * losses).sum(), w)
    return dict(zip((f"network.{name}" for name, _ in network().named_parameters()), found, strict=True)), q


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_the_gradient_is_of_the_weighted_loss(executor):
    _, found = qs.meta_gradient(learner(), [episode(support=False)] * 2, executor=executor)
    assert_equal(found, by_hand()[0])
    assert differs(found, by_hand(sign=-1.0)[0])  # control: descent in q, the best domain in place of the worst
    assert differs(found, by_hand(rate=0.0)[0])  # control: q of the step before


class Fixed(qs.tasks.DomainTasks):
    """The one episode above, for every draw."""

    def __init__(self):
        pool = episode().query
        column = [f"d{row // 4}" for row in range(len(pool))]
        tasks = qs.tasks.LabelledTasks(pool.x, pool.y, ways=CLASSES, shots=0, queries=2, columns={"domain": column})
        self.__dict__.update(qs.tasks.by_domain(tasks, "domain").__dict__)

    def sample(self, n, *, generator=None):
        return episode(support=False).map(lambda leaf: leaf.expand(n, *leaf.shape))


def test_q_follows_exponentiated_gradient_through_a_run(tmp_path):
    """Ten steps of the algorithm by hand; the weights are saved with the learner, and the losses are in the history."""
    made = GroupDRO(network(), domains=DOMAINS, rate=RATE)
    outer = qs.Gradient(qs.Backprop(), partial(torch.optim.SGD, lr=0.3))
    run = qs.meta_train(made, Fixed(), steps=10, tasks_per_step=2, outer=outer, executor="vmap", progress=False)
    w, q, query = leaves(network()), torch.full((DOMAINS,), 1 / DOMAINS, dtype=torch.float64), episode().query
    for _ in range(10):
        losses = torch.stack([loss(w, *part(query, domain)) for domain in range(DOMAINS)])
        last = losses.detach()
        q = q * torch.exp(RATE * last)
        q = q / q.sum()
        w = [
            (one - 0.3 * g).detach().requires_grad_()
            for one, g in zip(w, torch.autograd.grad((q * losses).sum(), w), strict=True)
        ]
    torch.testing.assert_close(made.weights, q, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(next(made.parameters()), w[0], rtol=1e-10, atol=1e-12)
    assert [run.history[-1][f"loss of domain {d}"] for d in range(DOMAINS)] == pytest.approx(last.tolist(), rel=1e-6)
    assert float(q.max() - q.min()) > 0.05  # so it matters
    made.save(tmp_path / "learner")
    assert torch.equal(qs.load(tmp_path / "learner", network=network()).weights, made.weights)


def test_without_a_rate_it_is_erm():
    made = GroupDRO(network(), domains=DOMAINS, rate=0.0)
    _, found = qs.meta_gradient(made, [episode(support=False)])
    w, query = leaves(network()), episode().query
    expected = torch.autograd.grad(loss(w, query.x, query.y), w)
    assert_equal(found, dict(zip(found, expected, strict=True)))


def test_what_does_not_tell_domains_apart_is_refused_before_it_trains():
    x, y, column = torch.randn(40, FEATURES), torch.arange(40) % 2, ["a"] * 20 + ["b"] * 20
    plain = qs.tasks.LabelledTasks(x, y, ways=2, shots=1, queries=2, columns={"domain": column})
    with pytest.raises(
        UnsupportedError,
        match=r"`tasks`: expected tasks of every domain at once, since GroupDRO tells domains apart, got AcrossTasks. Give "
        r"tasks.by_domain",
    ):
        qs.meta_train(learner(), qs.tasks.across(plain, "domain", renumber=False), steps=1, tasks_per_step=1, progress=False)
    with pytest.raises(ArgumentError, match=r"`GroupDRO\(domains=\)`: expected 3, as many as the tasks have: d0, d1, d2, got 2"):
        qs.meta_train(GroupDRO(network(), domains=2), Fixed(), steps=1, tasks_per_step=1, progress=False)
    with pytest.raises(UnsupportedError, match="`estimator`: expected one that logs the loss of each domain"):
        learner().after({"other": torch.zeros(1)})
