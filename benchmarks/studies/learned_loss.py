"""A learned loss against cross-entropy whose rate was tuned, on tasks that it was not meta-trained on.

    python -m benchmarks.studies.learned_loss                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.learned_loss noisy --seeds 2 --force
    python -m benchmarks.studies.learned_loss --budget 0.1        a tenth of the meta-steps
    python -m benchmarks.studies.learned_loss --table             the tables from the JSON

A task: 100 digits to train on, 100 others to be scored on, a student 64-32-10 of its own initial weights, STEPS steps of
gradient descent on all 100. `clean`: as it is. `noisy`: 40 % of the training labels are drawn anew, those that score are not.
Meta-training draws its tasks from 1,000 of scikit-learn's digits.

cross-entropy                 its rate the best of RATES by the loss after STEPS steps, on meta-training tasks
cross-entropy, learned rates  from there a rate for each tensor, META meta-steps of Adam, backpropagated: the control that has had
                              the same meta-training
learned loss                  from there too, `LearnedLoss()`, the same META meta-steps
cross-entropy, oracle         its rate the best of RATES on other tasks of the very kind that is tested: a control that the others
                              have no part in

Cross-entropy's search has EVALUATIONS student steps, as many as meta-training is counted for. The two that are meta-trained start
from the rate that it found, and so have had both: learned rates are the control on exactly the same budget as the learned loss.
Tested on digits that no task has shown, on MNIST brought to 8 x 8, with two layers of 64 units on MNIST, and over 4 times the
steps, 100 tasks each. Intervals are 95 % over seeds (split, meta-training and test tasks), by Student's t, of paired differences.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import vmap

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.mnist import mnist_files
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.learners.bilevel import LearnedLoss
from quickstudy.learners.descend import LearnedRates
from quickstudy.tasks import TaskDistribution

RESULTS = Path(__file__).resolve().parent / "learned_loss.json"
KINDS = {"clean": 0.0, "noisy": 0.4}
SIZE, STEPS, META, TASKS, TESTED, RATE = 100, 10, 100, 4, 100, 0.02
RATES = [10 ** (exponent / 5) for exponent in range(-7, 7)]  # 0.04 .. 16, five to a decade
ORACLE = 25  # tasks of its search
EVALUATIONS = 4 * META * TASKS * STEPS  # a step differentiated twice is worth about four
METHODS = ("cross-entropy", "cross-entropy, learned rates", "learned loss", "cross-entropy, oracle")


class Subsets(TaskDistribution):
    """Tasks drawn from one pool of images: SIZE to train on, SIZE others to be scored on."""

    def __init__(self, pool: qs.Examples, noise: float):
        self.pool, self.noise, self.ways, self.shots, self.queries = pool, noise, pool.ways, SIZE, SIZE

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> qs.Episode:
        rows = torch.stack([torch.randperm(len(self.pool), generator=generator)[: 2 * SIZE] for _ in range(n)])
        support, query = (self.pool.map(lambda leaf: leaf[part]) for part in rows.split(SIZE, 1))  # noqa: B023
        wrong = torch.rand(support.y.shape, generator=generator) < self.noise
        anew = torch.randint(10, support.y.shape, generator=generator)
        return qs.Episode(support.map(lambda leaf: leaf if leaf.is_floating_point() else torch.where(wrong, anew, leaf)), query)

    def examples(self) -> qs.Examples:
        return self.pool

    def to(self, device: str | torch.device) -> Subsets:
        return Subsets(self.pool.map(lambda leaf: leaf.to(device)), self.noise)

    def check_protocol(self) -> None:
        """One protocol only."""


def data(seed: int) -> tuple[qs.Examples, qs.Examples, qs.Examples]:
    """Digits to meta-train on, digits to test on, MNIST's test images, all (n, 64) about 0."""
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    X, Y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    images, labels = mnist_files("t10k")
    M = F.adaptive_avg_pool2d(images[:, :, 4:24, 4:24], 8).flatten(1)
    first, rest = order[:1000], order[1000:]
    return (
        qs.Examples(X[first] - X[first].mean(), Y[first], 10),
        qs.Examples(X[rest] - X[first].mean(), Y[rest], 10),
        qs.Examples(M / M.max() - (M / M.max()).mean(), labels, 10),
    )


