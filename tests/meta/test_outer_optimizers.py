"""Every optimizer and every scheduler of torch as the outer one: torch's own numbers, resumed as unbroken, or refused in time."""

from __future__ import annotations

import inspect
import itertools
import warnings
from functools import partial

import pytest
import torch
from tests.meta.runs import Weighted, regression, streams
from torch import nn
from torch.optim import lr_scheduler

import quickstudy as qs
from quickstudy.errors import ArgumentError, CheckpointError, NotFiniteError, UnsupportedError
from quickstudy.meta.estimators import ForwardMode, Lookahead
from quickstudy.meta.executors import Loop
from quickstudy.meta.outer.outer import LeftOut, RunningOptimizer, clip_by_global_norm
from quickstudy.meta.problem import Answer

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

STEPS = 8
SETTINGS = {
    "steps": STEPS,
    "tasks_per_step": 2,
    "validate_every": 3,
    "validation_episodes": 3,
    "executor": "loop",
    "progress": False,
}
OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True),
    "Adam": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "Adam, fused": partial(torch.optim.Adam, lr=0.01, fused=True),
    "Adam, rate a tensor": partial(torch.optim.Adam, lr=torch.tensor(0.01)),
    "AdamW": partial(torch.optim.AdamW, lr=0.01, foreach=True),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.01),
    "Adadelta": partial(torch.optim.Adadelta, lr=0.5),
    "Adamax": partial(torch.optim.Adamax, lr=0.01),
    "ASGD": partial(torch.optim.ASGD, lr=0.01, t0=2),
    "NAdam": partial(torch.optim.NAdam, lr=0.01),
    "RAdam": partial(torch.optim.RAdam, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.01, momentum=0.5, centered=True),
    "Rprop": partial(torch.optim.Rprop, lr=0.01),
    "Adafactor": partial(torch.optim.Adafactor, lr=0.01),
    "Muon": partial(torch.optim.Muon, lr=0.01),
    "LBFGS": partial(torch.optim.LBFGS, lr=0.1, max_iter=3),
    "LBFGS, line search": partial(torch.optim.LBFGS, max_iter=4, history_size=3, line_search_fn="strong_wolfe"),
}


def chained(optimizer):
    parts = [lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=3), lr_scheduler.MultiStepLR(optimizer, [2, 6], 0.5)]
    return lr_scheduler.ChainedScheduler(parts, optimizer)


def sequential(optimizer):
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3), lr_scheduler.ExponentialLR(optimizer, 0.7)]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])


def sequential_to_milestones(optimizer):
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1, total_iters=9), lr_scheduler.MultiStepLR(optimizer, [1, 2], 0.5)]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])


SCHEDULERS = {
    "StepLR": partial(lr_scheduler.StepLR, step_size=3, gamma=0.5),
    "MultiStepLR": partial(lr_scheduler.MultiStepLR, milestones=[2, 5, 5], gamma=0.5),
    "ConstantLR": partial(lr_scheduler.ConstantLR, factor=0.5, total_iters=4),
    "LinearLR": partial(lr_scheduler.LinearLR, start_factor=0.1, total_iters=6),
    "ExponentialLR": partial(lr_scheduler.ExponentialLR, gamma=0.8),
    "CosineAnnealingLR": partial(lr_scheduler.CosineAnnealingLR, T_max=5),
    "CosineAnnealingWarmRestarts": partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=2, T_mult=2),
    "CyclicLR": partial(lr_scheduler.CyclicLR, base_lr=0.001, max_lr=0.02, step_size_up=2),
    "CyclicLR, exp_range": partial(
        lr_scheduler.CyclicLR, base_lr=0.001, max_lr=0.02, step_size_up=2, mode="exp_range", gamma=0.9
    ),
    "OneCycleLR": partial(lr_scheduler.OneCycleLR, max_lr=0.02, total_steps=STEPS),
    "PolynomialLR": partial(lr_scheduler.PolynomialLR, total_iters=6, power=2.0),
    "LambdaLR": partial(lr_scheduler.LambdaLR, lr_lambda=lambda step: 0.9**step),
    "MultiplicativeLR": partial(lr_scheduler.MultiplicativeLR, lr_lambda=lambda step: 0.9),
    "SequentialLR": sequential,
    "SequentialLR, to MultiStepLR": sequential_to_milestones,
    "ChainedScheduler": chained,
    "ReduceLROnPlateau": partial(lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0, threshold=0.9),
}
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
ADAM = partial(torch.optim.Adam, lr=0.01, fused=True)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def learner(name="", seed=0):
    torch.manual_seed(seed)
    bias = not name.startswith("Muon")
    network = nn.Sequential(nn.Linear(1, 6, bias=bias), nn.Tanh(), nn.Linear(6, 1, bias=bias))
    return qs.MAML(network, inner_lr=0.01)


