"""The LSTM update rule against tuned optimizers, and where it fails.

    python -m benchmarks.learned_optimizer                      every entry that benchmarks/learned_optimizer.json does not hold
    python -m benchmarks.learned_optimizer ENTRY [--force]      one entry (again): quadratics, mnist
    python -m benchmarks.learned_optimizer --budget 0.1         a tenth of the time for each

quadratics   10-D, f(theta) = |W theta - y|^2, W and y Gaussian: f at step 100 on problems that nothing was trained or tuned on
mnist        an MLP of 20 sigmoid units; the loss at step 100, then as they are: 40 units, two layers, ReLU, 200 steps. The rules
             begin on smaller images

Every baseline's rate is taken from a grid, by its loss at step 100 on tuning problems, as many as the rule was selected on. The
intervals are 95 % over test problems.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import math
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

import quickstudy as qs
from quickstudy.counted import counted_normal
from quickstudy.episode import Episode, Examples
from quickstudy.learners.tune.learned_mlp_rule import MLPRule
from quickstudy.learners.tune.learned_rule import LSTMRule
from quickstudy.learners.tune.learned_training import LearnedTraining
from quickstudy.learners.tune.parts import ExampleWeights
from quickstudy.learners.tune.training_run import initial_parameters
from quickstudy.tasks import TaskDistribution
from quickstudy.tasks.streams import Streams

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "learned_optimizer.json"
RATES = [10 ** (exponent / 3) for exponent in range(-15, 4)]  # 1e-5 .. 10, three to a decade
STEPS = 100
Result = dict[str, Any]
Loss = Callable[[dict[str, Tensor], int], Tensor]  # theta, step -> scalar

BASELINES: dict[str, Callable[[list[Tensor], float], torch.optim.Optimizer]] = {
    "SGD": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "NAG": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "RMSprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr),
    "Adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
}


def summary(values: Tensor) -> Result:
    """Mean and half of its 95 % interval over problems; a diverged problem makes both infinite."""
    values = values.double()
    return {"mean": float(values.mean()), "ci95": float(1.96 * values.std() / len(values) ** 0.5)}


# ---- quadratics ----------------------------------------------------------------------------------------------------------


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


class Gaussian(LearnedTraining, rules=False):
    """theta_0 ~ N(0, 1), as the problems have it."""

    def initial(self, seed: Any) -> dict[str, Tensor]:
        return {"theta": counted_normal(seed, tuple(self.student.module.theta.shape))}


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
        state = rule.begin({"w": theta}) if state is None else state
        after, state = rule({"w": theta}, {"w": g / 10}, state)
        return after["w"], state

    return step


def selected(run: LearnedTraining, train: Callable[[LearnedTraining, float], None], score: Callable[[nn.Module], float],
             rates: tuple[float, ...]) -> tuple[nn.Module, Result]:  # fmt: skip
    """The best rule over a few outer rates, by its score on tuning problems; every run has the same share of the time."""
    scores, rules = {}, {}
    for lr in rates:
        own = copy.deepcopy(run)
        train(own, lr)
        rules[lr], scores[lr] = own.rule, score(own.rule)
        print(f"    outer rate {lr}: {scores[lr]:.5g}", flush=True)
    best = min(scores, key=lambda lr: scores[lr] if math.isfinite(scores[lr]) else math.inf)
    return rules[best], {"outer_rate": best, "tuning": {str(lr): value for lr, value in scores.items()}}


def outer(lr: float, seconds: float) -> qs.Gradient:
    """Adam whose rate falls to a tenth over the budget."""
    began: list[float] = []

    def factor(_: int) -> float:
        began[:] = began or [time.perf_counter()]
        return 0.1 ** min((time.perf_counter() - began[0]) / seconds, 1.0)

    return qs.Gradient(
        optimizer=partial(torch.optim.Adam, lr=lr), scheduler=lambda own: torch.optim.lr_scheduler.LambdaLR(own, factor)
    )


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


def finite(value: Tensor) -> float:
    return float(value) if bool(torch.isfinite(value)) else math.inf


# ---- MNIST ---------------------------------------------------------------------------------------------------------------


def mnist_files(part: str = "train") -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) in [0, 1] and labels of MNIST's idx files, from $MNIST, else ../shared/data/mnist."""
    root = Path(os.environ.get("MNIST", HERE.parent.parent / "shared" / "data" / "mnist"))
    with gzip.open(root / f"{part}-images-idx3-ubyte.gz") as file:
        x = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8)
    with gzip.open(root / f"{part}-labels-idx1-ubyte.gz") as file:
        y = torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8)
    return x.reshape(-1, 1, 28, 28).float() / 255, y.long()