def network(units: tuple[int, ...] = (32,)) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in zip((64, *units[:-1]), units, strict=True):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(units[-1], 10))


def outcome(run: qs.LearnedTraining, tasks: qs.Episode, seed: int) -> tuple[Tensor, Tensor]:
    """(loss, accuracy) of every task after run.steps steps, each from initial weights of its own."""

    def one(task: qs.Episode, own: Tensor) -> tuple[Tensor, Tensor]:
        state = run.init(task.support, own)
        for _ in range(run.steps):
            state = run.step(state, task.support)
        prediction = run.predict(state, task.query.x)
        right = (prediction.argmax(-1) == task.query.y).float().mean()
        return F.cross_entropy(prediction, task.query.y), 100 * right

    with torch.no_grad():
        return vmap(one)(tasks, torch.arange(len(tasks.support.y)) + 100_000 * (seed + 1))


def tuned(
    pool: qs.Examples, noise: float, seed: int, units: tuple[int, ...] = (32,), steps: int = STEPS, tasks: int | None = None
) -> float:
    """The rate of cross-entropy with the lowest mean loss on so many tasks, or on EVALUATIONS / STEPS students in all."""
    each = tasks or EVALUATIONS // STEPS // len(RATES)
    drawn = Subsets(pool, noise).sample(each, generator=torch.Generator().manual_seed(7000 + seed))
    losses = []
    for rate in RATES:
        found = outcome(qs.LearnedTraining(network(units), steps=steps, inner_lr=rate), drawn, 70 + seed)[0]
        losses.append(float(found.mean().nan_to_num(float("inf"))))
    return RATES[losses.index(min(losses))]


def meta_trained(run: qs.LearnedTraining, pool: qs.Examples, noise: float, seed: int, meta: int) -> qs.LearnedTraining:
    outer = qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=RATE))
    qs.meta_train(
        run, Subsets(pool, noise), steps=meta, tasks_per_step=TASKS, outer=outer, seed=seed, executor="vmap", progress=False
    )
    return run


def entry(kind: str, seed: int, meta: int) -> Result:
    """One seed of one kind: three learners, tested in four places."""
    began, busy, noise = time.perf_counter(), time.process_time(), KINDS[kind]
    pool, digits, mnist = data(seed)
    rate = tuned(pool, noise, seed)
    loss = meta_trained(qs.LearnedTraining(network(), steps=STEPS, inner_lr=rate, loss=LearnedLoss()), pool, noise, seed, meta)
    rates = meta_trained(
        qs.LearnedTraining(network(), steps=STEPS, inner_lr=LearnedRates(rate, per="tensor")), pool, noise, seed, meta
    )  # fmt: skip
    learned = [float(value) for value in rates.rates().values()]  # of weight and bias, first layer and last
    row: Result = {"meta": meta, "rate": rate, "rates": learned, "tests": {}}
    places: dict[str, tuple[qs.Examples, tuple[int, ...], int]] = {
        "digits, other images": (digits, (32,), STEPS),
        "MNIST": (mnist, (32,), STEPS),
        "MNIST, two layers of 64": (mnist, (64, 64), STEPS),
        f"digits, {4 * STEPS} steps": (digits, (32,), 4 * STEPS),
    }
    for place, (own, units, steps) in places.items():
        tasks = Subsets(own, noise).sample(TESTED, generator=torch.Generator().manual_seed(9000 + seed))
        oracle = tuned(own, noise, seed, units, steps, ORACLE)
        plain: Callable[..., qs.LearnedTraining] = partial(qs.LearnedTraining, network(units), steps=steps)
        runs = {
            "cross-entropy": plain(inner_lr=rate),
            "learned loss": plain(inner_lr=rate, loss=loss.loss_part),
            "cross-entropy, oracle": plain(inner_lr=oracle),
        }
        if units == (32,):
            rates.steps = steps
            runs["cross-entropy, learned rates"] = rates
        row["tests"][place] = {"oracle's rate": oracle}
        for name, run in runs.items():
            found = outcome(run, tasks, seed)
            row["tests"][place][name] = {"loss": float(found[0].mean()), "accuracy": float(found[1].mean())}
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - busy
    shown = {
        place: {name: round(one["accuracy"], 2) for name, one in own.items() if name in METHODS}
        for place, own in row["tests"].items()
    }
    print(f"{kind}, seed {seed} ({row['seconds']:.0f} s), rate {rate:.2f}: {shown}", flush=True)
    return row