class Killed(Exception):
    pass


def killed_and_resumed(folder, build, tasks, outer, at, **settings):
    """The learner and the run of a meta-training that was killed after step `at`."""

    def kill(record, step):
        if step == at:
            raise Killed

    with pytest.raises(Killed):
        qs.meta_train(build(0), tasks, outer=outer, out=folder, track=kill, **SETTINGS | settings)
    again = build(1)
    return again, qs.meta_train(again, tasks, outer=outer, out=folder, resume=True, **SETTINGS | settings)


def numbers(run):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in run.history]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def kept(make):
    """The same function of the parameters, and a list of the optimizers that it made."""
    made = []

    def optimizer(parameters):
        made.append(make(parameters))
        return made[-1]

    return optimizer, made


# ---- every optimizer -----------------------------------------------------------------------------------------------------


def test_no_class_of_torch_is_left_out():
    of = lambda space, kind: {
        name for name, one in vars(space).items() if inspect.isclass(one) and issubclass(one, kind) and one is not kind
    }
    assert of(torch.optim, torch.optim.Optimizer) - {"SparseAdam"} == {name.split(",")[0] for name in OPTIMIZERS}
    assert of(lr_scheduler, lr_scheduler.LRScheduler) - {"_LRScheduler"} == {name.split(",")[0] for name in SCHEDULERS}


def by_hand(trained, make, tasks, steps, clip=None, schedule=None):
    """The loop that a user of torch would write, with a closure for every optimizer."""
    optimizer = make(list(trained.parameters()))
    scheduler = None if schedule is None else schedule(optimizer)
    generator, losses, rates = torch.Generator().manual_seed(0), [], []
    for _ in range(steps):
        episodes = tasks.train.sample(2, generator=generator)
        torch.randint(2**31, (2,), generator=generator)
        evaluations = []

        def closure(episodes=episodes, evaluations=evaluations):
            loss, gradient = qs.meta_gradient(trained, episodes)
            if clip is not None:
                clip_by_global_norm(gradient, clip)
            for name, parameter in trained.named_parameters():
                parameter.grad = gradient[name]
            evaluations.append(float(loss))
            return loss

        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step(closure)
        if scheduler is not None:
            scheduler.step()
        losses.append(evaluations[0])
    return losses, rates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_the_steps_of_torchs_own_loop(name):
    """Losses and weights, to the last bit."""
    tasks, trained, reference = qs.tasks.Sinusoid(), learner(name), learner(name)
    settings = SETTINGS | {"steps": 5}
    run = qs.meta_train(trained, tasks.train, outer=qs.Gradient(optimizer=OPTIMIZERS[name]), **settings)
    losses, _ = by_hand(reference, OPTIMIZERS[name], tasks, 5)
    assert [record["loss"] for record in run.history] == losses
    assert equal(trained, reference)
    assert not equal(trained, learner(name))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
def test_an_optimizer_is_resumed_to_the_numbers_of_an_unbroken_run(tmp_path, name, double):
    def build(seed):
        return learner(name, seed).double() if double else learner(name, seed)

    tasks = qs.tasks.Quadratic(1, dtype=torch.float64) if double else qs.tasks.Sinusoid()
    outer = qs.Gradient(optimizer=OPTIMIZERS[name], scheduler=SCHEDULERS["StepLR"])
    whole = build(0)
    expected = qs.meta_train(whole, tasks, outer=outer, **SETTINGS)
    resumed, run = killed_and_resumed(tmp_path, build, tasks, outer, 5)
    assert numbers(run) == numbers(expected)
    assert equal(resumed, whole)


def test_a_rate_that_is_a_tensor_stays_as_it_was_given():
    """A scheduler moves such a rate in place: the next run starts from the rate that was given, too."""
    outer = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=torch.tensor(0.01)), scheduler=SCHEDULERS["ExponentialLR"])
    first, second = learner(), learner()
    for one in (first, second):
        qs.meta_train(one, qs.tasks.Sinusoid().train, outer=outer, **SETTINGS)
    assert equal(first, second)


# ---- closures ------------------------------------------------------------------------------------------------------------


def counting():
    """The loop, which counts its gradients: of a function, so that no command line of this process offers it."""

    class Counting(Loop):
        gradients = 0

        def gradient(self, problem, episodes, seeds):
            self.gradients += 1
            return super().gradient(problem, episodes, seeds)

    return Counting()


