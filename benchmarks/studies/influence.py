"""Influence balancing: a linear system whose truncated gradient points the wrong way, by every outer method that can be cut.

    python -m benchmarks.studies.influence                       what the JSON beside this does not hold yet, and the picture
    python -m benchmarks.studies.influence --seeds 2 --force     two seeds, again
    python -m benchmarks.studies.influence --budget 0.1          a tenth of the outer steps
    python -m benchmarks.studies.influence --table               the table from the JSON

    x_{t+1}  =  A x_t + theta s,        A_ii = A_i,i+1 = 1/2,     s = (1, ..., 1, -1, ..., -1): 10 and 13,     x_0 ~ N(0, I)  (1)
    L        =  1/T sum_t 1/2 (x_t^1 - 1)^2,                      T = 500                                                   (2)

c_t = d x_t^1 / d theta starts as 1, 2, 3, ... and comes to rest at -6: theta pulls the first unit up for some 30 steps and down
for ever after. With E x_0 = 0,

    E L(theta)  =  1/2T sum_t [ (c_t theta - 1)^2 + |A^t e_1|^2 ],        theta*  =  sum_t c_t / sum_t c_t^2                  (3)

A derivative that is cut every W steps sees c_1 .. c_W over and over, d_t = c_{(t - 1) mod W + 1}, and is on average

    1/T sum_t (c_t theta - 1) d_t  =  k (theta - r),        k = 1/T sum_t c_t d_t,      r = sum_t d_t / sum_t c_t d_t       (4)

Whole, k = 42 and r = theta*. Cut at W = 5 or 20, k < 0: descent runs away from r = -0.21. Cut at W = 100 it comes to rest, at the
wrong place: k = 10, r = 0.06.

theta_0 ~ U[0, 1/2). Scores are the regret E L(theta) - E L(theta*) of the last theta, exactly by (3); intervals are 95 % over
seeds, by Student's t. The outer rule is Adam of rate 0.01; of the full unroll, whose steps cost 100 times as much, SGD of rate
0.02. Rates fall to 0 as a cosine.

Source: Tallec & Ollivier, "Unbiasing Truncated Backpropagation Through Time", 2017, section 5 (23 units, 13 of them negative);
Vicol, Metz & Sohl-Dickstein, "Persistent Evolution Strategies", ICML 2021, section 5.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.episode import Examples
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.meta.estimators import ForwardMode, PersistentEvolution
from quickstudy.random import stateless_normal

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
RESULTS, PICTURE = HERE / "influence.json", ROOT / "docs" / "pictures" / "influence.png"
UNITS, POSITIVE, STEPS, RUNS, POINTS = 23, 10, 500, 4, 150
REACHED = 0.005  # regret, where E L(0) - E L(theta*) is 0.26


class Influence(TrainingRun):
    """(1), with (2) as the mean of its outer losses: the target of x^1 is the batch's y."""

    def __init__(self, theta: float = 0.0, steps: int = STEPS):
        super().__init__(steps=steps)
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))
        A, s = system()
        self.register_buffer("A", A, persistent=False)
        self.register_buffer("s", s, persistent=False)

    def init(self, task: Examples | None, seed: int | Tensor) -> dict[str, Tensor]:
        return {"x": stateless_normal(seed, (UNITS,), dtype=self.theta.dtype, device=self.theta.device)}

    def step(self, state: dict[str, Tensor], batch: Examples) -> dict[str, Tensor]:
        return {"x": self.A @ state["x"] + self.theta * self.s}  # (1)

    def predict(self, state: dict[str, Tensor], x: Tensor) -> Tensor:
        return state["x"][0] + 0 * x

    def objective(self, state: dict[str, Tensor], batch: Examples) -> Tensor:
        return 0.5 * ((self.predict(state, batch.x) - batch.y) ** 2).mean()  # (2)


def system() -> tuple[Tensor, Tensor]:
    """A and s."""
    A = 0.5 * (torch.eye(UNITS) + torch.diag(torch.ones(UNITS - 1), 1))
    s = torch.where(torch.arange(UNITS) < POSITIVE, 1.0, -1.0)
    return A.double(), s.double()


def influence(steps: int = STEPS) -> Tensor:
    """c_1 .. c_steps."""
    A, s = system()
    x, c = torch.zeros_like(s), []
    for _ in range(steps):
        x = A @ x + s
        c.append(x[0])
    return torch.stack(c)


def optimum() -> float:
    """theta* of (3)."""
    c = influence()
    return float(c.sum() / (c * c).sum())


def rest(window: int) -> tuple[float, float]:
    """k and r of (4)."""
    c = influence()
    d = c[torch.arange(STEPS) % window]
    return float((c * d).mean()), float(d.sum() / (c * d).sum())


def regret(theta: Tensor) -> Tensor:
    """E L(theta) - E L(theta*)  =  1/2T sum_t c_t^2 (theta - theta*)^2."""
    return 0.5 * float((influence() ** 2).mean()) * (theta.double() - optimum()) ** 2


def stream(window: int) -> qs.tasks.Streams:
    """Batches that say nothing but the target, 1; `window` of them to an outer step."""
    x = torch.zeros(16, 1, dtype=torch.float64)
    return qs.tasks.Streams(x, torch.ones_like(x), batch=1, window=window)


class Method(NamedTuple):
    """An estimator, the window after which the run is cut, the outer steps and their rule."""

    estimator: Any
    window: int
    steps: int
    optimizer: Any = partial(torch.optim.Adam, lr=0.01)


