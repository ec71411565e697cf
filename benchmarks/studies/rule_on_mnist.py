"""Two learned rules on an MNIST MLP of 20 sigmoid units: the loss at step 100; then as they are on other students."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

import quickstudy as qs
from benchmarks.studies.mnist import mnist_files
from benchmarks.studies.study import Result
from benchmarks.studies.tuned_optimizers import BASELINES, RATES, STEPS, finite, outer, selected, summary
from quickstudy.learners.bilevel.learned_mlp_rule import MLPRule
from quickstudy.learners.bilevel.learned_rule import LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.bilevel.training_run import initial_parameters
from quickstudy.tasks.distribution.streams import Streams

# A rule is the same for every weight: it begins on images averaged over 4 x 4 pixels, then over 2 x 2, whose students have fewer
# weights, so that a meta-step takes a tenth and a third of the time. (pixels a side, share of the time, executor)
CURRICULUM = ((4, 0.2, "loop"), (2, 0.25, "loop"), (1, 0.55, "compiled"))


def mnist_images() -> tuple[Tensor, Tensor]:
    """The 60,000 training images as (n, 784), less their mean, and labels."""
    x, y = mnist_files()
    return x.flatten(1) - x.mean(), y


def student(units: tuple[int, ...] = (20,), activation: type[nn.Module] = nn.Sigmoid, inputs: int = 784) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in zip((inputs, *units[:-1]), units, strict=True):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers, nn.Linear(units[-1], 10))


def mnist_curve(net: nn.Module, move: Callable[..., Any], x: Tensor, y: Tensor, seeds: list[int], steps: int) -> Tensor:
    """The loss on a fresh batch of 128 before each step, and after the last: (steps + 1, problems)."""
    loss = lambda theta, a, b: nn.functional.cross_entropy(functional_call(net, theta, (a,)), b)  # noqa: E731
    rows = torch.stack([
        torch.randint(len(x), (steps + 1, 128), generator=torch.Generator().manual_seed(seed)) for seed in seeds
    ])  # fmt: skip
    starts = [initial_parameters(net, seed) for seed in seeds]
    theta = {name: torch.stack([start[name] for start in starts]) for name in starts[0]}
    state, curve = None, []
    for t in range(steps + 1):
        a, b = x[rows[:, t]], y[rows[:, t]]
        with torch.no_grad():
            g, value = vmap(torch.func.grad_and_value(loss))(theta, a, b)
        curve.append(value)
        if t < steps:
            theta, state = move(theta, g, state)
    return torch.stack(curve)


def move_by_torch(make: Callable[..., Any], lr: float) -> Callable[..., Any]:
    def move(theta: dict[str, Tensor], g: dict[str, Tensor], state: Any) -> Any:
        if state is None:
            own = {name: p.clone().requires_grad_() for name, p in theta.items()}
            state = own, make(list(own.values()), lr)
        own, optimizer = state
        for name, p in own.items():
            p.grad = g[name]
        optimizer.step()
        return {name: p.detach().clone() for name, p in own.items()}, state

    return move


def move_by_rule(rule: nn.Module) -> Callable[..., Any]:
    @torch.no_grad()
    def move(theta: dict[str, Tensor], g: dict[str, Tensor], state: Any) -> Any:
        state = vmap(rule.init)(theta) if state is None else state
        return vmap(rule)(theta, g, state)

    return move


def mnist(seconds: float, seed: int) -> Result:
    """Two learned rules; five baselines, tuned on the problem that the rules were trained on and used as they are elsewhere."""
    images, labels = mnist_images()
    x, y, held_x, held_y = images[:50000], labels[:50000], images[50000:], labels[50000:]
    tuning, test = list(range(8)), list(range(1000, 1000 + 20))
    rows: dict[str, Result] = {}
    settings: dict[str, tuple[nn.Module, int]] = {
        "20 sigmoid units": (student(), STEPS),
        "200 steps": (student(), 2 * STEPS),
        "40 units": (student((40,)), STEPS),
        "two layers": (student((20, 20)), STEPS),
        "ReLU": (student(activation=nn.ReLU), STEPS),
    }
    moves: dict[str, Callable[..., Any]] = {}
    last = lambda move, seeds: mnist_curve(student(), move, held_x, held_y, seeds, STEPS)[-1]  # noqa: E731
    for name, make in BASELINES.items():
        lr = min(RATES, key=lambda lr: finite(last(move_by_torch(make, lr), tuning).mean()))
        moves[name], rows[name] = move_by_torch(make, lr), {"rate": lr}
    rules = {"LSTM rule": (LSTMRule(), (3e-3,), 0.85), "MLP rule": (MLPRule(), (3e-3,), 0.15)}
    for name, (rule, rates, share) in rules.items():
        torch.manual_seed(seed)

        def train(run: LearnedTraining, lr: float, own: float = share * seconds / len(rates)) -> None:
            for pool, part, executor in CURRICULUM:
                small = nn.functional.avg_pool2d(x.reshape(-1, 1, 28, 28), pool).flatten(1)
                stage = LearnedTraining(student(inputs=small.shape[1]), steps=STEPS, rule=run.rule)
                tasks = Streams(small, y, batch=128, outer_batch=128, window=20, validation=0.5, test=0.01, seed=seed)
                done = qs.meta_train(
                    stage, tasks.train, steps=10**6, seconds=part * own, tasks_per_step=1, outer=outer(lr, part * own),
                    executor=executor, clip=1.0, seed=seed, progress=False,
                )  # fmt: skip
                print(f"    {28 // pool} x {28 // pool}: {len(done.history)} meta-steps", flush=True)

        run = LearnedTraining(student(), steps=STEPS, rule=rule)
        best, rows[name] = selected(run, train, lambda one: float(last(move_by_rule(one), tuning).mean()), rates)
        moves[name] = move_by_rule(best)
        run.rule = best
    table: dict[str, dict[str, Result]] = {}
    curves, paired = {}, {}
    for where, (net, steps) in settings.items():
        found = {name: mnist_curve(net, move, held_x, held_y, test, steps) for name, move in moves.items()}
        table[where] = {name: summary(curve[-1]) for name, curve in found.items()}
        curves[where] = {name: curve.mean(1).tolist() for name, curve in found.items()}
        best_baseline = min(BASELINES, key=lambda name: table[where][name]["mean"])
        paired[where] = {"best_baseline": best_baseline, **summary(found["LSTM rule"][-1] - found[best_baseline][-1])}
    lost = [
        where for where, row in table.items()
        if not row["LSTM rule"]["mean"] < min(row[name]["mean"] for name in BASELINES)
    ]  # fmt: skip
    return {"rows": rows, "table": table, "lost": lost, "won": "20 sigmoid units" not in lost, "paired": paired, "curves": curves}