def test_a_closure_evaluates_only_where_phi_has_moved():
    executor, lbfgs = counting(), partial(torch.optim.LBFGS, lr=0.01, max_iter=1)
    settings = SETTINGS | {"executor": executor}
    qs.meta_train(learner(), qs.tasks.Sinusoid().train, outer=qs.Gradient(optimizer=lbfgs), **settings)
    assert executor.gradients == STEPS
    executor.gradients, lbfgs = 0, partial(torch.optim.LBFGS, lr=0.01, max_iter=3)
    qs.meta_train(learner(), qs.tasks.Sinusoid().train, outer=qs.Gradient(optimizer=lbfgs), **settings)
    assert executor.gradients == 3 * STEPS


def test_an_outer_step_of_lbfgs_solves_least_squares():
    """The outer loss of a plain linear regression is a quadratic in phi, whose minimum one step with a line search finds."""

    class Line(qs.Learner):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 1, dtype=torch.float64))

        def learn(self, support):
            return {}

        def predict(self, state, x):
            return x @ self.weight

    x, y = regression(200, features=3)
    tasks, trained = qs.tasks.Streams(x, y, batch=8, window=1, shots=8, queries=12), Line()
    lbfgs = partial(torch.optim.LBFGS, max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-16)
    tasks = tasks.validation
    qs.meta_train(trained, tasks, outer=qs.Gradient(optimizer=lbfgs), **SETTINGS | {"steps": 1})
    batch = tasks.sample(2, generator=torch.Generator().manual_seed(0)).query
    best = torch.linalg.lstsq(batch.x.flatten(0, 1), batch.y.flatten(0, 1)).solution
    torch.testing.assert_close(trained.weight.detach(), best, rtol=1e-6, atol=1e-8)


class Restless(torch.optim.SGD):
    """SGD that first looks elsewhere, and comes back: what a line search does that finds nothing better."""

    seen: list = []

    @torch.no_grad()
    def step(self, closure):
        parameters = [p for group in self.param_groups for p in group["params"]]
        here = [p.clone() for p in parameters]
        for shift in (0.0, 0.1, -0.1):
            for p, value in zip(parameters, here, strict=True):
                p.copy_(value + shift)
            loss = float(closure())
            self.seen.append((shift, loss, [p.grad.clone() for p in parameters]))
        for p, value in zip(parameters, here, strict=True):
            p.copy_(value)
        loss = closure()
        super().step()
        return loss


class Noisy(nn.Module):
    """A network that draws from torch's global generator, beside dropout and batch statistics."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.4), nn.Linear(6, 3))

    def forward(self, x):
        return self.body(x + 0.1 * torch.randn_like(x))


def weighted():
    torch.manual_seed(0)
    return Weighted(nn.Linear(4, 1).double(), steps=8, inner_lr=0.1).double(), streams(window=2)


def prototypical():
    torch.manual_seed(0)
    return qs.Prototypical(Noisy(), normalisation="running"), qs.tasks.GaussianClasses(ways=3, dim=4, shots=2, queries=3)


CARRIED = {
    "Backprop": qs.Backprop(),
    "Lookahead": Lookahead(),
    "ForwardMode": ForwardMode(),
}


def of(estimator):
    learner, tasks = weighted()
    return learner, (streams(window=1) if isinstance(estimator, Lookahead) else tasks), estimator


CASES = {
    **{f"carried, {name}": partial(of, one) for name, one in CARRIED.items()},
    "noise": lambda: (*prototypical(), qs.Backprop()),
}


@pytest.mark.parametrize("name", CASES)
def test_looking_elsewhere_leaves_no_trace(name):
    """What a run carries, its running statistics and its draws are those of the first evaluation, at the step's own phi."""

    def trained(optimizer):
        learner, tasks, estimator = CASES[name]()
        torch.manual_seed(5)
        outer = qs.Gradient(estimator, partial(optimizer, lr=0.05, momentum=0.5))
        run = qs.meta_train(learner, tasks.train, outer=outer, **SETTINGS)
        return learner.state_dict(), numbers(run)

    Restless.seen = []
    (want, expected), (got, found) = trained(torch.optim.SGD), trained(Restless)
    assert found == expected
    assert all(torch.equal(got[key], value) for key, value in want.items())
    assert len(Restless.seen) == 3 * STEPS
    for here, there in zip(Restless.seen[::3], Restless.seen[1::3], strict=True):
        assert here[1] != there[1]  # the closure looked where phi was


def test_a_closure_draws_the_same_tasks_masks_and_noise():
    """Beside phi the loss is that of the step's first evaluation, which is recorded; another step's is far away."""
    found = []

    class Near(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure):
            p = self.param_groups[0]["params"][0]
            for nudge in (1e-6, 1e-6, 1e-6):
                p.add_(nudge)
                found.append(float(closure()))

    learner, tasks = prototypical()
    run = qs.meta_train(learner, tasks.train, outer=qs.Gradient(optimizer=partial(Near, lr=0.1)), **SETTINGS)
    first = [record["loss"] for record in run.history]
    assert found == pytest.approx([loss for loss in first for _ in range(3)], abs=1e-4)
    assert min(abs(a - b) for a, b in itertools.combinations(first, 2)) > 1e-4


