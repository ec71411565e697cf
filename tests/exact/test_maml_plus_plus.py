"""MAML++: per-step rates and norms, annealed step losses and derivative order, and how the outer loop says where it is."""

import functools

import pytest
import torch
import torch.nn.functional as F
from tests.checks.executors import executors_agree
from tests.checks.learners import network, targets
from tests.checks.learners_descend import CASES
from tests.exact.quadratic import Quadratic, assert_slopes_agree, far, finite_differences, half_squares, line, start
from tests.meta.executors.networks import assert_same, episodes, network_named
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.learners.descend.annealing import Annealing
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.learner import Learner
from quickstudy.learners.wrap.standardised import Standardised
from quickstudy.meta.executors import Compiled, Threads
from quickstudy.meta.loop.state import MetaTraining
from quickstudy.meta.problem import Answer
from quickstudy.recipes.maml_plus_plus import MAMLPlusPlus
from quickstudy.tasks import TaskDistribution

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

A, K = 0.3, 3


# ---- a rate for each step ----------------------------------------------------------------------------------------------


def test_equal_rates_and_the_last_loss_alone_are_maml():
    """As built, before the outer loop says where it is: exact derivative, last step. Control: other rates are not MAML."""
    task, network = Quadratic(), line()
    learner = MAMLPlusPlus(network, inner_lr=A, inner_steps=K, loss=half_squares)
    loss, want = qs.meta_gradient(qs.MAML(network, inner_lr=A, inner_steps=K, loss=half_squares), [task.episode])
    got_loss, got = qs.meta_gradient(learner, [task.episode])
    torch.testing.assert_close(got_loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got["network.weight"], want["network.weight"], rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        learner.rates.rate[0][0] *= 2
    assert far(want["network.weight"], qs.meta_gradient(learner, [task.episode])[1]["network.weight"])


def test_gradient_in_every_rate_by_hand():
    """t_{s+1} - c = (I - a_s A)(t_s - c). With g_s = A(t_s - c) and o = B(t_K - d),

        dL/da_s = -g_s' prod_{r > s} (I - a_r A) o,        dL/dphi = prod_r (I - a_r A) o

    Control: the same numbers in another order of the steps."""
    task, network, rates = Quadratic(), line(), (0.1, 0.3, 0.2)
    learner = qs.MAML(network, inner_lr=LearnedRates(A, "tensor", per_step=True), inner_steps=K, loss=half_squares)
    with torch.no_grad():
        learner.rates.rate[0].copy_(torch.tensor(rates))
    _, gradient = qs.meta_gradient(learner, [task.episode])
    t, g = start(network), []
    for a in rates:
        g.append(task.A @ (t - task.c))
        t = t - a * g[-1]
    back, want = task.query_gradient(t), []
    for a, one in zip(reversed(rates), reversed(g), strict=True):
        want.insert(0, -one @ back)
        back = back - a * task.A @ back
    torch.testing.assert_close(gradient["rates.rate.0"], torch.stack(want), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient["network.weight"][0], back, rtol=1e-11, atol=1e-12)
    assert far(torch.stack(want), torch.stack(want[::-1]), 0.01)


def test_steps_past_the_last_take_its_rate():
    task, network = Quadratic(), line()
    learner = qs.MAML(network, inner_lr=LearnedRates(A, "tensor", per_step=True), inner_steps=2, loss=half_squares)
    with torch.no_grad():
        learner.rates.rate[0].copy_(torch.tensor((0.1, 0.2)))
    t = start(network)
    for a in (0.1, 0.2, 0.2, 0.2):
        t = t - a * task.A @ (t - task.c)
    torch.testing.assert_close(learner.copied().state(task.episode.support, Context(), 4).values["theta"]["weight"][0], t)


# ---- norms of each step ------------------------------------------------------------------------------------------------


def normed(seed=3):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    nn.init.uniform_(net[1].weight, 0.5, 1.5)
    nn.init.normal_(net[1].bias)
    return net


@pytest.mark.parametrize("normalisation", ["support", "transductive", "frozen"])
def test_equal_norms_are_maml_that_leaves_the_norms_alone(normalisation):
    """The copies are as the network's own: the same loss; and the norm's gradient is the sum over its copies'. Control: a copy
    that differs gives another loss."""
    net = normed()
    own = qs.MAML(net, inner_lr=A, inner_steps=2, adapts=("0.*", "3.*"), normalisation=normalisation)
    each = qs.Descent(net, inner_lr=A, inner_steps=2, norms_per_step=True, normalisation=normalisation)
    loss, want = qs.meta_gradient(own, episodes())
    got_loss, got = qs.meta_gradient(each, episodes())
    torch.testing.assert_close(got_loss, loss, rtol=1e-12, atol=1e-12)
    for name in ("weight", "bias"):
        parts = [got[f"network.1.{name}"], *(got[f"norms.steps.{t}.0.{name}"] for t in range(2))]
        assert all(float(part.abs().max()) > 1e-6 for part in parts)
        torch.testing.assert_close(sum(parts), want[f"network.1.{name}"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(got["network.0.weight"], want["network.0.weight"], rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        each.norms.steps[1][0].weight *= 2
    assert abs(float(qs.meta_gradient(each, episodes())[0] - loss)) > 1e-4


def hand_written(learner, episode, moments):
    """Two inner steps on a Linear-BatchNorm-Tanh-Linear network, theta_t with the norm of step t, by torch.autograd.

    `moments(t, z)` gives mean and variance that z is normalised by at theta_t."""
    norms = [learner.network[1], *(step[0] for step in learner.norms.steps)]

    def run(theta, x, t):
        z = x @ theta[0].T + theta[1]
        mean, variance = moments(t, z)
        z = (z - mean) / (variance + 1e-5).sqrt() * norms[t].weight + norms[t].bias
        return torch.tanh(z) @ theta[2].T + theta[3]

    theta = [*learner.network[0].parameters(), *learner.network[3].parameters()]
    for t in range(2):
        inner = F.cross_entropy(run(theta, episode.support.x, t), episode.support.y)
        theta = [p - A * g for p, g in zip(theta, torch.autograd.grad(inner, theta, create_graph=True), strict=True)]
    return F.cross_entropy(run(theta, episode.query.x, 2), episode.query.y)


def stirred_norms():
    learner = qs.Descent(normed(), inner_lr=A, inner_steps=2, norms_per_step=True, normalisation="running")
    with torch.no_grad():
        for name, tensor in (*learner.named_parameters(), *learner.named_buffers()):
            if name.startswith("norms") and tensor.ndim:
                tensor.add_(0.2 * torch.rand_like(tensor))
    return learner


def test_training_by_hand():
    """Under "running", in meta-training each theta_t is normalised by the batch and has weights of its own. Control: norm 0's."""
    learner, episode = stirred_norms(), episodes(1)[0]
    loss, gradient = qs.meta_gradient(learner, [episode])
    want = hand_written(learner, episode, lambda t, z: (z.mean(0), z.var(0, correction=0)))
    torch.testing.assert_close(loss, want.detach(), rtol=1e-12, atol=1e-12)
    names = [name for name in gradient if not name.startswith("rates")]
    direct = torch.autograd.grad(want, [dict(learner.named_parameters())[name] for name in names])
    for name, one in zip(names, direct, strict=True):
        torch.testing.assert_close(gradient[name], one, rtol=1e-9, atol=1e-12)
    plain = qs.Descent(learner.network, inner_lr=A, inner_steps=2, normalisation="running")
    assert abs(float(qs.meta_gradient(plain, [episode])[0] - loss)) > 1e-4


def test_adaptation_by_hand():
    """At test theta_t is normalised by the running averages of step t, of which each has its own; queries stand alone."""
    learner, episode = stirred_norms(), episodes(1)[0]
    for t, norm in enumerate([learner.network[1], *(step[0] for step in learner.norms.steps)]):
        norm.running_mean.fill_(0.1 * t)
        norm.running_var.fill_(1.0 + t)
    own = lambda t, z: (torch.full((6,), 0.1 * t), torch.full((6,), 1.0 + t))
    predictor = learner.adapt(episode.support)
    want = hand_written(learner, episode, own).detach()
    torch.testing.assert_close(F.cross_entropy(predictor(episode.query.x), episode.query.y), want, rtol=1e-12, atol=1e-12)
    same = hand_written(learner, episode, lambda t, z: own(0, z)).detach()
    assert abs(float(want - same)) > 1e-3  # control: the averages of step 0 at every step
    before = predictor(episode.query.x)
    learner.norms.steps[1][0].running_mean.fill_(9.0)  # what the outer loop does: a predictor's averages are its own
    assert torch.equal(predictor(episode.query.x), before)


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
def test_running_averages_of_each_step(executor):
    """One meta-step moves the averages of theta_0, theta_1 (by the support's statistics) and theta_2 (by the query's), each by
    0.1 of the mean over tasks. Without per-step norms only the query's are recorded, as before."""
    learner, batch = stirred_norms(), episodes(3)
    norms = [learner.network[1], *(step[0] for step in learner.norms.steps)]
    before = [norm.running_mean.clone() for norm in norms]
    seen: list[list] = [[], [], []]

    for t in range(3):
        episode = batch[t]

        def moments(step, z):
            seen[step].append((z.mean(0).detach(), z.var(0).detach()))
            return z.mean(0), z.var(0, correction=0)

        hand_written(learner, episode, moments)

    variances = [norm.running_var.clone() for norm in norms]
    training = MetaTraining(learner, Drawn(batch), qs.Gradient(optimizer=freeze), None, None, 3, None, None, 0)
    training.take_executor(Threads(2) if executor == "threads" else executor, 1, None)
    training.step(1)
    for t, norm in enumerate(norms):
        mean = torch.stack([one for one, _ in seen[t]]).mean(0)
        variance = torch.stack([one for _, one in seen[t]]).mean(0)
        torch.testing.assert_close(norm.running_mean, 0.9 * before[t] + 0.1 * mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(norm.running_var, 0.9 * variances[t] + 0.1 * variance, rtol=1e-9, atol=1e-12)
    assert far(norms[0].running_mean, norms[1].running_mean, 0.01)


def freeze(parameters):
    return torch.optim.SGD(parameters, lr=0.0)


def test_a_network_without_norms_has_none_to_copy():
    learner = MAMLPlusPlus(line(), inner_steps=2)
    assert [name for name, _ in learner.named_parameters()] == ["network.weight", "rates.rate.0"]


# ---- annealing ---------------------------------------------------------------------------------------------------------


def test_weights_by_hand():
    """K = 5, ten meta-steps: equal at the first; at the sixth r = 0.5, so 0.1 each and the rest, 0.6; at the last the floor of
    0.03/K would hold from r = 0.97 on. They always sum to 1."""
    annealing = Annealing(multi_step=10)
    assert annealing.weights(1, 5) == pytest.approx([0, 0.2, 0.2, 0.2, 0.2, 0.2])
    assert annealing.weights(6, 5) == pytest.approx([0, 0.1, 0.1, 0.1, 0.1, 0.6])
    assert annealing.weights(10, 5) == pytest.approx([0, 0.02, 0.02, 0.02, 0.02, 0.92])
    assert Annealing(multi_step=1000).weights(1000, 5) == pytest.approx([0, 0.006, 0.006, 0.006, 0.006, 0.976])
    assert Annealing(multi_step=3).weights(2, 1) == [0, 1]
    assert all(sum(annealing.weights(step, 4)) == pytest.approx(1) for step in range(1, 11))


def test_gradient_at_each_time_of_the_run():
    """multi_step = 4, first_order = 2. Steps 1-2: sum_t w_t B(t_t - d); 3-4: with M_t; from 5 on: MAML's M_K B (t_K - d).
    Control: each is far from the next."""
    task, network = Quadratic(), line()
    learner = MAMLPlusPlus(network, steps=40, multi_step=4, first_order=2, inner_lr=A, inner_steps=K, loss=half_squares)
    phi, found = start(network), {}
    ends = [task.theta(phi, A, t) for t in range(K + 1)]
    for step in (1, 2, 3, 4, 5, 40):
        changed = learner.at(step)
        assert changed == (step in (1, 3, 5)), step
        assert not learner.at(step)
        _, gradient = qs.meta_gradient(learner, [task.episode])
        w = [0, 0, 0, 1] if step > 4 else learner.annealing.weights(step, K)
        M = [task.I if step <= 2 else task.M(A, t) for t in range(K + 1)]
        want = sum(w[t] * M[t] @ task.query_gradient(ends[t]) for t in range(K + 1))
        torch.testing.assert_close(gradient["network.weight"][0], want, rtol=1e-11, atol=1e-12)
        assert learner.exact_gradient == (step > 2)
        found[step] = want
    assert far(found[2], found[3], 0.05)
    assert far(found[4], found[5], 0.05)
    torch.testing.assert_close(found[5], found[40])
    learner.at(1)  # a function of the step alone
    torch.testing.assert_close(qs.meta_gradient(learner, [task.episode])[1]["network.weight"][0], found[1])


def test_other_learners_have_nothing_to_move_and_wrappers_pass_it_on():
    assert not qs.Prototypical(line()).at(3)
    assert not qs.MAML(line()).at(3)
    inner = MAMLPlusPlus(line(), steps=10)
    assert Standardised(inner).at(1)
    assert inner.step_weights == (0, 1, 1, 1, 1, 1)


@pytest.mark.parametrize("executor", ["loop", Threads(2), "vmap"], ids=["loop", "threads", "vmap"])
def test_executors_see_what_has_changed(executor, monkeypatch):
    """A run through every phase, by each executor, to the loop's numbers, whether or not the learner says that its structure
    has changed: every batch reads the learner anew. Control: a learner that stays in its first phase."""
    want = trained("loop")
    assert trained(executor) == pytest.approx(want, rel=1e-9)
    at = qs.Descent.at
    monkeypatch.setattr(qs.Descent, "at", lambda self, step: at(self, step) and False)
    assert trained(executor) == pytest.approx(want, rel=1e-9)
    monkeypatch.setattr(qs.Descent, "at", lambda self, step: at(self, 1))
    assert trained(executor) != pytest.approx(want, rel=1e-6)


def trained(executor):
    torch.manual_seed(0)
    learner = MAMLPlusPlus(network_named("batch norm"), steps=6, multi_step=4, first_order=2, inner_lr=A, inner_steps=2)

    run = qs.meta_train(learner, Drawn(), steps=6, tasks_per_step=3, executor=executor, progress=False)
    return [record["loss"] for record in run.history]


class Drawn(TaskDistribution):
    """The batch given, or random episodes."""

    ways, shots, queries = 3, 2, 2

    def __init__(self, batch=None):
        self.batch = batch

    def sample(self, n, *, generator=None):
        return self.batch or episodes(n, seed=int(torch.randint(1000, (), generator=generator)))

    def examples(self):
        raise NotImplementedError

    def to(self, device):
        return self

    def check_protocol(self):
        pass


@pytest.mark.compiled
@pytest.mark.needs("a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_in_every_phase(monkeypatch):
    """A graph of one phase does not serve another, and the weights of the steps change without a new one."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    net = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))
    learner = MAMLPlusPlus(net, steps=10, multi_step=4, first_order=2, inner_lr=A, inner_steps=2)
    compiled = Compiled()
    for step in (1, 2, 3, 5):
        learner.at(step)
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        _, got = qs.meta_gradient(learner, episodes(2), executor=compiled)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == (step in (1, 3, 5))
        assert_same(got, qs.meta_gradient(learner, episodes(2))[1])


# ---- the run -----------------------------------------------------------------------------------------------------------

SETTINGS = {"steps": 12, "tasks_per_step": 3, "validate_every": 4, "validation_episodes": 5, "progress": False}


class Killed(Exception):
    pass


def sinusoids(seed=0):
    torch.manual_seed(seed)
    return MAMLPlusPlus(qs.models.mlp(1, 1, hidden=(6,)), steps=12, multi_step=5, first_order=8, inner_lr=0.01, inner_steps=2)


@pytest.mark.parametrize("executor", ["loop", "threads"])
@pytest.mark.parametrize("at", [3, 6, 9])
def test_resumed_numbers_are_those_of_an_unbroken_run(tmp_path, at, executor):
    """Killed in each phase: multi-step and first order, first order alone, neither."""

    def kill(record, step):
        if step == at:
            raise Killed

    torch.set_num_threads(2)
    tasks, whole, broken, again = qs.tasks.Sinusoid(), sinusoids(), sinusoids(), sinusoids(1)
    expected = qs.meta_train(whole, tasks, executor=executor, **SETTINGS)
    with pytest.raises(Killed):
        qs.meta_train(broken, tasks, executor=executor, out=tmp_path, track=kill, **SETTINGS)
    run = qs.meta_train(again, tasks, executor=executor, out=tmp_path, resume=True, **SETTINGS)
    numbers = lambda run: [{key: value for key, value in one.items() if key != "seconds"} for one in run.history]
    assert numbers(run) == numbers(expected)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_resume_without_the_step_gives_other_numbers(tmp_path, monkeypatch):
    """The control: a learner that is told step 1 again and again after the resume."""

    def kill(record, step):
        if step == 6:
            raise Killed

    tasks = qs.tasks.Sinusoid()
    expected = qs.meta_train(sinusoids(), tasks, executor="loop", **SETTINGS)
    with pytest.raises(Killed):
        qs.meta_train(sinusoids(), tasks, executor="loop", out=tmp_path, track=kill, **SETTINGS)
    monkeypatch.setattr(qs.Descent, "at", lambda self, step: Learner.at(self, step))
    run = qs.meta_train(sinusoids(1), tasks, executor="loop", out=tmp_path, resume=True, **SETTINGS)
    assert [one["loss"] for one in run.history] != [one["loss"] for one in expected.history]


def test_outer_rate_falls_as_a_cosine_to_its_last_value():
    learner = MAMLPlusPlus(line(), steps=10, outer_lr=1e-2, final_outer_lr=1e-4)
    running = learner.outer.start(dict(learner.named_parameters()))
    rates = []
    for _ in range(13):
        rates.append(running.optimizer.param_groups[0]["lr"])
        still = {name: torch.zeros_like(p) for name, p in learner.named_parameters()}
        running.step(Answer(torch.zeros(1), {}, still, {}, ()), lambda: None)
    assert rates[0] == pytest.approx(1e-2)
    assert rates[5] == pytest.approx((1e-2 + 1e-4) / 2)
    assert rates[10:] == pytest.approx([1e-4] * 3)
    assert sorted(rates, reverse=True) == rates


# ---- what it refuses, the checks, the executors --------------------------------------------------------------------------


def test_refusals():
    with pytest.raises(errors.UnsupportedError, match=r"`norms_per_step`.*does not recompute it, got Unrolled\(recompute=True\)"):
        qs.Descent(normed(), norms_per_step=True, hypergradient=qs.Unrolled(recompute=True))
    with pytest.raises(errors.UnsupportedError, match=r"`norms_per_step`.*passes through every step, got Truncated"):
        qs.Descent(normed(), norms_per_step=True, hypergradient=qs.Truncated(1))
    with pytest.raises(errors.UnsupportedError, match=r"`annealing`.*got Implicit.*Use Unrolled\(\) or FirstOrder\(\)"):
        qs.Descent(normed(), annealing=Annealing(multi_step=3), hypergradient=qs.Implicit())
    with pytest.raises(errors.ArgumentError, match=r"`first_order`: expected 0 or more, got -1"):
        Annealing(first_order=-1)
    with pytest.raises(errors.ArgumentError, match=r"`steps`: expected 1 or more, got 0"):
        MAMLPlusPlus(line(), steps=0)
    with pytest.raises(errors.ArgumentError, match="adapts"):
        qs.Descent(nn.Sequential(nn.BatchNorm1d(3)), norms_per_step=True)


def test_every_phi_by_finite_differences():
    learner = MAMLPlusPlus(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)), inner_steps=2, steps=10)
    torch.set_default_dtype(torch.float32)
    episode = targets().map(lambda leaf: leaf.double())
    torch.set_default_dtype(torch.float64)
    learner.at(1)
    learner.hypergradient = qs.Unrolled()  # the multi-step loss, of second order
    slopes = finite_differences(learner, [episode])
    for name in ("network.0.bias",):  # a bias that batch statistics take away: it matters to its own rate's steps only
        slopes.pop(name)
    slopes = {name: one for name, one in slopes.items() if not name.startswith("rates") or abs(one[1]) > 1e-4}
    assert_slopes_agree(slopes)


@pytest.mark.parametrize("step", [1, 50])
@pytest.mark.parametrize("name", ["MAML++, running", "MAML++, support"])
def test_executors(name, step):
    """Order 1 with the multi-step loss, and order 2 with the last."""
    learner, episode = CASES[name]()
    learner = MAMLPlusPlus(learner.network, steps=40, inner_lr=0.1, inner_steps=2, normalisation=learner.normalisation)
    learner.at(step)
    executors_agree(learner, episode)


def test_a_network_of_its_own_is_left_as_it_was():
    """Norms that are copied do not share a tensor with the network's."""
    net = network()
    learner = qs.Descent(nn.Sequential(net, nn.BatchNorm1d(3)), norms_per_step=True, inner_steps=2)
    own = {id(tensor) for tensor in (*learner.network.parameters(), *learner.network.buffers())}
    assert not own & {id(tensor) for tensor in (*learner.norms.parameters(), *learner.norms.buffers())}
