"""The LSTM rule on 10-D quadratics |W theta - y|^2: f at step 100 on problems that nothing was trained or tuned on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.studies.study import Result
from benchmarks.studies.tuned_optimizers import BASELINES, RATES, STEPS, finite, outer, selected, summary
from quickstudy.episode import Episode, Examples
from quickstudy.learners.bilevel.learned_rule import LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.bilevel.parts import ExampleWeights
from quickstudy.random import stateless_normal
from quickstudy.tasks import TaskDistribution


class QuadraticStream(TaskDistribution):
    """Windows of runs on fixed functions, `together` of them as one task: x = W (together, dim, dim), y (together, dim).

    A run's number draws its functions, which stay the same in every step of it.
    """

    ways, shots, queries = None, 1, 1

    def __init__(self, together: int = 64, window: int = 20, dim: int = 10):
        self.together, self.window, self.dim = together, window, dim

    def functions(self, number: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(number)
        W = torch.randn(self.together, self.dim, self.dim, generator=generator)
        return W, torch.randn(self.together, self.dim, generator=generator)

    def sample(self, n: int, *, generator: torch.Generator | None = None, runs: Tensor | None = None) -> Episode:
        numbers = torch.randint(2**31, (n,), generator=generator) if runs is None else runs
        pairs = [self.functions(int(number)) for number in numbers]
        W, y = (torch.stack(part)[:, None].expand(n, self.window, *part[0].shape) for part in zip(*pairs, strict=True))
        return Episode(Examples(W, y), Examples(W, y))

    def examples(self) -> Examples:
        return Examples(*self.functions(0))

    def to(self, device: Any) -> QuadraticStream:
        return self

    def check_protocol(self) -> None:
        """Nothing can be wrong."""


class Points(nn.Module):
    """One theta for each function: W theta."""

    def __init__(self, together: int = 64, dim: int = 10):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(together, dim))

    def forward(self, W: Tensor) -> Tensor:
        return torch.einsum("nij,nj->ni", W, self.theta)


class Gaussian(LearnedTraining):
    """theta_0 ~ N(0, 1), as the problems have it."""

    def initial(self, seed: Any) -> dict[str, Tensor]:
        return {"theta": stateless_normal(seed, tuple(self.student.module.theta.shape))}


class Apart(ExampleWeights):
    """Every function's own gradient: w = 1 and not 1/n."""

    def forward(self, losses: Tensor, batch: Examples) -> Tensor:
        return torch.ones_like(losses)


def f(theta: Tensor, W: Tensor, y: Tensor) -> Tensor:
    """|W theta - y|^2 of every problem (n,)."""
    return (torch.einsum("nij,nj->ni", W, theta) - y).square().sum(-1)


def quadratic_curve(step: Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]], problems: tuple[int, int], steps: int) -> Tensor:
    """f after 0..steps steps from theta ~ N(0, 1): (steps + 1, n). `step(theta, g, state)` moves all problems at once."""
    seed, number_of = problems
    W, y = QuadraticStream(number_of).functions(seed)
    theta = torch.randn(number_of, 10, generator=torch.Generator().manual_seed(seed + 1))
    state, curve = None, [f(theta, W, y)]
    for _ in range(steps):
        g = 2 * torch.einsum("nij,ni->nj", W, torch.einsum("nij,nj->ni", W, theta) - y)
        theta, state = step(theta, g, state)
        curve.append(f(theta, W, y))
    return torch.stack(curve)


def by_torch(make: Callable[[list[Tensor], float], torch.optim.Optimizer], lr: float) -> Callable[..., Any]:
    """An optimizer of torch over all problems at once: every one of these acts weight by weight."""

    def step(theta: Tensor, g: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            own = theta.clone().requires_grad_()
            state = own, make([own], lr)
        own, optimizer = state
        own.grad = g
        optimizer.step()
        return own.detach().clone(), state

    return step


def by_rule(rule: nn.Module) -> Callable[..., Any]:
    """The learned rule over all problems at once. The student's gradients are of the mean square, a tenth of f's."""

    @torch.no_grad()
    def step(theta: Tensor, g: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = rule.init({"w": theta}) if state is None else state
        after, state = rule({"w": theta}, {"w": g / 10}, state)
        return after["w"], state

    return step


def quadratics(seconds: float, seed: int) -> Result:
    """The LSTM rule, with the gradients of f / 10, on 256 tuning and 1000 test problems."""
    tuning, test = (10**10, 256), (2 * 10**10, 1000)  # seeds that no run of meta-training has, below 2^31
    torch.manual_seed(seed)
    rates = (1e-2,)
    history: list[int] = []

    def train(run: LearnedTraining, lr: float) -> None:
        share = seconds / len(rates)
        done = qs.meta_train(
            run, QuadraticStream(), steps=10**6, seconds=share, tasks_per_step=1, outer=outer(lr, share), executor="loop",
            clip=1.0, seed=seed, progress=False,
        )  # fmt: skip
        history.append(len(done.history))

    run = Gaussian(Points(), steps=STEPS, rule=LSTMRule(), weights=Apart())
    at_100 = lambda step, numbers: quadratic_curve(step, numbers, STEPS)[-1]  # noqa: E731
    rule, choice = selected(run, train, lambda rule: float(at_100(by_rule(rule), tuning).mean()), rates)
    rows: dict[str, Result] = {}
    curves: dict[str, list[float]] = {}
    for name, make in BASELINES.items():
        lr = min(RATES, key=lambda lr: finite(at_100(by_torch(make, lr), tuning).mean()))
        long = quadratic_curve(by_torch(make, lr), test, 2 * STEPS)
        rows[name] = {"rate": lr, **summary(long[STEPS]), "at_200": summary(long[2 * STEPS])}
        curves[name] = long.mean(1).tolist()
    long = quadratic_curve(by_rule(rule), test, 2 * STEPS)
    rows["LSTM rule"] = {**choice, **summary(long[STEPS]), "at_200": summary(long[2 * STEPS])}
    curves["LSTM rule"] = long.mean(1).tolist()
    best = min((name for name in rows if name != "LSTM rule"), key=lambda name: rows[name]["mean"])
    base = quadratic_curve(by_torch(BASELINES[best], rows[best]["rate"]), test, STEPS)[-1]
    return {
        "rows": rows,
        "best_baseline": best,
        "paired_difference": summary(long[STEPS] - base),
        "won": rows["LSTM rule"]["mean"] < rows[best]["mean"],
        "outer_steps": history,
        "problems": {"tuning": 256, "test": 1000},
        "curves": curves,
    }