class Sharpness(torch.optim.SGD):
    """Sharpness-aware: its one evaluation is at phi + rho sign(g), where the gradient of the first is a wrong one."""

    @torch.no_grad()
    def step(self, closure):
        parameters = [p for group in self.param_groups for p in group["params"]]
        here = [p.clone() for p in parameters]
        for p in parameters:
            p.add_(p.grad.sign(), alpha=0.05)
        closure()
        for p, value in zip(parameters, here, strict=True):
            p.copy_(value)
        super().step()


def test_a_closure_that_is_first_called_elsewhere_is_evaluated_there():
    tasks, trained, reference = qs.tasks.Sinusoid(), learner(), learner()
    qs.meta_train(trained, tasks.train, outer=qs.Gradient(optimizer=partial(Sharpness, lr=0.01)), **SETTINGS | {"steps": 1})
    generator = torch.Generator().manual_seed(0)
    episodes = tasks.train.sample(2, generator=generator)
    with torch.no_grad():
        moved = learner()
        for p, g in zip(moved.parameters(), qs.meta_gradient(reference, episodes)[1].values(), strict=True):
            p.add_(g.sign(), alpha=0.05)
    for p, g in zip(reference.parameters(), qs.meta_gradient(moved, episodes)[1].values(), strict=True):
        p.data.add_(g, alpha=-0.01)
    assert equal(trained, reference)


def test_a_closure_is_clipped_chunked_and_checked():
    tasks, trained, reference = qs.tasks.Sinusoid(), learner(), learner()
    lbfgs = OPTIMIZERS["LBFGS"]
    run = qs.meta_train(trained, tasks.train, outer=qs.Gradient(optimizer=lbfgs), clip=0.5, chunk=1, **SETTINGS | {"steps": 4})
    losses, _ = by_hand(reference, lbfgs, tasks, 4, clip=0.5)
    assert [record["loss"] for record in run.history] == pytest.approx(losses, rel=1e-5)
    for a, b in zip(trained.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    far = qs.Gradient(optimizer=partial(torch.optim.LBFGS, lr=1e30))
    with pytest.raises(NotFiniteError, match="`meta-gradient`: expected finite numbers, got in task 0 of the batch"):
        qs.meta_train(learner(), tasks.train, outer=far, **SETTINGS)


def test_carried_runs_under_lbfgs_are_resumed(tmp_path):
    outer = qs.Gradient(optimizer=partial(torch.optim.LBFGS, lr=0.05, max_iter=3))
    whole, tasks = weighted()
    expected = qs.meta_train(whole, tasks.train, outer=outer, **SETTINGS)
    resumed, run = killed_and_resumed(tmp_path, lambda seed: weighted()[0], tasks.train, outer, 5)
    assert numbers(run) == numbers(expected)
    assert equal(resumed, whole)


def test_a_line_search_stands_still_at_a_rate_of_zero():
    """torch divides by the rate; a warm-up begins at 0, and a cosine comes down to it."""
    search = partial(torch.optim.LBFGS, max_iter=3, line_search_fn="strong_wolfe")
    schedule = partial(lr_scheduler.LambdaLR, lr_lambda=lambda step: min(step, 3 - step) if step < 3 else 0.0)  # 0, 1, 1, 0, ...
    phi, trained = [], learner()

    def watch(record, step):
        phi.append(torch.cat([parameter.detach().flatten() for parameter in trained.parameters()]))

    phi.append(torch.cat([parameter.detach().flatten() for parameter in trained.parameters()]))
    outer = qs.Gradient(optimizer=search, scheduler=schedule)
    qs.meta_train(trained, qs.tasks.Sinusoid().train, outer=outer, track=watch, **SETTINGS | {"steps": 4})
    assert [torch.equal(*pair) for pair in itertools.pairwise(phi)] == [True, False, False, True]


# ---- memory --------------------------------------------------------------------------------------------------------------

LAST = {"memory_format": torch.channels_last}


def image_learner(seed=0):
    torch.manual_seed(seed)
    return qs.MAML(qs.models.conv4(2, channels=3, size=8, pooled=2), inner_lr=0.1, inner_steps=1)


def images():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(12).repeat_interleave(6)
    return qs.tasks.from_arrays(torch.rand(72, 1, 8, 8, generator=generator), y.numpy(), ways=2, shots=2, queries=2)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_does_not_depend_on_how_memory_is_laid_out(name, order):
    """The parameter channels last, the gradient either way: the step of one that lies plainly."""
    if name == "Muon":
        return
    start, gradient = torch.randn(4, 3, 2, 2), [torch.randn(4, 3, 2, 2) for _ in range(3)]
    found = []
    for like in ({}, LAST):
        parameter = nn.Parameter(start.clone(**like) if like else start.clone())
        running = qs.Gradient(optimizer=OPTIMIZERS[name]).start({"w": parameter})
        for one in gradient:
            answer = Answer(
                torch.ones(1), {}, {"w": one.contiguous(memory_format=order if like else torch.contiguous_format)}, {}, ()
            )
            running.step(answer, lambda one=answer: one)
        found.append(parameter.detach())
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("executor", ["loop", "vmap"])
def test_convolutions_learn_by_the_default_optimizer_as_by_a_plain_one(executor, float64):
    """Fused Adam reads memory in order, and conv4 lies channels last; a gradient of vmap does not.

    In float64: Adam takes a whole step along a gradient of next to nothing, whose sign in float32 is the rounding of a kernel.
    """
    settings = SETTINGS | {"steps": 3, "executor": executor}
    fused, plain = image_learner(), image_learner()
    qs.meta_train(fused, images().train, outer=qs.Gradient(), **settings)
    by_loop = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=1e-3, foreach=False))
    qs.meta_train(plain, images().train, outer=by_loop, **settings)
    for a, b in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["Adam, fused", "SGD", "LBFGS"])
