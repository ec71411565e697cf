"""Architecture search on a space whose every network is trained: regret of DARTS, a controller, evolution and random search.

    python -m benchmarks.studies.architecture [--seeds 10]      writes the JSON beside this

64 architectures (a cell of two nodes, four operations) classify scikit-learn's digits after a short run of SGD. The true value of
each is its mean test accuracy over several runs; regret is that of the best less that of the one a search ends with. Searches by
value may train EVALUATIONS architectures, a half of the space; DARTS trains one network that holds them all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Interval, interval, read, write
from quickstudy.learners.bilevel.architecture import Architecture, architectures
from quickstudy.meta.estimators import Lookahead, ScoreFunction
from quickstudy.meta.estimators.values import Values
from quickstudy.meta.executors import Vmap
from quickstudy.meta.problem import Problem
from quickstudy.meta.searches import RandomSearch, RegularisedEvolution
from quickstudy.meta.searches.regularised_evolution import CERTAIN
from quickstudy.models.search_cell import OPERATIONS, search_cell

RESULTS = Path(__file__).resolve().parent / "architecture.json"
STEPS, BATCH, RATE, EVALUATIONS, TRUTHS = 300, 32, 0.3, 32, 5


def learner(use: str = "mixed") -> Architecture:
    """The search space: width 8, so that the operations matter."""
    return Architecture(search_cell(64, 10, width=8), steps=STEPS, inner_lr=RATE, batch_size=BATCH, use=use)


def digits(seed: int, window: int = 1) -> qs.tasks.Streams:
    """300 of the digits to learn from: a short run does not settle everything."""
    x, y = load_digits(return_X_y=True)
    return qs.tasks.Streams(
        torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y), batch=BATCH, window=window, shots=300, queries=200, seed=seed
    )


def truth(seed: int) -> dict[tuple[int, ...], float]:
    """Test accuracy of every architecture, the mean over TRUTHS runs from other weights and on other minibatches; all at once."""
    made = learner()
    settings = torch.tensor(list(architectures(made.student.module)))
    members = {
        f"learner.choices.{edge}.logits": CERTAIN * torch.nn.functional.one_hot(settings[:, edge], choice.n).float()
        for edge, choice in enumerate(made.choices)
    }
    episodes = digits(seed).test.sample(TRUTHS, generator=torch.Generator().manual_seed(seed))
    seeds = torch.arange(TRUTHS) + 1000 * seed
    wrong, _ = Vmap().values(Problem(made, Values(), errors), members, episodes, seeds)
    return {tuple(setting): 1 - float(row.mean()) for setting, row in zip(settings.tolist(), wrong, strict=True)}


def errors(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The share of wrong answers."""
    return (prediction.argmax(-1) != y).float().mean()


def darts(order: int, seed: int) -> Architecture:
    """Logits by Adam, weights by SGD, side by side, for as many steps as one run has."""
    made = learner("mixed")
    outer = qs.Gradient(Lookahead(order), partial(torch.optim.Adam, lr=0.02))
    qs.meta_train(
        made, digits(seed).train, steps=STEPS, tasks_per_step=1, outer=outer, seed=seed, executor="vmap", progress=False
    )
    return made


def by_value(outer: Callable[[int], Any], use: str, steps: int, seed: int) -> Architecture:
    """A search that trains whole architectures and scores them on validation."""
    made = learner(use)
    qs.meta_train(
        made,
        digits(seed).validation,
        steps=steps,
        tasks_per_step=1,
        outer=outer(seed),
        seed=seed,
        executor="vmap",
        progress=False,
    )
    return made


SEARCHES: dict[str, Callable[[int], Architecture]] = {
    "DARTS, first order": partial(darts, 1),
    "DARTS, second order": partial(darts, 2),
    "controller (REINFORCE)": partial(
        by_value,
        lambda seed: qs.Gradient(ScoreFunction(draws=4), partial(torch.optim.Adam, lr=0.3)),
        "sampled",
        EVALUATIONS // 4,
    ),
    "regularised evolution": partial(by_value, lambda seed: RegularisedEvolution(8, 3, 4, seed=seed), "mixed", EVALUATIONS // 4),
    "random search": partial(by_value, lambda seed: RandomSearch(4, seed=seed), "mixed", EVALUATIONS // 4),
}


def main() -> None:
    """The command; resumable: a seed that stands in the JSON is not run again."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--seeds", type=int, default=10)
    options = made.parse_args()
    torch.set_num_threads(1)
    found = read(RESULTS) or {"seeds": {}}
    for seed in range(options.seeds):
        if str(seed) in found["seeds"]:
            continue
        began = time.time()
        table = truth(seed)
        best = max(table.values())
        row: dict[str, Any] = {"best": best, "median": sorted(table.values())[len(table) // 2], "searches": {}}
        for name, search in SEARCHES.items():
            started = time.time()
            setting = search(seed).architecture
            names = [list(OPERATIONS)[option] for option in setting]
            row["searches"][name] = {"regret": best - table[setting], "architecture": names, "seconds": time.time() - started}
        row["seconds"] = time.time() - began
        found["seeds"][str(seed)] = row
        found |= {"hardware": hardware(), "torch": torch.__version__, "evaluations": EVALUATIONS, "steps": STEPS}
        found["regret"] = summary(found["seeds"])
        write(RESULTS, found)
        print(f"seed {seed}: best {best:.3f}; " + ", ".join(f"{n} {r['regret']:.3f}" for n, r in row["searches"].items()))
    for name, (mean, ci95) in found["regret"].items():
        print(f"{name:<26} regret {100 * mean:5.2f} +- {100 * ci95:.2f} points")


def page() -> str:
    """The table of regrets."""
    rows = ["| search | regret, points of accuracy |", "|---|---|"]
    found = read(RESULTS) or {"seeds": {}, "regret": {}}
    for name in [*SEARCHES, "median architecture"]:
        score = found["regret"].get(name)
        rows.append(f"| {name} | " + ("not run" if score is None else f"{100 * score[0]:.2f} +- {100 * score[1]:.2f}") + " |")
    if found["seeds"]:
        best = sum(row["best"] for row in found["seeds"].values()) / len(found["seeds"])
        rows += [
            "",
            f"{len(found['seeds'])} seeds; the true best has {100 * best:.1f} % on average. {EVALUATIONS} evaluations of a",
        ]
        rows[-1] += (
            f" student of {STEPS} steps for each search by values. {found['hardware']}, one thread, torch {found['torch']}."
        )
    return "\n".join(rows) + "\n"


def summary(seeds: dict[str, Any]) -> dict[str, Interval]:
    """Mean regret of each search and of the median architecture, with 95 % intervals over seeds."""
    if len(seeds) < 2:
        return {}
    rows = {name: [row["searches"][name]["regret"] for row in seeds.values()] for name in SEARCHES}
    rows["median architecture"] = [row["best"] - row["median"] for row in seeds.values()]
    return {name: interval(values) for name, values in rows.items()}


if __name__ == "__main__":
    main()
