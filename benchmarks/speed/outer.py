"""Outer methods against plain loops: a meta-step of the LSTM rule, evolution strategies, and the memory of implicit gradients."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

import quickstudy as qs
from benchmarks.speed.memory import _Peak, _resident
from quickstudy.learners.bilevel.learned_rule import LSTMRule

# ---- the LSTM update rule: 20 unrolled steps of an MLP of 20 sigmoid units on MNIST-sized images, batch 128 ------------------

UNROLL, BATCH, HIDDEN = 20, 128, 20


def student() -> nn.Module:
    """784-20-10, sigmoid."""
    return nn.Sequential(nn.Linear(784, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, 10))


def images(n: int) -> tuple[Tensor, Tensor]:
    """Random images: time does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 784, generator=generator), torch.randint(10, (n,), generator=generator)


def rule_ours(executor: str) -> Callable[[], object]:
    """The meta-gradient of one window, by an executor."""
    torch.manual_seed(0)
    learner = qs.LearnedTraining(student(), steps=UNROLL, rule=LSTMRule())
    x, y = images(UNROLL * BATCH)
    tasks = qs.tasks.Streams(*images(8 * BATCH), batch=BATCH, window=UNROLL)
    del x, y
    generator = torch.Generator().manual_seed(0)

    from quickstudy.meta.carried import CarriedRuns
    from quickstudy.meta.executors import executor_named
    from quickstudy.meta.problem import Problem

    estimator = qs.Backprop()
    problem = Problem(learner, estimator)
    runs = CarriedRuns(estimator, learner, tasks.train, 1, 0)
    made = executor_named(executor, problem)
    window = runs.draw(generator)
    seeds = torch.zeros(1, dtype=torch.int64)
    return lambda: made.gradient(problem, window, seeds)


