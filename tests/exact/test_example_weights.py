"""Learned example weights against closed forms: weighted least squares, and steps written by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.meta.executors.networks import assert_same
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.episode import stack
from quickstudy.learners.bilevel.example_weights import LearningToReweight, MetaWeightNet, WeightPerExample
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.linear_solvers import Exact, Identity
from quickstudy.meta.carried import CarriedRuns
from quickstudy.meta.estimators.fixed_point import FixedPoint
from quickstudy.meta.estimators.lookahead import Lookahead
from quickstudy.meta.executors import Loop, Vmap
from quickstudy.meta.problem import Problem
from quickstudy.tasks.distribution.streams import Streams

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def linear(features=3):
    return nn.Linear(features, 1, bias=False)


def regression(n, truth, wrong=0):
    """Targets of a linear truth, the first `wrong` of them of twice its opposite."""
    x = torch.randn(n, len(truth))
    y = x @ truth[:, None] + 0.1 * torch.randn(n, 1)
    y[:wrong] *= -2.0
    return qs.Examples(x, y)


# ---- weighted least squares ----------------------------------------------------------------------------------------------


def at_rest(run, episode, solver):
    return qs.meta_gradient(run, [episode], estimator=FixedPoint(solver))[1]["weigh.logit"]


def test_weights_at_rest_have_the_gradient_of_weighted_least_squares():
    """theta* = (X'WX)^{-1} X'Wy with W = diag(sigmoid(phi)), outer loss mean (x theta* - y)^2."""
    truth = torch.tensor([1.0, -2.0, 0.5])
    support, query = regression(12, truth, wrong=3), regression(20, truth)
    weights = WeightPerExample(12)
    with torch.no_grad():
        weights.logit.copy_(torch.linspace(-1, 1, 12))
    run = LearnedTraining(linear(), steps=120, inner_lr=0.7, weights=weights)
    got = at_rest(run, qs.Episode(support, query), Exact())
    phi = weights.logit.detach().clone().requires_grad_()
    W = torch.diag(phi.sigmoid())
    theta = torch.linalg.solve(support.x.T @ W @ support.x, support.x.T @ W @ support.y)
    (want,) = torch.autograd.grad(((query.x @ theta - query.y) ** 2).mean(), phi)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9)
    missed = at_rest(run, qs.Episode(support, query), Identity(1.0))  # the control: the identity in the inverse's place
    assert (missed - want).abs().max() > 0.1 * want.abs().max()


def test_a_wrong_example_pulls_the_other_way():
    """x = 1, clean targets 0, one wrong target 1: theta* = mean_w(y) and dL/dw_i = 2 theta* (y_i - theta*) / sum w."""
    support = qs.Examples(torch.ones(5, 1), torch.tensor([[0.0], [0.0], [0.0], [0.0], [1.0]]))
    query = qs.Examples(torch.ones(4, 1), torch.zeros(4, 1))
    run = LearnedTraining(linear(1), steps=100, inner_lr=0.5, weights=WeightPerExample(5))
    got = at_rest(run, qs.Episode(support, query), Exact())
    want = 2 * 0.2 * (support.y[:, 0] - 0.2) / 2.5 * 0.25
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)
    assert bool((got[:4] < 0).all())
    assert float(got[4]) > 0


# ---- Meta-Weight-Net -----------------------------------------------------------------------------------------------------


def classes(n=9):
    return qs.Examples(torch.randn(n, 4), torch.arange(n) % 3, 3)


def by_hand(run, net, theta, support, query, normalised, through_v=False):
    """One step and the outer loss after it, by plain autograd: the gradient in V's parameters."""
    names = [name for name, _ in net.named_parameters()]
    f = lambda theta, x: torch.func.functional_call(net, dict(zip(names, theta, strict=True)), (x,))
    each = F.cross_entropy(f(theta, support.x), support.y, reduction="none")
    v = run.weigh.net((each if through_v else each.detach())[:, None])[:, 0]
    w = v / v.sum() if normalised else v / len(v)
    g = torch.autograd.grad((w * each).sum(), theta, create_graph=True)
    ahead = [p - 0.5 * one for p, one in zip(theta, g, strict=True)]
    return torch.autograd.grad(F.cross_entropy(f(ahead, query.x), query.y), list(run.weigh.parameters()))


@pytest.mark.parametrize("normalised", [False, True])
def test_meta_weight_nets_gradient_is_the_hand_written_one(normalised):
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    run = LearnedTraining(net, steps=1, inner_lr=0.5, weights=MetaWeightNet(6, normalised=normalised))
    support, query = classes(), classes()
    got = qs.meta_gradient(run, [qs.Episode(support, query)], seed=4)[1]
    seed = int(torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(4)))
    theta = [p.clone().requires_grad_() for p in run.init(support, seed)["theta"].values()]
    want = by_hand(run, net, theta, support, query, normalised)
    for (name, _), one in zip(run.weigh.named_parameters(), want, strict=True):
        torch.testing.assert_close(got[f"weigh.{name}"], one, rtol=1e-9, atol=1e-13)
    wrong = by_hand(run, net, theta, support, query, normalised, through_v=True)  # the control: V differentiated by the student
    gaps = [
        float((got[f"weigh.{name}"] - one).abs().max())
        for (name, _), one in zip(run.weigh.named_parameters(), wrong, strict=True)
    ]
    assert max(gaps) > 1e-5


