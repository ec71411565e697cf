"""MANN against a loop written by hand over numbers, and the labels that come one step late."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners import stirred
from tests.exact.quadratic import assert_slopes_agree, finite_differences
from tests.meta.executors.networks import assert_same
from torch import nn
from torch.func import vmap

import quickstudy as qs
from quickstudy import testing
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.learners.read.mann import EPSILON, MANN, NEVER_USED, FeedForward

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

WAYS, FEATURES = 3, 4


def a_learner(embed=None, **arguments):
    arguments = {"max_ways": WAYS + 1, "slots": 6, "width": 3, "hidden": 5, "heads": 2, "sharpness": 4.0, **arguments}
    return stirred(MANN(embed or nn.Identity(), FEATURES, **arguments), 0.3)


def an_episode(shots=2, queries=2):
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, FEATURES), torch.randperm(WAYS * n) % WAYS, WAYS)
    return qs.Episode(draw(shots), draw(queries))


@torch.no_grad()
def by_hand(learner, z, labels, mistake=None):
    """Outputs [h_t, r_t] of every step, memory after the last: loops over heads and slots, on Python lists.

    `mistake`: "on time" shows y_t at step t, "most used" writes where usage is the largest, "kept" does not empty the slot.
    """
    J, N, D = learner.heads, learner.slots, learner.width
    M = [[0.0] * D for _ in range(N)]
    v = [[0.0] * N for _ in range(J)]
    u = [NEVER_USED * i / N for i in range(N)]
    r = [0.0] * (J * D)
    h, c = torch.zeros(learner.hidden), torch.zeros(learner.hidden)
    outputs = []
    for t in range(len(z)):
        y = [0.0] * learner.max_ways
        if mistake == "on time":
            y[labels[t]] = 1.0
        elif t > 0:
            y[labels[t - 1]] = 1.0
        h, c = learner.controller(torch.tensor(z[t].tolist() + y + r), h, c)
        k = torch.tanh(h @ learner.K + learner.b).tolist()
        gates = torch.sigmoid(h @ learner.G + learner.c).tolist()
        order = sorted(range(N), key=lambda i: u[i], reverse=mistake == "most used")
        w = [[gates[j] * v[j][i] + (1 - gates[j]) * (order[j] == i) for i in range(N)] for j in range(J)]
        for i in range(N):
            for d in range(D):
                emptied = {"kept": [], "all emptied": order[:J]}.get(mistake, order[:1])
                kept = 0.0 if i in emptied else M[i][d]
                M[i][d] = kept + sum(w[j][i] * k[j * D + d] for j in range(J))
        r = []
        for j in range(J):
            scores = []
            for i in range(N):
                inner = sum(k[j * D + d] * M[i][d] for d in range(D))
                length = lambda a: math.sqrt(sum(one * one for one in a) + EPSILON)
                cosine = inner / (length(k[j * D : j * D + D]) * length(M[i]))
                scores.append(math.exp(float(learner.log_beta[j].exp()) * cosine))
            v[j] = [one / sum(scores) for one in scores]
            r += [sum(v[j][i] * M[i][d] for i in range(N)) for d in range(D)]
        for i in range(N):
            u[i] = learner.decay * u[i] + sum(v[j][i] + w[j][i] for j in range(J))
        outputs.append(h.tolist() + r)
    return torch.tensor(outputs), torch.tensor(M), torch.tensor(u)


@pytest.mark.parametrize("arguments", [{}, {"heads": 1}, {"recurrent": False}, {"slots": 3, "decay": 0.5}])
def test_steps_against_a_loop_over_numbers(arguments):
    """More steps than slots, so that used ones are taken again. Controls: mistakes that the comparison must catch."""
    learner = a_learner(**arguments)
    with torch.no_grad():
        z, y = torch.randn(8, FEATURES), torch.randint(WAYS, (8,))
        state, outputs = learner._steps(z, y, WAYS)
        want, memory, usage = by_hand(learner, z, y.tolist())
        torch.testing.assert_close(outputs, want, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(state["memory"][0], memory, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(state["usage"][0], usage, rtol=1e-9, atol=1e-9)
        for mistake in ("on time", "most used", "kept", "all emptied")[: 4 if learner.heads > 1 else 3]:
            wrong, *_ = by_hand(learner, z, y.tolist(), mistake)
            assert not torch.allclose(outputs, wrong, rtol=1e-4, atol=1e-4), mistake


def test_least_used_slots():
    """The smallest usage first. Control: the order matters, since head j takes the j-th."""
    learner = a_learner(slots=4, heads=2)
    chosen = learner.least_used(torch.tensor([[0.3, 0.1, 0.9, 0.2], [0.0, 0.0, 0.5, 0.1]]))
    assert torch.equal(chosen.argmax(2), torch.tensor([[1, 3], [0, 1]]))
    assert torch.equal(chosen.sum(2), torch.ones(2, 2))
    assert not torch.equal(chosen, chosen.flip(1))


def test_what_was_never_used_is_taken_in_its_order_before_anything_used():
    learner = a_learner(slots=6, heads=1)
    with torch.no_grad():
        learner.G.zero_()
        learner.c.fill_(-50.0)  # all of each write goes to the least used slot
        state = learner._empty(torch.zeros(1, FEATURES))
        for step in range(6):
            assert int(learner.least_used(state["usage"]).argmax()) == step
            state, _ = learner._step(state, torch.randn(1, FEATURES))
            assert int((state["memory"][0].abs().sum(1) > 1e-9).sum()) == step + 1
    assert state["memory"].abs().sum(2).min() > 1e-9


def test_a_label_comes_one_step_late_exactly():
    """Other labels from step s on change nothing up to step s, bit for bit, and what follows; d out_t / d y_s = 0 for s >= t.

    Control: labels that come on time change step s itself.
    """
    learner = a_learner()
    z, y = torch.randn(7, FEATURES), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    logits = learner.logits(z, y, WAYS)
    for s in range(7):
        other = y.clone()
        other[s:] = (other[s:] + 1) % WAYS
        changed = learner.logits(z, other, WAYS)
        assert torch.equal(changed[: s + 1], logits[: s + 1])
        assert s == 6 or not torch.allclose(changed[s + 1], logits[s + 1])
        on_time = [by_hand(learner, z, labels.tolist(), "on time")[0] for labels in (y, other)]
        assert not torch.allclose(on_time[0][s], on_time[1][s])
        assert torch.equal(on_time[0][:s], on_time[1][:s])


def test_the_output_at_t_does_not_depend_on_later_inputs_exactly():
    """The jacobian is lower triangular, and full there. Control: read in the other order it is not."""
    learner, y = a_learner(), torch.tensor([0, 1, 2, 0, 1])
    seen = lambda function: torch.autograd.functional.jacobian(function, z).abs().sum((1, 3)) > 0
    z = torch.randn(5, FEATURES)
    earlier = torch.ones(5, 5, dtype=torch.bool).tril()
    assert torch.equal(seen(lambda z: learner.logits(z, y, WAYS)), earlier)
    assert not torch.equal(seen(lambda z: learner.logits(z.flip(0), y, WAYS).flip(0)), earlier)


def test_a_query_is_the_step_after_the_support():
    """It brings the last label; each is alone. Control: as the second of two queries it is answered otherwise."""
    learner, episode = a_learner(), an_episode()
    support, x = episode.support, episode.query.x
    got = learner(support, x)
    for row, query in zip(got, x, strict=True):
        z, y = torch.cat([support.x, query[None]]), torch.cat([support.y, torch.zeros(1, dtype=torch.int64)])
        torch.testing.assert_close(row, learner.logits(z, y, WAYS)[-1], rtol=1e-11, atol=1e-12)
    both = learner.logits(torch.cat([support.x, x[:2]]), torch.cat([support.y, episode.query.y[:2]]), WAYS)
    torch.testing.assert_close(got[0], both[-2], rtol=1e-11, atol=1e-12)
    assert not torch.allclose(got[1], both[-1])
    seen = torch.autograd.functional.jacobian(lambda x: learner(support, x), x).abs().sum((1, 3)) > 0
    assert torch.equal(seen, torch.eye(len(x), dtype=torch.bool))


def test_the_losses_are_those_of_the_sequence_and_of_the_queries():
    learner, episode = a_learner(), an_episode()
    z = torch.cat([episode.support.x, episode.query.x])
    y = torch.cat([episode.support.y, episode.query.y])
    outputs, *_ = by_hand(learner, z, y.tolist())
    want = F.cross_entropy((outputs @ learner.W + learner.w)[:, :WAYS], y)
    torch.testing.assert_close(learner.loss(episode), want, rtol=1e-9, atol=1e-9)
    alone = a_learner(sequence=False)
    alone.load_state_dict(learner.state_dict())
    answers = F.cross_entropy(learner(episode.support, episode.query.x), episode.query.y)
    torch.testing.assert_close(alone.loss(episode), answers)
    assert not torch.allclose(alone.loss(episode), want)


@pytest.mark.parametrize("arguments", [{}, {"recurrent": False, "sequence": False}])
def test_gradient_by_finite_differences(arguments):
    """And the initial memory, where lengths are 0, has a finite slope."""
    learner = a_learner(nn.Sequential(nn.Linear(4, FEATURES), nn.Tanh()), **arguments)
    draw = lambda n: qs.Examples(torch.randn(n, 4), torch.arange(n) % WAYS, WAYS)
    assert_slopes_agree(finite_differences(learner, [qs.Episode(draw(3), draw(3))]))


def test_a_loop_of_tasks_and_vmap_take_the_same_slots():
    """Which slot is written is a decision, not a number: equal at every step, with many slots that were never used."""
    learner = a_learner(slots=40).float()
    z, y = torch.randn(5, 9, FEATURES, dtype=torch.float32), torch.randint(WAYS, (5, 9))
    with torch.no_grad():
        together = vmap(lambda z, y: learner._steps(z, y, WAYS)[0]["usage"])(z, y)
        alone = torch.stack([learner._steps(*task, WAYS)[0]["usage"] for task in zip(z, y, strict=True)])
    assert torch.equal(together.argsort(-1)[..., -9:], alone.argsort(-1)[..., -9:])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_feed_forward_controller_keeps_nothing():
    controller = FeedForward(3, 2)
    x, h, c = torch.randn(4, 3), torch.randn(4, 2), torch.randn(4, 2)
    torch.testing.assert_close(controller(x, h, c)[0], controller(x, 2 * h, c)[0])
    torch.testing.assert_close(controller(x, h, c)[0], torch.tanh(x @ controller.layer.weight.T + controller.layer.bias))


@pytest.mark.parametrize("check", ["order", "labels"])
def test_what_it_declares_not_to_keep_it_does_not_keep(check):
    learner = a_learner()
    learner.order_invariant = learner.label_equivariant = True
    with pytest.raises(testing.ConformanceError):
        getattr(testing, f"check_{check}")(learner, an_episode())


def test_second_order():
    """The slope of the gradient's square, loop against vmap: nothing on the way lacks a second derivative or its rule."""
    learner, episode = a_learner(), an_episode(1, 1)
    names = [name for name, _ in learner.named_parameters()]

    def steepness(phi, z, y):
        loss = lambda phi: torch.func.functional_call(Logits(learner), phi, (z, y)).log_softmax(1)[:, 0].mean()
        return sum((one**2).sum() for one in torch.func.grad(loss)(phi).values())

    phi = {f"learner.{name}": one.detach().requires_grad_() for name, one in learner.named_parameters()}
    z = torch.stack([episode.support.x, 0.5 * episode.support.x])
    y = torch.stack([episode.support.y, episode.support.y])
    slopes = []
    for loss in (
        vmap(steepness, in_dims=(None, 0, 0))(phi, z, y).mean(),
        torch.stack([steepness(phi, *task) for task in zip(z, y, strict=True)]).mean(),
    ):
        found = torch.autograd.grad(loss, list(phi.values()), allow_unused=True)
        slopes.append({name: torch.zeros(1) if one is None else one for name, one in zip(names, found, strict=True)})
    assert_same(*slopes)


