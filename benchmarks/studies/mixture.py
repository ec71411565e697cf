"""One in-context learner on three problems at once, beside three learners trained apart on as many tasks of each.

    python -m benchmarks.studies.mixture --omniglot FOLDER              what the JSON beside this does not hold yet
    python -m benchmarks.studies.mixture --omniglot FOLDER --budget 0.1 a tenth of the meta-steps
    python -m benchmarks.studies.mixture --table                        the table from the JSON

waves       sinusoids from 10 points, x and y divided by 2, so that their losses are of the size of the others; the score is the
            variance explained, 100 (1 - mse / mse of the answer 0)
characters  Omniglot, 5-way 1-shot, its 28x28 pixels at half size through three convolutions; accuracy
tables      3-way classification of synthetic tables (`TabularPrior`) of up to 8 columns from 15 rows; accuracy

The learners are in-context transformers of one size. Apart: each has its own. Mixture: the three share the transformer, and
each keeps its way in and its way out; a meta-step has three times the tasks, a third of them of each problem on average. By
progress: the same, each problem drawn by `ByProgress()`. The last weights are scored, on 600 meta-test tasks of each problem.
The rate of Adam, which falls to 0 as a cosine, was chosen on meta-validation tasks by runs of a third of the steps with seed
100, once for the mixture (by the mean over problems) and once for each learner apart. A first pilot, with the waves as
`Sinusoid` draws them and rates from 0.0005, was stopped after its validation scores: the loss of the waves outweighed the
others in the mixture.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import quickstudy as qs
from benchmarks.reproduction.omniglot import half_size
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.episode import Episode, Examples
from quickstudy.learners.read import InContextRegressor, Transformer
from quickstudy.learners.wrap import ByFamily
from quickstudy.tasks.construction.mixture import OfFamily
from quickstudy.tasks.distribution.family import SPLITS
from quickstudy.tasks.synthetic.sinusoid import SinusoidTasks

RESULTS = Path(__file__).resolve().parent / "mixture.json"
PROBLEMS = ("waves", "characters", "tables")
STEPS, TASKS, RATES, PILOT, EPISODES = 800, 16, (1e-3, 2e-3, 4e-3), 100, 600
SIZES = {"width": 64, "depth": 3, "heads": 4}
KINDS = ("apart", "mixture", "by progress")


class Waves(SinusoidTasks):
    """Sinusoids of about unit size."""

    def draw(self, *sizes: Any) -> Any:
        episode, truth = super().draw(*sizes)
        return Episode(*(Examples(part.x / 2, part.y / 2) for part in (episode.support, episode.query))), truth


def families(omniglot: str) -> dict[str, qs.tasks.TaskFamily]:
    """The tasks of each problem."""
    return {
        "waves": qs.tasks.TaskFamily(*(Waves(10, 10, split=split) for split in SPLITS)),
        "characters": qs.tasks.Omniglot(omniglot, ways=5, shots=1, queries=3),
        "tables": qs.tasks.TabularPrior(ways=3, max_features=8, shots=5, queries=5),
    }


def learners(body: Transformer | None) -> dict[str, qs.Learner]:
    """One learner for each problem: around the same transformer, or each around its own."""
    settings: dict[str, Any] = SIZES if body is None else {"transformer": body}
    return {
        "waves": InContextRegressor(nn.Flatten(), features=1, **settings),
        "characters": qs.InContext(half_size(), features=32, max_ways=5, **settings),
        "tables": qs.InContext(features=8, max_ways=3, **settings),
    }


def trained(learner: qs.Learner, tasks: Any, steps: int, each: int, rate: float, seed: int) -> None:
    """Meta-train in place; a tenth of the steps apart it is validated, which only `ByProgress` looks at."""
    adam = partial(torch.optim.Adam, lr=rate, fused=True)
    by_progress = isinstance(tasks, qs.tasks.Mixture) and isinstance(tasks.train.weights, qs.tasks.ByProgress)
    qs.meta_train(
        learner,
        tasks if by_progress else tasks.train,  # no validation, which would keep other weights than the last
        steps=steps,
        tasks_per_step=each,
        outer=qs.Gradient(qs.Backprop(), adam, partial(CosineAnnealingLR, T_max=steps)),
        executor="vmap",
        validation_episodes=64,
        seed=seed,
        progress=False,
    )


def run(kind: str, rates: dict[str, float], steps: int, seed: int, omniglot: str, part: str) -> Result:
    """Train one kind, and score it on a part of each problem."""
    began = time.process_time()
    torch.manual_seed(seed)
    parts = families(omniglot)
    if kind == "apart":
        each = learners(None)
        for name, learner in each.items():
            trained(learner, parts[name], steps, TASKS, rates[name], seed)
    else:
        each = learners(Transformer(**SIZES))
        weights = qs.tasks.ByProgress() if kind == "by progress" else None
        trained(ByFamily(each), qs.tasks.Mixture(parts, weights), steps, TASKS * len(PROBLEMS), rates["mixture"], seed)
    scores = {name: score(name, each[name], parts[name].parts[part]) for name in PROBLEMS}
    return {"scores": scores, "steps": steps, "seed": seed, "part": part, "cpu_seconds": time.process_time() - began}


def score(name: str, learner: qs.Learner, tasks: Any) -> float:
    """In points."""
    found = qs.evaluate(learner, tasks, EPISODES, executor="vmap")
    if name != "waves":
        return 100 * found.mean
    flat = OfFamily(tasks, name).sample(EPISODES, generator=torch.Generator().manual_seed(1)).query.y
    return 100 * (1 - found.mean / float((flat**2).mean()))


def chosen(steps: int, omniglot: str, found: Result) -> dict[str, float]:
    """The rates, by validation tasks."""
    pilots = found.setdefault("pilots", {})
    for kind in KINDS[:2]:
        for rate in RATES:
            if (key := f"{kind} {rate:g}") not in pilots:
                rates = dict.fromkeys((*PROBLEMS, "mixture"), rate)
                pilots[key] = run(kind, rates, steps, PILOT, omniglot, "validation")
                write(RESULTS, found)
                print(key, pilots[key]["scores"], flush=True)
    best: dict[str, float] = {}
    for name in PROBLEMS:
        best[name] = max(RATES, key=lambda rate, name=name: pilots[f"apart {rate:g}"]["scores"][name])
    best["mixture"] = max(RATES, key=lambda rate: sum(pilots[f"mixture {rate:g}"]["scores"].values()))
    return best


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    runs = found.get("runs", {})
    seeds = sorted({one["seed"] for one in runs.values()})
    lines = ["| problem | apart | mixture | by progress | mixture less apart | by progress less apart |", "|---" * 6 + "|"]
    for name in PROBLEMS:
        apart, mixed, progress = ([runs[f"{kind} {seed}"]["scores"][name] for seed in seeds] for kind in KINDS)
        less = [interval([a - b for a, b in zip(other, apart, strict=True)]) for other in (mixed, progress)]
        cells = [cell(interval(one), ".1f") for one in (apart, mixed, progress)] + [cell(one, ".1f", "+") for one in less]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    steps = next(iter(runs.values()))["steps"]
    rates = ", ".join(f"{name} {rate:g}" for name, rate in found["rates"].items())
    seconds = {kind: sum(runs[f"{kind} {seed}"]["cpu_seconds"] for seed in seeds) / len(seeds) for kind in KINDS}
    lines += [
        "",
        f"Points; mean and half of the 95 % interval over {len(seeds)} seeds, paired in the differences. {steps} meta-steps of "
        f"{TASKS} tasks of each problem. Rates by validation: {rates} (of {', '.join(f'{rate:g}' for rate in RATES)}). "
        + ", ".join(f"{kind}: {one:.0f} s of one core" for kind, one in seconds.items())
        + f". {found['hardware']}.",
        "",
        verdict(runs, seeds),
    ]
    return "\n".join(lines) + "\n"


def verdict(runs: Result, seeds: list[int]) -> str:
    """Whether the mixture loses at most 3 points in each problem, in words."""
    lost = {
        name: -sum(runs[f"mixture {seed}"]["scores"][name] - runs[f"apart {seed}"]["scores"][name] for seed in seeds) / len(seeds)
        for name in PROBLEMS
    }
    said = ", ".join(f"{-one:+.1f} in {name}" for name, one in lost.items())
    if max(lost.values()) <= 3:
        return f"One learner for all three loses at most 3 points to the three apart, in the mean over seeds: {said}."
    worst = max(lost, key=lambda name: lost[name])
    return f"One learner for all three loses more than 3 points to the three apart, {lost[worst]:.1f} in {worst}: {said}."


def main() -> None:
    """The command."""
    made = command(__doc__, seeds=3)
    made.add_argument("--omniglot", help="the folder of Omniglot")
    options = made.parse_args()
    if options.table:
        print(page())
        return
    torch.set_num_threads(1)
    found, steps = ({} if options.force else read(RESULTS)), int(STEPS * options.budget)
    found["rates"] = chosen(max(steps // 3, 1), options.omniglot, found)
    found["hardware"] = f"{hardware()}, 1 thread, torch {torch.__version__}"
    for seed in range(options.seeds):
        for kind in KINDS:
            if (key := f"{kind} {seed}") not in found.setdefault("runs", {}):
                found["runs"][key] = run(kind, found["rates"], steps, seed, options.omniglot, "test")
                write(RESULTS, found)
                print(key, found["runs"][key], flush=True)


if __name__ == "__main__":
    main()