def test_a_meta_weight_net_that_sees_the_class():
    """E_y = 0 is the paper's net; its derivative is that of the row of the class by differences, and that of no other class."""
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    weigh = MetaWeightNet(6, classes=3)
    run = LearnedTraining(net, steps=1, inner_lr=0.5, weights=weigh)
    losses, y = torch.rand(9), torch.arange(9) % 3
    torch.testing.assert_close(weigh.value(losses, y), weigh.net(losses[:, None])[:, 0], rtol=0, atol=0)
    with torch.no_grad():
        weigh.E.copy_(torch.randn(3, 6))
    assert bool(((weigh.value(losses, y) - weigh.net(losses[:, None])[:, 0]).abs() > 1e-4).all())
    support, query = qs.Examples(torch.randn(6, 4), torch.arange(6) % 2, 3), classes()  # without the third class
    episode = [qs.Episode(support, query)]
    got = qs.meta_gradient(run, episode, seed=4)[1]["weigh.E"]
    for place in [(0, 1), (1, 4), (2, 2)]:
        values = []
        for h in (1e-6, -1e-6):
            with torch.no_grad():
                weigh.E[place] += h
            values.append(float(qs.meta_gradient(run, episode, seed=4)[0].mean().detach()))
            with torch.no_grad():
                weigh.E[place] -= h
        want = (values[0] - values[1]) / 2e-6
        torch.testing.assert_close(float(got[place].detach()), want, rtol=1e-5, atol=1e-10)
    assert bool((got[2] == 0).all())
    assert float(got[:2].abs().max()) > 1e-6


def test_lookahead_over_a_stream_and_its_executors():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    run = LearnedTraining(net, steps=10, inner_lr=0.5, weights=MetaWeightNet(6))
    data = classes(60)
    tasks = Streams(data.x, data.y, batch=8, window=1).train
    window = CarriedRuns(Lookahead(), run, tasks, 3, 0).draw(torch.Generator().manual_seed(0))
    seeds = torch.tensor([1, 2, 3])
    loop, vmap = (one.gradient(Problem(run, Lookahead()), window, seeds) for one in (Loop(), Vmap()))
    assert_same(vmap.gradient, loop.gradient, 1e-10)
    total = None
    for t in range(3):
        theta = [p.clone().requires_grad_() for p in run.init(None, int(window.run[t]))["theta"].values()]
        part = lambda examples: qs.Examples(examples.x[t, 0], examples.y[t, 0], 3)  # noqa: B023
        one = by_hand(run, net, theta, part(window.episode.support), part(window.episode.query), False)
        total = one if total is None else [a + b for a, b in zip(total, one, strict=True)]
    for (name, _), want in zip(run.weigh.named_parameters(), total, strict=True):
        torch.testing.assert_close(loop.gradient[f"weigh.{name}"], want / 3, rtol=1e-9, atol=1e-13)


def test_meta_weight_net_learns_to_distrust_wrong_labels():
    """Half of the training labels drawn at random, a clean outer set: V learns to fall with the loss."""
    truth = torch.randn(6, 3)
    x = torch.randn(600, 6)
    clean = (x @ truth).argmax(1)
    wrong = torch.where(torch.rand(600) < 0.5, torch.randint(3, (600,)), clean)
    outer = qs.Examples(x[:100], clean[:100], 3)
    tasks = Streams(x[100:], wrong[100:], batch=32, window=1, outer=outer, outer_batch=50)
    run = LearnedTraining(nn.Linear(6, 3), steps=10**6, inner_lr=0.3, weights=MetaWeightNet(20, normalised=True))
    optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.01)
    qs.meta_train(run, tasks.train, steps=60, tasks_per_step=2, outer=qs.Gradient(Lookahead(), optimizer),
                  executor="vmap", progress=False)  # fmt: skip
    low, high = run.weigh.value(torch.tensor([0.1, 3.0])).tolist()
    assert low > 5 * high  # only ratios count: the weights are normalised


# ---- learning to reweight ------------------------------------------------------------------------------------------------


def reweighted(truth, wrong):
    support = regression(10, truth, wrong)
    run = LearningToReweight(linear(len(truth)), trusted=4, steps=1, inner_lr=0.1)
    return run, support, run.init(support, 0), run.parts(support)