class Logits(nn.Module):
    def __init__(self, learner):
        super().__init__()
        self.learner = learner

    def forward(self, z, y):
        return self.learner.logits(z, y, WAYS)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"heads": 7}, r"`heads`: expected at most slots=6, got 7\. Each writes to a slot of its own"),
        ({"decay": 1.5}, r"`decay`: expected a number in \[0, 1\], got 1\.5"),
        ({"sharpness": 0.0}, r"`sharpness`: expected a number above 0, got 0\.0"),
        ({"slots": 0}, r"`slots`: expected 1 or more, got 0"),
    ],
)
def test_sizes_that_are_none(arguments, text):
    with pytest.raises(ArgumentError, match=text):
        a_learner(**arguments)


def test_support_sets_that_it_cannot_read():
    learner = a_learner()
    with pytest.raises(LabelError, match=r"`support\.y`: expected at most max_ways=4 classes, got 5\. Build and meta-train"):
        learner.adapt(qs.Examples(torch.randn(5, FEATURES), torch.arange(5)))
    with pytest.raises(LabelError, match=r"`support\.y`: expected class labels"):
        learner.adapt(qs.Examples(torch.randn(5, FEATURES), torch.randn(5, 1)))
    with pytest.raises(ShapeError, match=r"`features`: expected an embedding of shape \(examples, 4\), got \(2, 7\)"):
        learner.adapt(qs.Examples(torch.randn(2, 7), torch.arange(2)))