METHODS = {
    "full unroll": Method(qs.Backprop(), STEPS, 30, partial(torch.optim.SGD, lr=0.02)),
    "truncated backpropagation, W = 5": Method(qs.Backprop(), 5, 1000),
    "truncated backpropagation, W = 20": Method(qs.Backprop(), 20, 400),
    "truncated backpropagation, W = 100": Method(qs.Backprop(), 100, 200),
    "truncated evolution, W = 5": Method(qs.Evolution(population=32, sigma=0.05, ranks=False), 5, 1000),
    "persistent evolution, W = 5": Method(PersistentEvolution(population=32, sigma=0.05), 5, 1000),
    "forward mode, W = 5": Method(ForwardMode(), 5, 1000),
}


def entry(name: str, seed: int, budget: float) -> Result:
    """One method from one start: its last theta, and its way there."""
    method = METHODS[name]
    steps = max(int(method.steps * budget), 2)
    theta = 0.5 * float(torch.rand((), generator=torch.Generator().manual_seed(seed)))
    learner, path, began = Influence(theta), [theta], time.perf_counter()
    outer = qs.Gradient(
        method.estimator,
        method.optimizer,
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.5 * (1 + math.cos(math.pi * k / steps))),
    )
    qs.meta_train(
        learner,
        stream(method.window).train,
        steps=steps,
        tasks_per_step=RUNS,
        outer=outer,
        seed=seed,
        executor="vmap",
        track=lambda record, step: path.append(float(learner.theta.detach())),
        progress=False,
    )
    every = max(steps // POINTS, 1)
    return {
        "theta": path[-1],
        "regret": float(regret(torch.tensor(path[-1]))),
        "steps": steps,
        "inner_steps": steps * method.window,
        "seconds": time.perf_counter() - began,
        "path": [round(value, 5) for value in path[::every]],
        "every": every,
    }


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    rows = [
        f"Influence balancing (`python -m benchmarks.studies.influence`): theta* = {optimum():.4f}; reached: regret below"
        f" {REACHED}.",
        "The gradient that a method sees is k (theta - r) on average: k < 0 runs away from r, k > 0 rests there."
        f" E L(0) - E L(theta*) = {float(regret(torch.zeros(()))):.2f}.",
        "",
        "| outer method | k | r | last theta | regret | optimum | inner steps | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        own = list(found.get("entries", {}).get(name, {}).values())
        if not own:
            rows.append(f"| {name} | | | not run | | | | |")
            continue
        cut = method.window < STEPS and isinstance(method.estimator, qs.Backprop | qs.Evolution)
        theta, regrets = (interval([row[key] for row in own]) for key in ("theta", "regret"))
        reached = sum(row["regret"] < REACHED for row in own)
        k, r = rest(method.window if cut else STEPS)
        rows.append(
            f"| {name} | {k:.1f} | {r:.3f} | {cell(theta, '.4f')} | {cell(regrets, '.2g')} "
            f"| {reached} of {len(own)} seeds | {own[0]['inner_steps']} | {sum(row['seconds'] for row in own) / len(own):.0f} |"
        )
    if "hardware" in found:
        rows += ["", f"{RUNS} runs of {STEPS} steps side by side; {found['hardware']}, one thread, torch {found['torch']}."]
    return "\n".join([*rows, "", "![theta over outer steps](pictures/influence.png)"]) + "\n"


def picture() -> None:
    """theta over outer steps, every seed, and the influence that explains it."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found = read(RESULTS)["entries"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=(1, 1.6))
    c = influence(100)
    left.axhline(0, color="0.8", lw=0.8)
    left.plot(range(1, 101), c, color="black")
    left.axvspan(1, 5, color="#c44a2e", alpha=0.25, lw=0)
    left.annotate("what W = 5 sees", (5, 3), (22, 5.5), color="#c44a2e", arrowprops={"arrowstyle": "-", "color": "#c44a2e"})
    left.set(xlabel="steps t since theta acted", ylabel="influence c_t of theta on the first unit")
    colours = dict(zip(METHODS, ("black", "#c44a2e", "#e08a4a", "#8c6bb1", "#d4a017", "#2066a8", "#3a9a6a"), strict=True))
    dashes = {"truncated evolution, W = 5": "--", "forward mode, W = 5": "--"}
    for name, colour in colours.items():
        for k, row in enumerate(found.get(name, {}).values()):
            at = [i * row["every"] for i in range(len(row["path"]))]
            right.plot(at, row["path"], dashes.get(name, "-"), color=colour, lw=1, alpha=0.8, label=None if k else name)
    right.axhline(optimum(), color="black", lw=0.8, ls=":", label="theta*, by (3)")
    right.set(xlabel="outer steps", ylabel="theta")
    right.set_yscale("symlog", linthresh=0.5)
    right.legend(frameon=False, fontsize=8)
    figure.suptitle("Influence balancing: cut derivatives miss the optimum, unbiased ones reach it", fontsize=11)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def main() -> None:
    """The command; an entry that stands in the JSON with as many steps is not run again."""
    options = command(__doc__).parse_args()
    torch.set_num_threads(1)
    for seed in range(0 if options.table else options.seeds):
        for name, method in METHODS.items():
            found = read(RESULTS)
            own = found.setdefault("entries", {}).setdefault(name, {})
            if own.get(str(seed), {}).get("steps") == max(int(method.steps * options.budget), 2) and not options.force:
                continue
            own[str(seed)] = row = entry(name, seed, options.budget)
            found |= {"hardware": hardware(), "torch": torch.__version__, "optimum": optimum(), "runs": RUNS, "length": STEPS}
            write(RESULTS, found)
            print(f"seed {seed} {name}: theta {row['theta']:.4f} regret {row['regret']:.2g} ({row['seconds']:.0f} s)", flush=True)
    print(page())
    if read(RESULTS):
        picture()


if __name__ == "__main__":
    main()