def test_weights_are_inner_products_of_gradients():
    """u_i = a <grad l_i, grad L_trusted>, cut at 0, normalised; and the step is a weighted least-squares gradient."""
    truth = torch.tensor([1.0, -2.0, 0.5])
    run, support, state, (weighed, trusted) = reweighted(truth, wrong=3)
    state["theta"]["weight"] = 0.5 * truth[None]  # between the two truths
    got = run.example_weights(state, weighed, trusted).detach()
    theta = state["theta"]["weight"][0]
    each = 2 * (weighed.x @ theta - weighed.y[:, 0])[:, None] * weighed.x  # (6, 3)
    own = 2 * ((trusted.x @ theta - trusted.y[:, 0])[:, None] * trusted.x).mean(0)
    u = 0.1 * each @ own
    want = u.clamp(min=0) / u.clamp(min=0).sum()
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-13)
    assert float(got.sum()) == pytest.approx(1)
    assert (u < 0).any()
    assert (got - u / u.sum()).abs().max() > 1e-2  # the control: without the cut at 0
    after = run.step(state, support)["theta"]["weight"][0]
    torch.testing.assert_close(after, theta - 0.1 * want @ each, rtol=1e-10, atol=1e-13)


def test_where_all_gradients_are_against_the_trusted_ones_nothing_moves():
    x = torch.ones(5, 1)
    support = qs.Examples(x, torch.tensor([[-9.0], [-9.0], [-9.0], [9.0], [9.0]]))
    run = LearningToReweight(linear(1), trusted=2, steps=1, inner_lr=0.1)
    state = run.init(support, 0)
    assert run.example_weights(state, *run.parts(support)).tolist() == [0, 0, 0]
    assert torch.equal(run.step(state, support)["theta"]["weight"], state["theta"]["weight"])


def test_reweighting_survives_wrong_targets_that_ruin_the_plain_student():
    truth = torch.tensor([1.0, -2.0, 0.5])
    wrong, clean, query = regression(60, truth, wrong=30), regression(10, truth), regression(50, truth)
    support = qs.Examples(torch.cat([wrong.x, clean.x]), torch.cat([wrong.y, clean.y]))
    ours = LearningToReweight(linear(), trusted=10, steps=150, inner_lr=0.05, batch_size=30, trusted_batch_size=10)
    plain = LearnedTraining(linear(), steps=150, inner_lr=0.05)
    error = lambda learner: float(F.mse_loss(learner.adapt(support)(query.x), query.y))
    assert error(ours) < 0.5 * error(plain)


def test_a_batch_holds_the_trusted_last():
    support = qs.Examples(torch.arange(12.0)[:, None], torch.zeros(12, 1))
    run = LearningToReweight(linear(1), trusted=4, batch_size=3, trusted_batch_size=2)
    batches = [run.minibatch(support, 0, step).x[:, 0] for step in range(30)]
    assert all(bool((batch[:3] < 8).all()) and bool((batch[3:] >= 8).all()) and len(batch) == 5 for batch in batches)
    assert set(torch.cat(batches).tolist()) == set(range(12))


def test_executors_serve_runs_whose_weights_are_reweighted():
    """Under a learned start it has a gradient: loop and vmap agree."""
    run = LearningToReweight(linear(), trusted=3, steps=2)
    truth = torch.ones(3)
    episodes = stack([qs.Episode(regression(9, truth, 2), regression(5, truth)) for _ in range(3)])
    run.learned_start, run.network = True, linear()
    want, got = (qs.meta_gradient(run, episodes, executor=executor) for executor in ("loop", "vmap"))
    torch.testing.assert_close(got[0], want[0])
    assert_same(got[1], want[1], 1e-10)
    assert float(want[1]["network.weight"].abs().max()) > 1e-3


def test_what_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"`trusted`: expected 1 or more, got 0"):
        LearningToReweight(linear(), trusted=0)
    with pytest.raises(errors.TaskError, match=r"`support`: expected examples beyond the 9 trusted ones at its end, got 9"):
        LearningToReweight(linear(), trusted=9).adapt(regression(9, torch.ones(3)))
    with pytest.raises(errors.ShapeError, match=r"`WeightPerExample\(n\)`: expected a batch of 4 examples.*got 9"):
        LearnedTraining(linear(), weights=WeightPerExample(4)).adapt(regression(9, torch.ones(3)))
    with pytest.raises(errors.ArgumentError, match=r"`hidden`: expected 1 or more"):
        MetaWeightNet(0)
    with pytest.raises(errors.LabelError, match=r"`support.y`: expected labels of at most 2 classes.*got labels of 3"):
        LearnedTraining(nn.Linear(4, 3), weights=MetaWeightNet(classes=2)).adapt(classes())
    with pytest.raises(errors.LabelError, match=r"got targets that are no labels"):
        LearnedTraining(linear(), weights=MetaWeightNet(classes=2)).adapt(regression(9, torch.ones(3)))
    with pytest.raises(errors.ArgumentError, match=r"`initial`: expected between 0 and 1"):
        WeightPerExample(3, initial=1.0)