def mnist_images() -> tuple[Tensor, Tensor]:
    """The 60,000 training images as (n, 784), less their mean, and labels."""
    x, y = mnist_files()
    return x.flatten(1) - x.mean(), y


# A rule is the same for every weight: it begins on images averaged over 4 x 4 pixels, then over 2 x 2, whose students have fewer
# weights, so that a meta-step takes a tenth and a third of the time. (pixels a side, share of the time, executor)
CURRICULUM = ((4, 0.25, "loop"), (2, 0.25, "loop"), (1, 0.5, "compiled"))


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
        state = vmap(rule.begin)(theta) if state is None else state
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


# ---- entries -------------------------------------------------------------------------------------------------------------

ENTRIES: dict[str, tuple[Callable[[float, int], Result], float]] = {"quadratics": (quadratics, 280.0), "mnist": (mnist, 3000.0)}


def load() -> Result:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def shown(name: str, result: Result) -> None:
    tables = result["table"] if "table" in result else {name: result["rows"]}
    for where, rows in tables.items():
        print(f"  {where}")
        for method, row in ranked(rows):
            print(f"    {method:<10} {row['mean']:.5g} +- {row['ci95']:.2g}")
    if "table" in result:
        print(f"  not below every baseline: {result['lost'] or 'nowhere'}")


def page() -> str:
    """A table for each setting, the lowest loss first."""
    results, lines = load(), []
    for name, (_, budget) in ENTRIES.items():
        result = results.get(name)
        if result is None:
            lines += [f"* {name}: not run (takes {budget:.0f} s of meta-training)", ""]
            continue
        for where, rows in result.get("table", {name: result["rows"]}).items():
            lines += [f"| {where}: loss at the last step | mean |", "|---|---|"]
            lines += [f"| {method} | {row['mean']:.4g} +- {row['ci95']:.2g} |" for method, row in ranked(rows)]
            lines.append("")
        if "lost" in result:
            gaps = [
                f"{where}: {gap['mean']:+.3f} +- {gap['ci95']:.3f} to {gap['best_baseline']}"
                for where, gap in result.get("paired", {}).items()
            ]
            lines += [f"The LSTM rule is not below every baseline on: {'; '.join(result['lost']) or 'nowhere'}.", ""]
            lines += [f"Its loss less that of the best baseline, on the same problems: {'; '.join(gaps)}.", ""] if gaps else []
        seconds, budget = result["seconds"], result["budget_seconds"]
        lines += [f"Seed {result['seed']}, {budget:.0f} s of meta-training ({seconds:.0f} s in all), {result['machine']},"]
        lines[-1] += f" {result['threads']} thread, torch {result['torch']}."
        lines.append("")
    return "\n".join(lines)


def ranked(rows: dict[str, Result]) -> list[tuple[str, Result]]:
    """By their means."""
    return sorted(rows.items(), key=lambda pair: pair[1]["mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="*", choices=[*ENTRIES, []], help="which; all that are missing where none is named")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.entries or ENTRIES:
        if name in load() and not options.force:
            print(f"{name}: done")
            continue
        run, seconds = ENTRIES[name]
        print(f"{name}: {seconds * options.budget:.0f} s of meta-training", flush=True)
        began = time.perf_counter()
        result = run(seconds * options.budget, options.seed)
        result |= {
            "seed": options.seed,
            "budget_seconds": seconds * options.budget,
            "seconds": time.perf_counter() - began,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        results = {**load(), name: result}
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps(results, indent=1) + "\n")
        os.replace(part, RESULTS)
        shown(name, result)


if __name__ == "__main__":
    main()