def test_convolutions_are_resumed_to_the_numbers_of_an_unbroken_run(tmp_path, name):
    """A checkpoint's tensors lie plainly; what an optimizer remembers lies as its parameter."""
    outer = qs.Gradient(optimizer=OPTIMIZERS[name])
    whole, settings = image_learner(), {"steps": 4, "validate_every": 2, "executor": "vmap"}
    expected = qs.meta_train(whole, images(), outer=outer, **SETTINGS | settings)
    resumed, run = killed_and_resumed(tmp_path, image_learner, images(), outer, 3, **settings)
    assert numbers(run) == numbers(expected)
    assert equal(resumed, whole)


def test_a_fused_optimizer_refuses_memory_with_gaps():
    """It would step what lies between the elements; the default is not fused there."""
    parameter = nn.Parameter(torch.zeros(4, 6)[:, ::2])
    with pytest.raises(UnsupportedError) as caught:
        qs.Gradient(optimizer=partial(torch.optim.SGD, lr=0.1, fused=True)).start({"w": parameter})
    assert str(caught.value) == (
        "`optimizer`: expected one that heeds the strides of a parameter with gaps in its memory, of shape (4, 3), "
        "got SGD(fused=True). Leave `fused` out, or make the parameter contiguous."
    )
    answer = Answer(torch.ones(1), {}, {"w": torch.ones(4, 3)}, {}, ())
    qs.Gradient().start({"w": parameter}).step(answer, lambda: answer)
    torch.testing.assert_close(parameter.detach(), torch.full((4, 3), -1e-3))