def summary(seeds: dict[str, Result]) -> Result:
    """Means in every place, and the learned loss's paired differences to each cross-entropy."""
    found: Result = {}
    for place in next(iter(seeds.values()))["tests"]:
        rows = [row["tests"][place] for row in seeds.values()]
        found[place] = {}
        for name in METHODS:
            if name not in rows[0]:
                continue  # learned rates are those of one student's tensors
            for key in ("loss", "accuracy"):
                found[place].setdefault(name, {})[key] = interval([row[name][key] for row in rows])
                gap = interval([row["learned loss"][key] - row[name][key] for row in rows])
                found[place][name][f"learned loss less it, {key}"] = gap
    return found


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    rows = [
        "A learned loss against cross-entropy (`python -m benchmarks.studies.learned_loss`) on tasks of neither its images nor"
        f" its initial weights; {STEPS} steps of gradient descent on {SIZE} images, differences paired over seeds.",
    ]
    for kind in KINDS:
        rows += [
            "",
            f"| {kind}: tested on | method | loss | accuracy, % | learned loss less it: loss | accuracy |",
            "|---|---|---|---|---|---|",
        ]
        whole = found.get("summary", {}).get(kind)
        if whole is None:
            rows.append("| | not run | | | | |")
            continue
        for place, own in whole.items():
            for name in METHODS:
                if name not in own:
                    rows.append(f"| {place} | {name} | other tensors | | | |")
                    continue
                one = own[name]
                gaps = [cell(one[f"learned loss less it, {key}"], form) for key, form in (("loss", ".3f"), ("accuracy", ".2f"))]
                gaps = ["", ""] if name == "learned loss" else gaps
                rows.append(
                    f"| {place} | {name} | {cell(one['loss'], '.3f')} | {cell(one['accuracy'])} | " + " | ".join(gaps) + " |"
                )
    if "hardware" in found:
        entries = [row for kind in KINDS for row in found["entries"].get(kind, {}).values()]
        rows += [
            "",
            f"{len(entries) // max(len(found['entries']), 1)} seeds, {TESTED} tasks each;"
            f" {sum(row['seconds'] for row in entries):.0f} s in all, {sum(row['cpu'] for row in entries):.0f} s of one core;"
            f" {found['hardware']}, one thread, torch {found['torch']}.",
        ]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; a seed that stands in the JSON with as many meta-steps is not run again."""
    made = command(__doc__)
    made.add_argument("kinds", nargs="*", help=f"of {list(KINDS)}; all where none is named")
    options = made.parse_args()
    torch.set_num_threads(1)
    meta = max(int(META * options.budget), 1)
    for seed in range(0 if options.table else options.seeds):
        for kind in options.kinds or KINDS:
            found = read(RESULTS)
            own = found.setdefault("entries", {}).setdefault(kind, {})
            if own.get(str(seed), {}).get("meta") == meta and not options.force:
                continue
            own[str(seed)] = entry(kind, seed, meta)
            found.setdefault("summary", {})[kind] = summary(own)
            found |= {"hardware": hardware(), "torch": torch.__version__}
            write(RESULTS, found)
    print(page())


if __name__ == "__main__":
    main()