class LoopRule(nn.Module):
    """The rule as a loop over parameters has it: torch.nn.LSTMCell twice, and a linear layer."""

    def __init__(self, hidden: int = 20):
        super().__init__()
        self.first, self.second, self.out = nn.LSTMCell(2, hidden), nn.LSTMCell(hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, g: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        large = g.abs() >= torch.exp(torch.tensor(-10.0))
        log = torch.where(large, g.abs().clamp_min(1e-30).log() / 10, torch.full_like(g, -1.0))
        sign = torch.where(large, g.sign(), g * torch.exp(torch.tensor(10.0)))
        h1, c1 = self.first(torch.stack([log, sign], -1).reshape(-1, 2), (state[0], state[1]))
        h2, c2 = self.second(h1, (state[2], state[3]))
        return 0.1 * self.out(h2).reshape(g.shape), [h1, c1, h2, c2]


def rule_loop() -> Callable[[], object]:
    """A plain eager loop as a peer writes it: autograd.grad for the student, the cell called for each parameter tensor."""
    torch.manual_seed(0)
    net, rule = student(), LoopRule()
    x, y = images(2 * UNROLL * BATCH)
    names = [name for name, _ in net.named_parameters()]

    def step() -> tuple[Tensor, ...]:
        theta = {name: value.detach().clone().requires_grad_() for name, value in net.named_parameters()}
        state = {name: [torch.zeros(value.numel(), 20) for _ in range(4)] for name, value in theta.items()}
        total = torch.zeros(())
        for t in range(UNROLL):
            rows = slice(t * BATCH, (t + 1) * BATCH)
            later = slice((UNROLL + t) * BATCH, (UNROLL + t + 1) * BATCH)
            loss = nn.functional.cross_entropy(functional_call(net, theta, (x[rows],)), y[rows])
            gradients = torch.autograd.grad(loss, list(theta.values()), retain_graph=True)
            for name, g in zip(names, gradients, strict=True):
                update, state[name] = rule(g.detach(), state[name])
                theta[name] = theta[name] + update
            total = total + nn.functional.cross_entropy(functional_call(net, theta, (x[later],)), y[later])
        return torch.autograd.grad(total / UNROLL, list(rule.parameters()))

    return step


# ---- evolution: population 256 on the sinusoid MLP 40-40, 25 tasks of one inner step ---------------------------------------

POPULATION, TASKS = 256, 25


def evolution_ours(executor: str = "vmap") -> Callable[[], object]:
    """`Evolution(256)`: population and tasks vmapped, or tasks alone."""
    torch.manual_seed(0)
    learner = qs.MAML(qs.models.mlp(), inner_lr=0.01, inner_steps=1, hypergradient=qs.FirstOrder())
    episodes = qs.tasks.Sinusoid().train.sample(TASKS, generator=torch.Generator().manual_seed(0))
    estimator = qs.Evolution(POPULATION, sigma=0.02)
    return lambda: qs.meta_gradient(learner, episodes, estimator=estimator, executor=executor)


def evolution_loop(tasks_vmapped: bool) -> Callable[[], object]:
    """A loop over members, and in it over tasks, or those vmapped."""
    torch.manual_seed(0)
    net = qs.models.mlp()
    phi = {name: value.detach() for name, value in net.named_parameters()}
    episodes = qs.tasks.Sinusoid().train.sample(TASKS, generator=torch.Generator().manual_seed(0))
    s, q = episodes.support, episodes.query

    def adapted(theta: dict[str, Tensor], sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
        def loss(theta):
            return nn.functional.mse_loss(functional_call(net, theta, (sx,)), sy)

        g = torch.func.grad(loss)(theta)
        theta = {name: value - 0.01 * g[name] for name, value in theta.items()}
        return nn.functional.mse_loss(functional_call(net, theta, (qx,)), qy)

    def plain(theta: dict[str, Tensor], sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
        leaves = {name: value.requires_grad_() for name, value in theta.items()}
        g = torch.autograd.grad(nn.functional.mse_loss(functional_call(net, leaves, (sx,)), sy), list(leaves.values()))
        with torch.no_grad():
            moved = {name: value - 0.01 * d for (name, value), d in zip(leaves.items(), g, strict=True)}
            return nn.functional.mse_loss(functional_call(net, moved, (qx,)), qy)

    def step() -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        e = {name: torch.randn(POPULATION // 2, *value.shape, generator=generator) for name, value in phi.items()}
        scores = torch.zeros(2, POPULATION // 2)
        for i in range(POPULATION // 2):
            for k, sign in enumerate((1, -1)):
                theta = {name: value + sign * 0.02 * e[name][i] for name, value in phi.items()}
                if tasks_vmapped:
                    losses = torch.func.vmap(adapted, (None, 0, 0, 0, 0))(theta, s.x, s.y, q.x, q.y)
                    scores[k, i] = losses.mean().detach()
                else:
                    scores[k, i] = sum(
                        plain({n: v.clone() for n, v in theta.items()}, s.x[t], s.y[t], q.x[t], q.y[t]) for t in range(TASKS)
                    )
        difference = scores[0] - scores[1]
        return {name: torch.einsum("i,i...->...", difference, one) for name, one in e.items()}

    return step


# ---- memory of implicit gradients ------------------------------------------------------------------------------------------


def implicit_memory(steps: int) -> float:
    """Peak megabytes of a meta-gradient of iMAML on an MLP of 256 units after so many inner steps."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    learner = qs.IMAML(qs.models.mlp(64, 5, hidden=(256, 256)), inner_lr=0.01, inner_steps=steps, proximal_weight=2.0)
    episodes = qs.tasks.GaussianClasses(ways=5, dim=64).train.sample(2, generator=torch.Generator().manual_seed(0))
    learner.inner_steps = 1
    qs.meta_gradient(learner, episodes)
    learner.inner_steps = steps
    before, peak = _resident(), _Peak()
    with peak:
        qs.meta_gradient(learner, episodes)
    return (peak.highest - before) / 2**20


def medians(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for act in contenders.values():
        act()
    for _ in range(rounds):
        for name, act in contenders.items():
            began = time.perf_counter()
            act()
            taken[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in taken.items()}


if __name__ == "__main__":
    import sys

    print(implicit_memory(int(sys.argv[1])))