class Sparse(qs.Learner):
    """A table of which each task's words are looked up, with a gradient that is sparse."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(10, 4, sparse=True), nn.Linear(4, 1)

    def learn(self, support):
        return {}

    def predict(self, state, x):
        return self.head(self.table((10 * x).long().remainder(10)).mean(1))


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "Muon"])
def test_a_sparse_gradient_is_handed_on_dense(name):
    trained, dense, tasks = Sparse().double(), Sparse().double(), qs.tasks.Quadratic(1, dtype=torch.float64)
    dense.table.sparse = False
    for one in (trained, dense):
        outer = qs.Gradient(optimizer=OPTIMIZERS[name])
        qs.meta_train(one, tasks.train, outer=outer, clip=1.0, **SETTINGS | {"steps": 3})
    for a, b in zip(trained.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


# ---- every scheduler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_sets_the_rates_of_torchs_own_loop(name, optimizer):
    """Rates before each step, the weights they lead to, and momentum or beta where that is cycled."""
    tasks, trained, reference = qs.tasks.Sinusoid(), learner(), learner()
    make, made = kept(optimizer)
    rates = []

    def watch(record, step):
        rates.append([float(group["lr"]) for group in made[0].param_groups])

    outer = qs.Gradient(optimizer=make, scheduler=SCHEDULERS[name])
    if name == "ReduceLROnPlateau":
        run = qs.meta_train(trained, tasks, outer=outer, track=watch, **SETTINGS)
        plateau = SCHEDULERS[name](optimizer([nn.Parameter(torch.zeros(1))]))
        want = []
        for record in run.history:
            if "validation" in record:
                plateau.step(record["validation"])
            want.append(plateau.get_last_lr())
        assert rates == want
        assert rates[-1] < rates[0]
        return
    qs.meta_train(trained, tasks.train, outer=outer, track=watch, **SETTINGS)
    _, want = by_hand(reference, optimizer, tasks, STEPS, schedule=SCHEDULERS[name])
    assert rates[:-1] == want[1:]
    assert equal(trained, reference)


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_is_resumed_to_the_numbers_of_an_unbroken_run(tmp_path, name, optimizer):
    tasks, whole = qs.tasks.Sinusoid(), learner()
    make, made = kept(optimizer)
    outer = qs.Gradient(optimizer=make, scheduler=SCHEDULERS[name])
    expected = qs.meta_train(whole, tasks, outer=outer, **SETTINGS)
    resumed, run = killed_and_resumed(tmp_path, lambda seed: learner(seed=seed), tasks, outer, 5)
    assert numbers(run) == numbers(expected)
    assert equal(resumed, whole)
    bare = lambda optimizer: [{key: value for key, value in one.items() if key != "params"} for one in optimizer.param_groups]
    assert bare(made[-1]) == bare(made[0])


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["SGD", "Adam"])
def test_momentum_is_cycled(name, optimizer):
    make, made = kept(optimizer)
    seen = []

    def watch(record, step):
        group = made[0].param_groups[0]
        seen.append(group["betas"][0] if "betas" in group else group["momentum"])

    outer = qs.Gradient(optimizer=make, scheduler=SCHEDULERS[name])
    qs.meta_train(learner(), qs.tasks.Sinusoid().train, outer=outer, track=watch, **SETTINGS)
    assert max(seen) - min(seen) > 0.05


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_under_every_scheduler(optimizer):
    """Only momentum is refused, by torch, where there is none to cycle; the rest runs through."""
    for scheduler, schedule in SCHEDULERS.items():
        parameters = dict(learner(optimizer).named_parameters())
        answer = Answer(torch.ones(1), {}, {name: torch.ones_like(parameter) for name, parameter in parameters.items()}, {}, ())
        outer = qs.Gradient(optimizer=OPTIMIZERS[optimizer], scheduler=schedule)
        settings = OPTIMIZERS[optimizer]([nn.Parameter(torch.zeros(2, 2))]).defaults
        if scheduler.split(",")[0] in ("CyclicLR", "OneCycleLR") and not {"momentum", "betas"} & set(settings):
            with pytest.raises(ArgumentError, match=r"`scheduler`: expected one that torch can build.*`cycle_momentum`"):
                outer.start(parameters)
            continue
        running = outer.start(parameters)
        running.check(STEPS, lambda: False)
        for _ in range(STEPS):
            running.step(answer, lambda answer=answer: answer)
            running.validated(1.0)
        assert isinstance(running, RunningOptimizer)
        assert all(bool(torch.isfinite(parameter).all()) for parameter in parameters.values())


# ---- refused before the first step -----------------------------------------------------------------------------------------


def refused(outer, tasks, error, folder, trained=None, **settings):
    """The text of the error; nothing was trained and nothing was written."""
    trained = trained or learner()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    steps = []
    with pytest.raises(error) as caught:
        qs.meta_train(
            trained, tasks, outer=outer, out=folder / "run", track=lambda record, step: steps.append(step), **SETTINGS | settings
        )
    assert not steps
    assert not (folder / "run").exists()
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
    return str(caught.value)


def test_optimizers_that_cannot_work_are_refused(tmp_path):
    tasks = qs.tasks.Sinusoid()
    refuse = lambda optimizer, error, **more: refused(qs.Gradient(optimizer=optimizer, **more), tasks, error, tmp_path)
    assert refuse(torch.optim.SparseAdam, UnsupportedError) == (
        "`optimizer`: expected one that takes dense gradients, as the outer loop gives them, got SparseAdam. "
        "Use torch.optim.Adam."
    )
    text = refuse(torch.optim.Muon, ArgumentError)
    assert text.startswith("`optimizer`: expected one that torch can build for this learner, got Muon, which raises ")
    assert "Muon only supports 2D parameters whereas we found a parameter with size: torch.Size([6])" in text
    text = refuse(partial(torch.optim.Adam, lr=-1.0), ArgumentError)
    assert "got functools.partial(Adam, lr=-1.0), which raises ValueError: Invalid learning rate: -1.0. " in text
    text = refuse(partial(torch.optim.SGD, rate=1.0), ArgumentError)
    assert "TypeError: " in text
    assert "unexpected keyword argument 'rate'" in text
    text = refuse(partial(torch.optim.Adam, differentiable=True), UnsupportedError)
    assert text.startswith("`optimizer`: expected one whose own step is plain, got Adam(differentiable=True). Leave")
    text = refuse(partial(torch.optim.Adam, capturable=True), UnsupportedError)
    assert text.startswith("`optimizer`: expected one that steps on a CPU, got Adam(capturable=True). Leave")
    text = refuse(torch.optim.LBFGS, UnsupportedError, estimator=qs.Evolution(4))
    assert text == (
        "`optimizer`: expected one that asks for no closure, since Evolution estimates no derivative of a closure's loss, "
        "got LBFGS. Use torch.optim.Adam, or an estimator that differentiates, such as Backprop()."
    )


def test_a_step_that_asks_for_more_is_refused(tmp_path):
    class Odd(torch.optim.SGD):
        def step(self, closure, batch):
            pass

    class Dated(lr_scheduler.StepLR):
        def step(self, epoch):
            super().step()

    tasks = qs.tasks.Sinusoid()
    text = refused(qs.Gradient(optimizer=partial(Odd, lr=0.1)), tasks, UnsupportedError, tmp_path)
    assert text.startswith(
        "`optimizer`: expected one whose step takes a closure or nothing, got Odd, whose step asks for closure,"
    )
    text = refused(qs.Gradient(scheduler=partial(Dated, step_size=2)), tasks, ArgumentError, tmp_path)
    assert "step() missing 1 required positional argument: 'epoch'" in text  # torch's own first step, in its constructor


@pytest.mark.wrong_types
def test_what_is_built_already_is_refused():
    built = torch.optim.Adam(learner().parameters())
    with pytest.raises(ArgumentError) as caught:
        qs.Gradient(optimizer=built)
    assert str(caught.value) == (
        "`optimizer`: expected a function of the parameters, got Adam(...), which is built already. "
        "Give functools.partial(torch.optim.Adam, ...), which the outer loop calls."
    )
    with pytest.raises(ArgumentError) as caught:
        qs.Gradient(scheduler=lr_scheduler.StepLR(built, 2))
    assert str(caught.value) == (
        "`scheduler`: expected a function of the optimizer, got StepLR(...), which is built already. "
        "Give functools.partial(torch.optim.lr_scheduler.StepLR, ...), which the outer loop calls."
    )
    with pytest.raises(ArgumentError, match=r"`optimizer`: expected a function of the parameters, got 'adam'\. Leave it out"):
        qs.Gradient(optimizer="adam")


@pytest.mark.wrong_types
def test_a_function_that_returns_something_else_is_refused():
    phi = dict(learner().named_parameters())
    other = torch.optim.Adam(learner().parameters())
    with pytest.raises(
        ArgumentError, match="`optimizer`: expected a function that returns torch's Optimizer, got one that return"
    ):
        qs.Gradient(optimizer=lambda parameters: None).start(phi)
    with pytest.raises(
        ArgumentError, match="`scheduler`: expected a function that returns torch's LRScheduler, got one that ret"
    ):
        qs.Gradient(scheduler=lambda optimizer: None).start(phi)
    with pytest.raises(
        ArgumentError, match="`scheduler`: expected one of the optimizer that the function is given, got a StepLR"
    ):
        qs.Gradient(scheduler=lambda optimizer: lr_scheduler.StepLR(other, 2)).start(phi)


def test_a_plateau_needs_a_validation_and_its_direction(tmp_path):
    plateau, classes = lr_scheduler.ReduceLROnPlateau, qs.tasks.GaussianClasses(ways=3, dim=4, shots=2, queries=3)
    text = refused(qs.Gradient(scheduler=plateau), qs.tasks.Sinusoid().train, UnsupportedError, tmp_path)
    assert text == (
        "`scheduler`: expected one that needs no validation, since these tasks are one distribution, got ReduceLROnPlateau. "
        "Give meta_train a TaskFamily, whose `.validation` it watches, or use CosineAnnealingLR."
    )
    embed = lambda: qs.Prototypical(nn.Linear(4, 3))
    text = refused(qs.Gradient(scheduler=plateau), classes, ArgumentError, tmp_path, trained=embed())
    assert text == (
        "`scheduler`: expected ReduceLROnPlateau(mode='max'), since the validation score is to rise, got mode='min'. "
        "Write functools.partial(ReduceLROnPlateau, mode='max')."
    )
    text = refused(qs.Gradient(scheduler=partial(plateau, mode="max")), qs.tasks.Sinusoid(), ArgumentError, tmp_path)
    assert "expected ReduceLROnPlateau(mode='min'), since the validation score is to fall, got mode='max'" in text
    run = qs.meta_train(embed(), classes, outer=qs.Gradient(scheduler=partial(plateau, mode="max")), **SETTINGS)
    assert len(run.history) == STEPS


def in_sequence(optimizer):
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1), lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3)]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[3])


def a_chain_in_sequence(optimizer):  # torch: a chain has no rate of its own to start a milestone with
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1), lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(optimizer, 0.9)])]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[6])


ENDS = {
    "OneCycleLR": (partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=6), 7, "Tried to step 7 times"),
    "OneCycleLR in sequence": (in_sequence, 7, "Tried to step 4 times"),
    "a chain in sequence": (a_chain_in_sequence, 6, "NotImplementedError"),
    "StepLR(0)": (partial(lr_scheduler.StepLR, step_size=0), 1, "ZeroDivisionError"),
    "CosineAnnealingLR(0)": (partial(lr_scheduler.CosineAnnealingLR, T_max=0), 1, "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_schedule_that_ends_before_the_run_is_refused(tmp_path, name):
    make, step, why = ENDS[name]
    text = refused(qs.Gradient(scheduler=make), qs.tasks.Sinusoid(), ArgumentError, tmp_path)
    assert text.startswith(f"`scheduler`: expected one that takes all {STEPS} steps of the run, got ")
    assert f", which raises after step {step}: " in text
    assert why in text
    if step > 1:
        settings = SETTINGS | {"steps": step - 1, "validate_every": 3}
        qs.meta_train(learner(), qs.tasks.Sinusoid(), outer=qs.Gradient(scheduler=make), **settings)


def test_a_resumed_schedule_that_ends_before_the_run_is_refused(tmp_path):
    """A checkpoint holds the schedule of the run that it is of: more steps do not stretch it."""
    one_cycle = lambda steps: qs.Gradient(scheduler=partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=steps))
    qs.meta_train(learner(), qs.tasks.Sinusoid(), outer=one_cycle(STEPS), out=tmp_path, **SETTINGS)
    with pytest.raises(ArgumentError, match=r"`scheduler`: expected one that takes all 12 steps.*raises after step 9"):
        qs.meta_train(
            learner(), qs.tasks.Sinusoid(), outer=one_cycle(STEPS), out=tmp_path, resume=True, **SETTINGS | {"steps": 12}
        )


def test_a_run_is_not_resumed_with_a_scheduler_more_or_less(tmp_path):
    outer = qs.Gradient(scheduler=SCHEDULERS["StepLR"])
    for folder, first, then in ((tmp_path / "a", qs.Gradient(), outer), (tmp_path / "b", outer, qs.Gradient())):
        qs.meta_train(learner(), qs.tasks.Sinusoid(), outer=first, out=folder, **SETTINGS)
        with pytest.raises(CheckpointError, match=r"expected a checkpoint of a run with outer\.scheduler = "):
            qs.meta_train(learner(), qs.tasks.Sinusoid(), outer=then, out=folder, resume=True, **SETTINGS)


def test_looking_ahead_at_a_schedule_moves_nothing():
    """No rate, no state and no function of the user's own is called."""
    calls = []

    def falling(step):
        calls.append(step)
        return 0.9**step

    def schedule(optimizer):
        parts = [lr_scheduler.LambdaLR(optimizer, falling), lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=99)]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])

    running = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=torch.tensor(0.1)), scheduler=schedule).start(
        dict(learner().named_parameters())
    )
    before, called = repr(running.state_dict()), len(calls)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        running.check(50, lambda: None)
    assert repr(running.state_dict()) == before
    assert len(calls) == called


# ---- saved with a learner --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        (partial(torch.optim.LBFGS, lr=0.1, max_iter=3, line_search_fn="strong_wolfe"), None),
        (partial(torch.optim.Adam, lr=0.01, betas=(0.8, 0.99)), partial(lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0)),
        (torch.optim.Adagrad, partial(lr_scheduler.MultiStepLR, milestones=[1, 2])),
        (SGD, partial(lr_scheduler.CyclicLR, base_lr=[0.001], max_lr=0.02, step_size_up=2)),
    ],
    ids=["LBFGS", "ReduceLROnPlateau", "MultiStepLR", "CyclicLR"],
)
def test_a_saved_learner_keeps_its_outer_method(tmp_path, optimizer, scheduler):
    def build():
        torch.manual_seed(0)
        outer = qs.Gradient(optimizer=optimizer, scheduler=scheduler)
        return qs.Descent(qs.models.mlp(1, 1, hidden=(4,)), inner_lr=0.01, outer=outer)

    build().save(tmp_path)
    loaded, built = qs.load(tmp_path), build()
    assert not isinstance(loaded.outer, LeftOut)
    runs = [numbers(qs.meta_train(one, qs.tasks.Sinusoid(), **SETTINGS)) for one in (loaded, built)]
    assert runs[0] == runs[1]
    assert equal(loaded, built)
